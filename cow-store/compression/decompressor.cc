#include "cow-store/compression/decompressor.h"

#include <lzma.h>
#include <zlib.h>
#include <zstd.h>

#include <algorithm>
#include <array>
#include <string>
#include <vector>

namespace cowtgt::compression {

namespace {

using namespace std::string_view_literals;

constexpr std::uint64_t lzma_memory_max = std::uint64_t{256} << 20;  ///< bytes; xz -9 needs 65 MiB
constexpr int zstd_window_log_max = 28;                              ///< 256 MiB, as zstd --long=28
constexpr std::size_t unpacked_piece = std::size_t{256} << 10;       ///< bytes
constexpr std::size_t piece_max = std::size_t{1} << 30;              ///< zlib counts with 32 bits

struct Row {
    std::string_view magic;
    Compression compression;
    std::string_view name;
};
constexpr std::array rows = {
    Row{"\x1f\x8b"sv, Compression::gzip, "gzip"},
    Row{"\xfd\x37zXZ\x00"sv, Compression::xz, "xz"},
    Row{"\x5d\x00\x00"sv, Compression::lzma, "lzma"},
    Row{"\x28\xb5\x2f\xfd"sv, Compression::zstd, "zstd"},
    Row{"\x04\x22\x4d\x18"sv, Compression::lz4, "lz4"},
    Row{"\x02\x21\x4c\x18"sv, Compression::lz4_legacy, "lz4 (legacy)"},
    Row{"BZh"sv, Compression::bzip2, "bzip2"},
    Row{"\x89LZO"sv, Compression::lzop, "lzop"},
};

const std::uint8_t* data_of(Bytes bytes) {
    return reinterpret_cast<const std::uint8_t*>(bytes.data());
}
std::uint8_t* data_of(MutableBytes bytes) {
    return reinterpret_cast<std::uint8_t*>(bytes.data());
}

class Gzip final : public Decompressor {
public:
    Gzip() {
        constexpr int gzip_with_largest_window = 15 + 16;
        CHECK(inflateInit2(&stream_, gzip_with_largest_window) == Z_OK);
    }
    ~Gzip() override { inflateEnd(&stream_); }
    Gzip(const Gzip&) = delete;
    Gzip& operator=(const Gzip&) = delete;

    Result<Step> step(Bytes& in, MutableBytes out) override {
        const std::size_t offered = std::min(in.size(), piece_max);
        out = out.first(std::min(out.size(), piece_max));
        stream_.next_in = const_cast<Bytef*>(data_of(in));
        stream_.avail_in = static_cast<uInt>(offered);
        stream_.next_out = data_of(out);
        stream_.avail_out = static_cast<uInt>(out.size());
        const int code = inflate(&stream_, Z_NO_FLUSH);
        if (code != Z_OK && code != Z_STREAM_END && code != Z_BUF_ERROR) {
            return damaged_stream(Compression::gzip,
                                  stream_.msg != nullptr ? stream_.msg : "wrong bytes");
        }
        in = in.subspan(offered - stream_.avail_in);
        return Step{out.size() - stream_.avail_out, code == Z_STREAM_END};
    }

private:
    z_stream stream_{};
};

class Lzma final : public Decompressor {
public:
    explicit Lzma(Compression compression) : compression_(compression) {
        const lzma_ret begun =
            compression == Compression::xz
                ? lzma_stream_decoder(&stream_, lzma_memory_max, LZMA_TELL_UNSUPPORTED_CHECK)
                : lzma_alone_decoder(&stream_, lzma_memory_max);
        CHECK(begun == LZMA_OK);
    }
    ~Lzma() override { lzma_end(&stream_); }
    Lzma(const Lzma&) = delete;
    Lzma& operator=(const Lzma&) = delete;

    Result<Step> step(Bytes& in, MutableBytes out) override {
        stream_.next_in = data_of(in);
        stream_.avail_in = in.size();
        stream_.next_out = data_of(out);
        stream_.avail_out = out.size();
        const lzma_ret code = lzma_code(&stream_, LZMA_RUN);
        if (code != LZMA_OK && code != LZMA_STREAM_END && code != LZMA_BUF_ERROR) {
            return damaged_stream(compression_, code == LZMA_MEMLIMIT_ERROR
                                                    ? "it wants too much memory"
                                                    : "wrong bytes");
        }
        in = in.subspan(in.size() - stream_.avail_in);
        return Step{out.size() - stream_.avail_out, code == LZMA_STREAM_END};
    }

private:
    Compression compression_;
    lzma_stream stream_ = LZMA_STREAM_INIT;
};

class Zstd final : public Decompressor {
public:
    Zstd() : stream_(ZSTD_createDStream(), ZSTD_freeDStream) {
        CHECK(stream_ != nullptr);
        ZSTD_DCtx_setParameter(stream_.get(), ZSTD_d_windowLogMax, zstd_window_log_max);
    }

    Result<Step> step(Bytes& in, MutableBytes out) override {
        ZSTD_inBuffer input{in.data(), in.size(), 0};
        ZSTD_outBuffer output{out.data(), out.size(), 0};
        const std::size_t left = ZSTD_decompressStream(stream_.get(), &output, &input);
        if (ZSTD_isError(left) != 0) {
            return damaged_stream(Compression::zstd, ZSTD_getErrorName(left));
        }
        in = in.subspan(input.pos);
        return Step{output.pos, left == 0};
    }

private:
    std::unique_ptr<ZSTD_DStream, size_t (*)(ZSTD_DStream*)> stream_;
};

}  // namespace

Compression compression_of(Bytes beginning) {
    for (const Row& row : rows) {
        if (text_of(beginning).starts_with(row.magic)) return row.compression;
    }
    return Compression::none;
}

std::string_view to_string(Compression compression) {
    for (const Row& row : rows) {
        if (row.compression == compression) return row.name;
    }
    return "none";
}

Error damaged_stream(Compression compression, std::string_view why) {
    return {ErrorCode::corrupt, "its " + std::string(to_string(compression)) +
                                    " stream is damaged: " + std::string(why)};
}

Result<void> decompress(Compression compression, Bytes& in, const Sink& sink) {
    const std::unique_ptr<Decompressor> stream = Decompressor::make(compression);
    if (!stream) {
        return Error{ErrorCode::unsupported, "it is compressed with " +
                                                 std::string(to_string(compression)) +
                                                 ", which this version cannot read"};
    }
    std::vector<std::byte> out(unpacked_piece);
    while (true) {
        const std::size_t before = in.size();
        const auto step = stream->step(in, out);
        if (!step) return step.error();
        if (step->filled > 0 && !sink(Bytes(out).first(step->filled))) return {};
        if (step->ended) return {};
        if (step->filled > 0 || in.size() < before) continue;
        if (stream->may_end_here()) return {};
        return damaged_stream(compression, "it is cut off");
    }
}

std::unique_ptr<Decompressor> Decompressor::make(Compression compression) {
    switch (compression) {
        case Compression::gzip:
            return std::make_unique<Gzip>();
        case Compression::xz:
        case Compression::lzma:
            return std::make_unique<Lzma>(compression);
        case Compression::zstd:
            return std::make_unique<Zstd>();
        case Compression::lz4:
            return make_lz4();
        case Compression::lz4_legacy:
            return make_lz4_legacy();
        case Compression::none:
        case Compression::bzip2:
        case Compression::lzop:
            break;
    }
    return nullptr;
}

}  // namespace cowtgt::compression
