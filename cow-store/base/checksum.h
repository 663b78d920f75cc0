#pragma once

#include <cstdint>

#include "cow-store/base/bytes.h"

namespace cowtgt {

/// CRC32C (Castagnoli, reflected polynomial 0x82F63B78) as a raw state: start with crc32c_start,
/// chain over fragments, finish with crc32c_finish. ext4 and XFS start the same way; ext4 leaves
/// the final inversion out. Uses SSE4.2 for short and ISA-L for long input where the build has it.
inline constexpr std::uint32_t crc32c_start = 0xffffffffU;
std::uint32_t crc32c_update(std::uint32_t state, Bytes bytes);
constexpr std::uint32_t crc32c_finish(std::uint32_t state) {
    return ~state;
}
/// The finished CRC32C of one piece ("123456789" gives 0xe3069283).
std::uint32_t crc32c(Bytes bytes);

/// CRC-32 of zlib, Ethernet and GPT (reflected polynomial 0xEDB88320, inverted at both ends).
std::uint32_t crc32_ieee(Bytes bytes);

/// XXH3 with 64 bits, seed 0: all metadata of the store and the data of sealed layers.
std::uint64_t xxh3_64(Bytes bytes);

}  // namespace cowtgt
