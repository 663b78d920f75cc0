#include "target/net/chap_digest.h"

#include <openssl/evp.h>

#include "cow-store/base/check.h"

namespace cowtgt::net {

namespace {

const EVP_MD* hash_of(iscsi::ChapAlgorithm algorithm) {
    switch (algorithm) {
        case iscsi::ChapAlgorithm::md5:
            return EVP_md5();
        case iscsi::ChapAlgorithm::sha1:
            return EVP_sha1();
        case iscsi::ChapAlgorithm::sha256:
            return EVP_sha256();
        case iscsi::ChapAlgorithm::sha3_256:
            return EVP_sha3_256();
    }
    CHECK(false);
}

/// Empty when the library refuses, as one that is restricted to FIPS 140 does for MD5.
std::vector<std::byte> compute(iscsi::ChapAlgorithm algorithm, Bytes message) {
    std::vector<std::byte> hash(EVP_MAX_MD_SIZE);
    unsigned length = 0;
    const int done =
        EVP_Digest(message.data(), message.size(), reinterpret_cast<unsigned char*>(hash.data()),
                   &length, hash_of(algorithm), nullptr);
    hash.resize(done == 1 ? length : 0);
    return hash;
}

class OpensslChapDigest final : public iscsi::ChapDigest {
public:
    bool supports(iscsi::ChapAlgorithm algorithm) const override {
        return !compute(algorithm, {}).empty();
    }
    std::vector<std::byte> digest(iscsi::ChapAlgorithm algorithm, Bytes message) const override {
        return compute(algorithm, message);
    }
};

}  // namespace

const iscsi::ChapDigest& openssl_chap_digest() {
    static const OpensslChapDigest digest;
    return digest;
}

}  // namespace cowtgt::net
