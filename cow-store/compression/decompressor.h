#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string_view>

#include "cow-store/base/bytes.h"
#include "cow-store/base/result.h"

/// Compressed streams: images that are imported, initramfs archives inside of them.
namespace cowtgt::compression {

enum class Compression {
    none,
    gzip,
    xz,
    lzma,  ///< the older form, without a checksum
    zstd,
    lz4,
    lz4_legacy,  ///< as initramfs have it
    bzip2,       ///< known by name only
    lzop,        ///< known by name only
};
inline constexpr std::size_t magic_size_max = 6;  ///< bytes that compression_of looks at

Compression compression_of(Bytes beginning);
std::string_view to_string(Compression compression);

/// Undoes one stream (a member of gzip, a frame of zstd) in pieces of any size.
///
/// Memory is bounded whatever the stream says. No I/O; no thread of its own.
class Decompressor {
public:
    struct Step {
        std::size_t filled = 0;  ///< bytes of `out`, from its front
        bool ended = false;      ///< the stream is whole and its checksum is right
    };

    /// Null for what is not compressed or only known by name.
    static std::unique_ptr<Decompressor> make(Compression compression);

    virtual ~Decompressor() = default;
    /// Takes bytes off the front of `in`. A step that neither takes nor fills anything wants more
    /// input. corrupt: the stream is damaged. Not called again after `ended` or an error.
    /// Requires: out is not empty.
    virtual Result<Step> step(Bytes& in, MutableBytes out) = 0;
    /// Whether the stream is whole if no more input comes: one form has no mark of its end.
    virtual bool may_end_here() const { return false; }
};

/// Takes what is unpacked, in order; false: that is enough.
using Sink = std::function<bool(Bytes)>;
/// Undoes the stream at the front of `in` and takes it off, all of it unless the sink has enough.
/// corrupt: it is damaged or cut off; unsupported: it is only known by name.
Result<void> decompress(Compression compression, Bytes& in, const Sink& sink);

Error damaged_stream(Compression compression, std::string_view why);

/// The two kinds of lz4, made by Decompressor::make.
std::unique_ptr<Decompressor> make_lz4();
std::unique_ptr<Decompressor> make_lz4_legacy();

}  // namespace cowtgt::compression
