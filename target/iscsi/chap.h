#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "cow-store/base/bytes.h"
#include "target/iscsi/connection.h"

/// CHAP as the security phase of a login uses it (RFC 7143 section 12.1.3, RFC 1994).
namespace cowtgt::iscsi {

/// CHAP_A: the numbers that IANA gives to the algorithms of PPP's CHAP.
enum class ChapAlgorithm : std::uint8_t { md5 = 5, sha1 = 6, sha256 = 7, sha3_256 = 8 };

/// Who computes the hashes. Kept outside, so that the protocol needs no cryptographic library.
class ChapDigest {
public:
    virtual ~ChapDigest() = default;
    /// A library may lack an algorithm, or be told not to use it.
    virtual bool supports(ChapAlgorithm algorithm) const = 0;
    /// Requires: supports(algorithm).
    virtual std::vector<std::byte> digest(ChapAlgorithm algorithm, Bytes message) const = 0;
};

/// Bytes of a hash.
std::size_t digest_length(ChapAlgorithm algorithm);

/// The response to a challenge, RFC 1994 section 4.1: the hash of identifier, secret, challenge.
std::vector<std::byte> chap_response(const ChapDigest& digest, ChapAlgorithm algorithm,
                                     std::uint8_t identifier, std::string_view secret,
                                     Bytes challenge);

/// The CHAP keys of one Login Request. Ownership: points into its text.
struct ChapKeys {
    std::optional<std::string_view> algorithms = {};  ///< CHAP_A
    std::optional<std::string_view> identifier = {};  ///< CHAP_I
    std::optional<std::string_view> challenge = {};   ///< CHAP_C
    std::optional<std::string_view> name = {};        ///< CHAP_N
    std::optional<std::string_view> response = {};    ///< CHAP_R
};

/// Keys for the Login Response.
struct ChapAnswer {
    std::string text;
};
/// The login ends with 0201h; the reason is for the log.
struct ChapFailure {
    std::string reason;
};
using ChapStep = std::variant<ChapAnswer, ChapFailure>;

/// The target's side of one exchange: it chooses the algorithm and challenges the initiator, which
/// answers and may challenge back.
class Chap {
public:
    /// `random` fills identifier and challenge.
    Chap(const LoginDecision::Chap& demanded, void (*random)(MutableBytes))
        : demanded_(demanded), random_(random) {}

    /// One Login Request. Keys that do not belong to this point of the exchange end it.
    ChapStep receive(const ChapKeys& keys);
    bool is_authenticated() const { return state_ == State::authenticated; }

private:
    enum class State : std::uint8_t { wants_algorithms, wants_response, authenticated };

    ChapStep choose_algorithm(std::string_view offer);
    ChapStep check_response(const ChapKeys& keys);
    ChapStep answer_challenge(std::string_view identifier, std::string_view challenge);

    LoginDecision::Chap demanded_;
    void (*random_)(MutableBytes);
    State state_ = State::wants_algorithms;
    ChapAlgorithm algorithm_ = ChapAlgorithm::md5;
    std::uint8_t identifier_ = 0;
    std::vector<std::byte> challenge_;  ///< ours
};

}  // namespace cowtgt::iscsi
