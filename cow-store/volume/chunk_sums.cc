#include "cow-store/volume/chunk_sums.h"

#include <algorithm>
#include <cstring>

#include "cow-store/base/checksum.h"

namespace cowtgt {

bool is_all_zeros(Bytes bytes) {
    if (bytes.empty()) return true;
    // The first byte is zero and each one equals the one before it.
    return bytes[0] == std::byte{0} &&
           std::memcmp(bytes.data(), bytes.data() + 1, bytes.size() - 1) == 0;
}

std::uint64_t chunk_hash(Bytes chunk) {
    if (is_all_zeros(chunk)) return 0;
    return std::max<std::uint64_t>(xxh3_64(chunk), 1);
}

bool ChunkSums::matches(std::uint64_t offset, Bytes chunk) const {
    const std::uint64_t index = offset / chunk_size;
    const std::uint64_t expected = index < hashes_.size() ? hashes_[index] : 0;
    return chunk_hash(chunk) == expected;
}

}  // namespace cowtgt
