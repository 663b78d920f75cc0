#pragma once

#include <cstdint>
#include <vector>

#include "cow-store/base/result.h"
#include "cow-store/identity/ext_layout.h"
#include "cow-store/identity/window.h"

/// The little of ext file systems that a replay of the journal needs to find its way.
namespace cowtgt::identity::ext {

/// Where the blocks of an inode lie, by their number in the file. corrupt: it has holes, is not
/// a file, or is larger than bytes_max.
Result<std::vector<std::uint64_t>> blocks_of_inode(const Window& window, const Superblock& sb,
                                                   const Geometry& geometry, std::uint32_t number,
                                                   std::uint64_t bytes_max);

/// As the groups say; both counts of the superblock are sums of theirs.
struct FreeCounts {
    std::uint64_t blocks = 0;
    std::uint64_t inodes = 0;
};
Result<FreeCounts> free_counts(const Window& window, const Superblock& sb,
                               const Geometry& geometry);
void set_free_counts(Superblock& sb, const FreeCounts& counts);

}  // namespace cowtgt::identity::ext
