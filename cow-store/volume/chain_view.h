#pragma once

#include <cstdint>
#include <vector>

#include "cow-store/map/cluster_map.h"
#include "cow-store/map/merged_map.h"

namespace cowtgt {

enum class ChainSource : std::uint8_t { zeros, layer, base };

/// Bytes of a disk that lie in one place.
struct ChainPiece {
    std::uint64_t length = 0;  ///< never 0
    ChainSource source = ChainSource::zeros;
    std::uint32_t level = 0;   ///< layer: 0 is the top
    std::uint64_t offset = 0;  ///< layer, base: bytes into that file
};

/// What lies above what. No I/O, no lock.
struct ChainView {
    using Level = MergedMap::Level;
    std::vector<Level> levels;
    /// Of all levels but the first, whose own maps are not asked then; null: there is none.
    const MergedMap* merged = nullptr;
    std::uint64_t base_size = 0;  ///< bytes of the raw image at the bottom; 0: none

    /// Where the disk's bytes from `offset` are: the beginning of them, at most `wanted`.
    /// Requires: wanted > 0 and the range lies inside the top level.
    ChainPiece find(std::uint64_t offset, std::uint64_t wanted) const;

private:
    ChainPiece find_merged(std::uint64_t offset, std::uint64_t wanted) const;
    ChainPiece find_in_base(std::uint64_t offset, std::uint64_t wanted) const;
};

}  // namespace cowtgt
