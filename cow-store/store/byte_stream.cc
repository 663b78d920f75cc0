#include "cow-store/store/byte_stream.h"

#include <openssl/evp.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <utility>

#include "cow-store/compression/decompressor.h"

namespace cowtgt::store {

namespace {

using compression::Compression;
using compression::Decompressor;

constexpr std::size_t piece_size = std::size_t{256} << 10;  ///< bytes

class DescriptorStream final : public ByteStream {
public:
    DescriptorStream(Descriptor file, std::string name)
        : file_(std::move(file)), name_(std::move(name)) {
        struct stat status {};
        if (::fstat(file_.get(), &status) == 0 && S_ISREG(status.st_mode)) {
            size_ = static_cast<std::uint64_t>(status.st_size);
        }
    }

    Result<std::size_t> read(MutableBytes into) override {
        while (true) {
            const ssize_t count = ::read(file_.get(), into.data(), into.size());
            if (count < 0 && errno == EINTR) continue;
            if (count < 0) return system_error("reading " + name_, errno);
            position_ += static_cast<std::uint64_t>(count);
            return static_cast<std::size_t>(count);
        }
    }
    std::uint64_t position() const override { return position_; }
    std::uint64_t size() const override { return size_; }

private:
    Descriptor file_;
    std::string name_;
    std::uint64_t position_ = 0;
    std::uint64_t size_ = 0;
};

class DecompressedStream final : public ByteStream {
public:
    DecompressedStream(std::shared_ptr<PeekStream> source, Compression kind, std::string name)
        : source_(std::move(source)), kind_(kind), name_(std::move(name)), buffer_(piece_size) {}

    Result<std::size_t> read(MutableBytes into) override {
        while (true) {
            if (!stream_) {
                const Result<bool> more = begin();
                if (!more) return more.error();
                if (!*more) return std::size_t{0};
            }
            const std::size_t before = input_.size();
            const auto step = stream_->step(input_, into);
            if (!step) return named(step.error());
            if (step->ended) stream_.reset();
            if (step->filled > 0) return step->filled;
            if (step->ended || input_.size() < before) continue;
            const Result<bool> more = refill();
            if (!more) return more.error();
            if (!*more) return named(compression::damaged_stream(kind_, "it is cut off"));
        }
    }
    std::uint64_t position() const override { return source_->position(); }
    std::uint64_t size() const override { return source_->size(); }

private:
    /// Another stream may follow the one that ended; zeros may pad it.
    Result<bool> begin() {
        while (true) {
            while (!input_.empty() && input_.front() == std::byte{0} && has_begun_)
                input_ = input_.subspan(1);
            if (!input_.empty()) break;
            const Result<bool> more = refill();
            if (!more || !*more) return more;
        }
        // A magic number may lie across two pieces.
        while (input_.size() < compression::magic_size_max) {
            const Result<bool> more = refill();
            if (!more) return more;
            if (!*more) break;
        }
        if (compression::compression_of(input_) != kind_) {
            return named(compression::damaged_stream(kind_, "something else follows it"));
        }
        stream_ = Decompressor::make(kind_);
        has_begun_ = true;
        return true;
    }

    /// Adds to the input. False at the end of the source.
    Result<bool> refill() {
        std::memmove(buffer_.data(), input_.data(), input_.size());
        const std::size_t kept = input_.size();
        CHECK(kept < buffer_.size());
        const auto count = source_->read(MutableBytes(buffer_).subspan(kept));
        if (!count) return count.error();
        input_ = Bytes(buffer_).first(kept + *count);
        return *count > 0;
    }

    Error named(Error error) const {
        error.message = name_ + " cannot be imported: " + error.message;
        error.code = ErrorCode::failed;
        return error;
    }

    std::shared_ptr<PeekStream> source_;
    Compression kind_;
    std::string name_;
    std::unique_ptr<Decompressor> stream_;
    bool has_begun_ = false;
    std::vector<std::byte> buffer_;
    Bytes input_;  ///< of the buffer, not unpacked yet
};

class VerifiedStream final : public ByteStream {
public:
    VerifiedStream(std::shared_ptr<ByteStream> source, std::string sha256, std::string name)
        : source_(std::move(source)),
          wanted_(std::move(sha256)),
          name_(std::move(name)),
          digest_(EVP_MD_CTX_new(), EVP_MD_CTX_free) {
        CHECK(digest_ && EVP_DigestInit_ex(digest_.get(), EVP_sha256(), nullptr) == 1);
        std::ranges::transform(wanted_, wanted_.begin(), [](char c) {
            return c >= 'A' && c <= 'F' ? static_cast<char>(c - 'A' + 'a') : c;
        });
    }

