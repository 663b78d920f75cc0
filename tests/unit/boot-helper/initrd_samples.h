#pragma once

#include <lz4.h>
#include <lz4frame.h>
#include <lzma.h>
#include <zlib.h>
#include <zstd.h>

#include <cstdio>
#include <string>
#include <string_view>
#include <vector>

#include "cow-store/compression/decompressor.h"

namespace cowtgt::boot {

using compression::Compression;

/// One member of a cpio archive of the newc form, with a content of `size_bytes`.
inline std::string cpio_member(std::string_view name, std::size_t size_bytes) {
    std::string member = "070701";
    const auto field = [&member](std::size_t value) {
        char text[9];
        std::snprintf(text, sizeof(text), "%08zx", value);
        member += text;
    };
    const std::size_t fields[] = {1, 0100644,         0, 0, 1, 0, size_bytes, 0, 0, 0,
                                  0, name.size() + 1, 0};
    for (const std::size_t value : fields)
        field(value);
    member += std::string(name) + '\0';
    member.resize((member.size() + 3) / 4 * 4, '\0');
    member += std::string(size_bytes, 'x');
    member.resize((member.size() + 3) / 4 * 4, '\0');
    return member;
}

inline std::string cpio_archive(const std::vector<std::string>& names) {
    std::string archive;
    for (const std::string& name : names)
        archive += cpio_member(name, name.size() % 7 * 100);
    archive += cpio_member("TRAILER!!!", 0);
    archive.resize((archive.size() + 511) / 512 * 512, '\0');
    return archive;
}

inline std::string gzip_of(const std::string& text) {
    z_stream stream{};
    deflateInit2(&stream, 6, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY);
    std::string out(deflateBound(&stream, text.size()), '\0');
    stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(text.data()));
    stream.avail_in = static_cast<uInt>(text.size());
    stream.next_out = reinterpret_cast<Bytef*>(out.data());
    stream.avail_out = static_cast<uInt>(out.size());
    deflate(&stream, Z_FINISH);
    out.resize(stream.total_out);
    deflateEnd(&stream);
    return out;
}

inline std::string lzma_of(const std::string& text, bool xz) {
    lzma_options_lzma options;
    lzma_lzma_preset(&options, 6);
    std::string out(text.size() + 4096, '\0');
    lzma_stream stream = LZMA_STREAM_INIT;
    const lzma_ret begun = xz ? lzma_easy_encoder(&stream, 6, LZMA_CHECK_CRC32)
                              : lzma_alone_encoder(&stream, &options);
    if (begun != LZMA_OK) return {};
    stream.next_in = reinterpret_cast<const std::uint8_t*>(text.data());
    stream.avail_in = text.size();
    stream.next_out = reinterpret_cast<std::uint8_t*>(out.data());
    stream.avail_out = out.size();
    if (lzma_code(&stream, LZMA_FINISH) != LZMA_STREAM_END) return {};
    out.resize(stream.total_out);
    lzma_end(&stream);
    return out;
}

inline std::string lz4_legacy_of(const std::string& text) {
    std::string block(static_cast<std::size_t>(LZ4_compressBound(static_cast<int>(text.size()))),
                      '\0');
    const int size = LZ4_compress_default(text.data(), block.data(), static_cast<int>(text.size()),
                                          static_cast<int>(block.size()));
    std::string out = "\x02\x21\x4c\x18";
    for (int shift = 0; shift < 32; shift += 8)
        out += static_cast<char>(size >> shift & 0xff);
    return out + block.substr(0, static_cast<std::size_t>(size));
}

inline std::string compressed(Compression compression, const std::string& text) {
    switch (compression) {
        case Compression::gzip:
            return gzip_of(text);
        case Compression::xz:
            return lzma_of(text, true);
        case Compression::lzma:
            return lzma_of(text, false);
        case Compression::zstd: {
            std::string out(ZSTD_compressBound(text.size()), '\0');
            out.resize(ZSTD_compress(out.data(), out.size(), text.data(), text.size(), 3));
            return out;
        }
        case Compression::lz4: {
            std::string out(LZ4F_compressFrameBound(text.size(), nullptr), '\0');
            out.resize(
                LZ4F_compressFrame(out.data(), out.size(), text.data(), text.size(), nullptr));
            return out;
        }
        case Compression::lz4_legacy:
            return lz4_legacy_of(text);
        default:
            return text;
    }
}

/// The names that tell Debian's initramfs with open-iscsi.
inline std::vector<std::string> debian_names() {
    return {"conf/initramfs.conf",
            "scripts/init-top/udev",
            "scripts/local-top/iscsi",
            "usr/sbin/iscsistart",
            "usr/lib/modules/6.1.0-50-amd64/kernel/drivers/scsi/iscsi_tcp.ko",
            "usr/lib/modules/6.1.0-50-amd64/kernel/drivers/firmware/iscsi_ibft.ko",
            "usr/lib/modules/6.1.0-50-amd64/kernel/drivers/scsi/sd_mod.ko",
            "usr/lib/modules/6.1.0-50-amd64/kernel/drivers/net/virtio_net.ko.xz"};
}

}  // namespace cowtgt::boot
