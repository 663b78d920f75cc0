#include "boot-helper/image/decompress.h"

#include <lz4.h>
#include <lz4frame.h>
#include <lzma.h>
#include <zlib.h>
#include <zstd.h>

#include <algorithm>
#include <array>
#include <memory>
#include <string>
#include <vector>

namespace cowtgt::boot {

namespace {

constexpr std::size_t output_bytes = 256U << 10;
constexpr std::uint64_t lzma_memory_max = 256U << 20;
constexpr std::size_t lz4_legacy_block_bytes = 8U << 20;  ///< as the kernel's decompressor

struct MagicRow {
    std::string_view magic;
    Compression compression;
};
using namespace std::string_view_literals;
constexpr std::array magics = {
    MagicRow{"\x1f\x8b"sv, Compression::gzip},
    MagicRow{"\xfd\x37zXZ\x00"sv, Compression::xz},
    MagicRow{"\x5d\x00\x00"sv, Compression::lzma},
    MagicRow{"\x28\xb5\x2f\xfd"sv, Compression::zstd},
    MagicRow{"\x04\x22\x4d\x18"sv, Compression::lz4},
    MagicRow{"\x02\x21\x4c\x18"sv, Compression::lz4_legacy},
    MagicRow{"BZh"sv, Compression::other},
    MagicRow{"\x89LZO"sv, Compression::other},
};

Error broken(Compression compression, std::string_view why) {
    return {ErrorCode::corrupt,
            "a broken " + std::string(to_string(compression)) + " stream: " + std::string(why)};
}

const std::uint8_t* data_of(Bytes bytes) {
    return reinterpret_cast<const std::uint8_t*>(bytes.data());
}
std::uint8_t* data_of(MutableBytes bytes) {
    return reinterpret_cast<std::uint8_t*>(bytes.data());
}

Result<std::size_t> inflate_gzip(Bytes in, const DecompressSink& sink) {
    constexpr int gzip_window = 15 + 16;
    z_stream stream{};
    if (inflateInit2(&stream, gzip_window) != Z_OK) {
        return Error{ErrorCode::failed, "zlib could not begin"};
    }
    const std::unique_ptr<z_stream, void (*)(z_stream*)> end(
        &stream, [](z_stream* ended) { inflateEnd(ended); });
    std::vector<std::byte> out(output_bytes);
    std::size_t taken = 0;
    for (int code = Z_OK; code != Z_STREAM_END;) {
        const std::size_t piece = std::min<std::size_t>(in.size() - taken, 1U << 30);
        stream.next_in = const_cast<Bytef*>(data_of(in.subspan(taken)));
        stream.avail_in = static_cast<uInt>(piece);
        stream.next_out = data_of(std::span(out));
        stream.avail_out = static_cast<uInt>(out.size());
        code = inflate(&stream, Z_NO_FLUSH);
        if (code != Z_OK && code != Z_STREAM_END) {
            return broken(Compression::gzip, stream.msg != nullptr ? stream.msg : "it is cut off");
        }
        taken += piece - stream.avail_in;
        if (!sink(std::span(out).first(out.size() - stream.avail_out))) break;
    }
    return taken;
}

Result<std::size_t> decode_lzma(Compression compression, Bytes in, const DecompressSink& sink) {
    lzma_stream stream = LZMA_STREAM_INIT;
    const lzma_ret begun = compression == Compression::xz
                               ? lzma_stream_decoder(&stream, lzma_memory_max, 0)
                               : lzma_alone_decoder(&stream, lzma_memory_max);
    if (begun != LZMA_OK) return Error{ErrorCode::failed, "liblzma could not begin"};
    const std::unique_ptr<lzma_stream, void (*)(lzma_stream*)> end(&stream, lzma_end);
    std::vector<std::byte> out(output_bytes);
    stream.next_in = data_of(in);
    stream.avail_in = in.size();
    for (lzma_ret code = LZMA_OK; code != LZMA_STREAM_END;) {
        stream.next_out = data_of(std::span(out));
        stream.avail_out = out.size();
        code = lzma_code(&stream, LZMA_RUN);
        if (code != LZMA_OK && code != LZMA_STREAM_END) {
            return broken(compression, code == LZMA_BUF_ERROR        ? "it is cut off"
                                       : code == LZMA_MEMLIMIT_ERROR ? "it wants too much memory"
                                                                     : "wrong bytes");
        }
        if (!sink(std::span(out).first(out.size() - stream.avail_out))) break;
    }
    return in.size() - stream.avail_in;
}

Result<std::size_t> decode_zstd(Bytes in, const DecompressSink& sink) {
    const std::unique_ptr<ZSTD_DStream, size_t (*)(ZSTD_DStream*)> stream(ZSTD_createDStream(),
                                                                          ZSTD_freeDStream);
    if (!stream) return Error{ErrorCode::failed, "libzstd could not begin"};
    std::vector<std::byte> out(output_bytes);
    ZSTD_inBuffer input{in.data(), in.size(), 0};
    for (std::size_t hint = 1; hint != 0;) {
        ZSTD_outBuffer output{out.data(), out.size(), 0};
        const std::size_t before = input.pos;
        hint = ZSTD_decompressStream(stream.get(), &output, &input);
        if (ZSTD_isError(hint) != 0) return broken(Compression::zstd, ZSTD_getErrorName(hint));
        if (hint != 0 && output.pos == 0 && input.pos == before) {
            return broken(Compression::zstd, "it is cut off");
        }
        if (!sink(std::span(out).first(output.pos))) break;
    }
    return input.pos;
}

Result<std::size_t> decode_lz4_frame(Bytes in, const DecompressSink& sink) {
    LZ4F_dctx* context = nullptr;
    if (LZ4F_isError(LZ4F_createDecompressionContext(&context, LZ4F_VERSION)) != 0) {
        return Error{ErrorCode::failed, "liblz4 could not begin"};
    }
    const std::unique_ptr<LZ4F_dctx, LZ4F_errorCode_t (*)(LZ4F_dctx*)> end(
        context, LZ4F_freeDecompressionContext);
    std::vector<std::byte> out(output_bytes);
    std::size_t taken = 0;
    for (std::size_t hint = 1; hint != 0;) {
        std::size_t produced = out.size();
        std::size_t consumed = in.size() - taken;
        hint =
            LZ4F_decompress(context, out.data(), &produced, in.data() + taken, &consumed, nullptr);
        if (LZ4F_isError(hint) != 0) return broken(Compression::lz4, LZ4F_getErrorName(hint));
        if (hint != 0 && produced == 0 && consumed == 0) {
            return broken(Compression::lz4, "it is cut off");
        }
        taken += consumed;
        if (!sink(std::span(out).first(produced))) break;
    }
    return taken;
}

/// Blocks, each behind its compressed size in four bytes, up to the end or to what is no block.
Result<std::size_t> decode_lz4_legacy(Bytes in, const DecompressSink& sink) {
    std::vector<std::byte> out(lz4_legacy_block_bytes);
    std::size_t taken = 4;  // the magic
    while (in.size() - taken >= 4) {
        std::uint32_t size = 0;
        for (std::size_t n = 4; n-- > 0;) {
            size = size << 8 | std::to_integer<std::uint32_t>(in[taken + n]);
        }
        if (size == 0 || size > in.size() - taken - 4) break;
        const int produced =
            LZ4_decompress_safe(reinterpret_cast<const char*>(in.data() + taken + 4),
                                reinterpret_cast<char*>(out.data()), static_cast<int>(size),
                                static_cast<int>(out.size()));
        if (produced < 0) return broken(Compression::lz4_legacy, "wrong bytes");
        taken += 4 + size;
        if (!sink(std::span(out).first(static_cast<std::size_t>(produced)))) break;
    }
    return taken;
}

}  // namespace

std::string_view to_string(Compression compression) {
    constexpr std::array<std::string_view, 8> names = {"none", "gzip", "xz",         "lzma",
                                                       "zstd", "lz4",  "lz4 legacy", "unknown"};
    return names[static_cast<std::size_t>(compression)];
}

Compression compression_of(Bytes bytes) {
    for (const MagicRow& row : magics) {
        if (text_of(bytes).starts_with(row.magic)) return row.compression;
    }
    return Compression::none;
}

Result<std::size_t> decompress(Compression compression, Bytes in, const DecompressSink& sink) {
    switch (compression) {
        case Compression::none:
            sink(in);
            return in.size();
        case Compression::gzip:
            return inflate_gzip(in, sink);
        case Compression::xz:
        case Compression::lzma:
            return decode_lzma(compression, in, sink);
        case Compression::zstd:
            return decode_zstd(in, sink);
        case Compression::lz4:
            return decode_lz4_frame(in, sink);
        case Compression::lz4_legacy:
            return decode_lz4_legacy(in, sink);
        case Compression::other:
            break;
    }
    return Error{ErrorCode::unsupported, "compressed with bzip2 or lzo, which is not read here"};
}

}  // namespace cowtgt::boot