    Result<std::size_t> read(MutableBytes into) override {
        const auto count = source_->read(into);
        if (!count) return count;
        CHECK(EVP_DigestUpdate(digest_.get(), into.data(), *count) == 1);
        if (*count > 0 || is_good_) return count;
        const std::string found = finish();
        if (found == wanted_) {
            is_good_ = true;
            return count;
        }
        return Error{ErrorCode::refused, name_ + " is not what was wanted: its SHA-256 is " +
                                             found + ", not " + wanted_};
    }
    std::uint64_t position() const override { return source_->position(); }
    std::uint64_t size() const override { return source_->size(); }

private:
    std::string finish() {
        constexpr std::string_view digits = "0123456789abcdef";
        std::array<unsigned char, 32> sum{};
        CHECK(EVP_DigestFinal_ex(digest_.get(), sum.data(), nullptr) == 1);
        std::string text;
        for (const unsigned char byte : sum)
            text += {digits[byte >> 4], digits[byte & 0xf]};
        return text;
    }

    std::shared_ptr<ByteStream> source_;
    std::string wanted_;
    std::string name_;
    std::unique_ptr<EVP_MD_CTX, void (*)(EVP_MD_CTX*)> digest_;
    bool is_good_ = false;
};

}  // namespace

std::shared_ptr<ByteStream> open_descriptor_stream(Descriptor file, std::string name) {
    return std::make_shared<DescriptorStream>(std::move(file), std::move(name));
}

Result<std::shared_ptr<ByteStream>> decompressed(std::shared_ptr<ByteStream> source,
                                                 const std::string& name) {
    auto peeked = std::make_shared<PeekStream>(std::move(source));
    const auto beginning = peeked->peek(compression::magic_size_max);
    if (!beginning) return beginning.error();
    const Compression kind = compression::compression_of(*beginning);
    switch (kind) {
        case Compression::gzip:
        case Compression::xz:
        case Compression::zstd:
            return std::shared_ptr<ByteStream>(
                std::make_shared<DecompressedStream>(std::move(peeked), kind, name));
        case Compression::bzip2:
        case Compression::lzop:
        case Compression::lz4:
        case Compression::lz4_legacy:
            return Error{ErrorCode::failed,
                         name + " cannot be imported: it is compressed with " +
                             std::string(to_string(kind)) +
                             "; unpack it first, or pack it with gzip, xz or zstd"};
        case Compression::lzma:  // too little of a magic number to go by
        case Compression::none:
            break;
    }
    return std::shared_ptr<ByteStream>(std::move(peeked));
}

std::shared_ptr<ByteStream> verified(std::shared_ptr<ByteStream> source, std::string sha256,
                                     std::string name) {
    return std::make_shared<VerifiedStream>(std::move(source), std::move(sha256), std::move(name));
}

Result<void> check_sha256_text(const std::string& text) {
    constexpr std::size_t digits = 64;
    if (text.size() == digits &&
        text.find_first_not_of("0123456789abcdefABCDEF") == std::string::npos) {
        return {};
    }
    return Error{ErrorCode::usage,
                 "\"" + text + "\" is no SHA-256: that has 64 hexadecimal digits"};
}

Result<Bytes> PeekStream::peek(std::size_t count) {
    while (ahead_.size() < count) {
        const std::size_t have = ahead_.size();
        ahead_.resize(count);
        const auto got = source_->read(MutableBytes(ahead_).subspan(have));
        ahead_.resize(have + (got ? *got : 0));
        if (!got) return got.error();
        if (*got == 0) break;
    }
    return Bytes(ahead_);
}

Result<std::size_t> PeekStream::read(MutableBytes into) {
    if (ahead_.empty()) return source_->read(into);
    const std::size_t count = std::min(into.size(), ahead_.size());
    std::memcpy(into.data(), ahead_.data(), count);
    ahead_.erase(ahead_.begin(), ahead_.begin() + static_cast<std::ptrdiff_t>(count));
    return count;
}

}  // namespace cowtgt::store
