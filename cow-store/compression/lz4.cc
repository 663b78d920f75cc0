#include <lz4.h>
#include <lz4frame.h>

#include <algorithm>
#include <cstring>
#include <vector>

#include "cow-store/base/endian.h"
#include "cow-store/compression/decompressor.h"

namespace cowtgt::compression {

namespace {

class Lz4 final : public Decompressor {
public:
    Lz4() { CHECK(LZ4F_isError(LZ4F_createDecompressionContext(&context_, LZ4F_VERSION)) == 0); }
    ~Lz4() override { LZ4F_freeDecompressionContext(context_); }
    Lz4(const Lz4&) = delete;
    Lz4& operator=(const Lz4&) = delete;

    Result<Step> step(Bytes& in, MutableBytes out) override {
        std::size_t produced = out.size();
        std::size_t consumed = in.size();
        const std::size_t left =
            LZ4F_decompress(context_, out.data(), &produced, in.data(), &consumed, nullptr);
        if (LZ4F_isError(left) != 0) {
            return damaged_stream(Compression::lz4, LZ4F_getErrorName(left));
        }
        in = in.subspan(consumed);
        return Step{produced, left == 0};
    }

private:
    LZ4F_dctx* context_ = nullptr;
};

/// Blocks, each behind its compressed size in four bytes, up to the end or to what is no block:
/// the form has no mark of its end, so a stream is whole after each block. The next stream may
/// follow at once, and its magic number looks like a size that no block has.
class Lz4Legacy final : public Decompressor {
public:
    Result<Step> step(Bytes& in, MutableBytes out) override {
        if (handed_out_ == block_.size()) {
            const Result<bool> more = read_block(in);
            if (!more) return more.error();
            if (!*more) return Step{0, ended_};
        }
        const std::size_t count = std::min(out.size(), block_.size() - handed_out_);
        std::memcpy(out.data(), block_.data() + handed_out_, count);
        handed_out_ += count;
        return Step{count, false};
    }
    bool may_end_here() const override {
        return has_magic_ && collected_.empty() && handed_out_ == block_.size();
    }

private:
    static constexpr std::size_t block_max = std::size_t{8} << 20;  ///< bytes, not compressed

    /// Collects `wanted` bytes; false: there are not that many yet.
    bool collect(Bytes& in, std::size_t wanted) {
        const std::size_t count = std::min(in.size(), wanted - collected_.size());
        collected_.insert(collected_.end(), in.begin(),
                          in.begin() + static_cast<std::ptrdiff_t>(count));
        in = in.subspan(count);
        return collected_.size() == wanted;
    }

    /// False: more input is needed, or it has ended.
    Result<bool> read_block(Bytes& in) {
        constexpr std::size_t word = sizeof(le32);
        if (!has_magic_) {
            if (!collect(in, word)) return false;
            collected_.clear();
            has_magic_ = true;
        }
        const Bytes behind_block = in;
        if (collected_.size() < word && !collect(in, word)) return false;
        le32 size;
        std::memcpy(&size, collected_.data(), word);
        const auto bound = static_cast<std::uint32_t>(LZ4_compressBound(int{block_max}));
        if (size.get() == 0 || size.get() > bound) {
            // What lay in an earlier piece of input cannot be given back.
            if (behind_block.size() - in.size() == word) in = behind_block;
            ended_ = true;
            return false;
        }
        if (!collect(in, word + size.get())) return false;
        block_.resize(block_max);
        const int produced =
            LZ4_decompress_safe(reinterpret_cast<const char*>(collected_.data() + word),
                                reinterpret_cast<char*>(block_.data()),
                                static_cast<int>(size.get()), static_cast<int>(block_.size()));
        if (produced < 0) return damaged_stream(Compression::lz4_legacy, "wrong bytes");
        block_.resize(static_cast<std::size_t>(produced));
        handed_out_ = 0;
        collected_.clear();
        return true;
    }

    bool has_magic_ = false;
    bool ended_ = false;
    std::vector<std::byte> collected_;  ///< of the next block, with its size
    std::vector<std::byte> block_;
    std::size_t handed_out_ = 0;
};

}  // namespace

std::unique_ptr<Decompressor> make_lz4() {
    return std::make_unique<Lz4>();
}

std::unique_ptr<Decompressor> make_lz4_legacy() {
    return std::make_unique<Lz4Legacy>();
}

}  // namespace cowtgt::compression
