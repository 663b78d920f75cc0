#pragma once

#include <array>
#include <cstdint>

#include "cow-store/base/bytes.h"

/// The checksums that Btrfs and LUKS2 have on disk beside CRC32C.
namespace cowtgt::identity {

using Digest256 = std::array<std::byte, 32>;

/// FIPS 180-4 section 6.2.
Digest256 sha256(Bytes message);

/// RFC 7693: BLAKE2b without a key, 32 bytes long.
Digest256 blake2b_256(Bytes message);

/// XXH64 with seed 0.
std::uint64_t xxh64(Bytes message);

}  // namespace cowtgt::identity
