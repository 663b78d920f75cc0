#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string_view>

#include "cow-store/base/bytes.h"
#include "cow-store/base/result.h"

namespace cowtgt::boot {

enum class Compression : std::uint8_t { none, gzip, xz, lzma, zstd, lz4, lz4_legacy, other };
std::string_view to_string(Compression compression);

/// By the first bytes; none when they are those of no compression that kernels know.
Compression compression_of(Bytes bytes);

/// Given decompressed bytes in order; false ends the work without an error.
using DecompressSink = std::function<bool(Bytes)>;

/// Decompresses one stream from the front of `in` and returns how many bytes of `in` it took: an
/// initrd may go on behind it. corrupt for bytes that are no such stream, unsupported for `other`.
Result<std::size_t> decompress(Compression compression, Bytes in, const DecompressSink& sink);

}  // namespace cowtgt::boot
