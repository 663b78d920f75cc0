#pragma once

#include <cstdint>
#include <string>

#include "cow-store/format/superblock.h"
#include "cow-store/map/checkpoint_builder.h"
#include "cow-store/map/cluster_map.h"
#include "cow-store/map/unit_allocator.h"
#include "cow-store/volume/layer_file.h"

namespace cowtgt {

/// All that is known of a layer after recovery; the volume goes on with it.
struct LayerState {
    Superblock superblock;  ///< as on disk, in both copies
    LayerSummary summary;
    ClusterMap map;
    MapOnDisk on_disk;
    UnitAllocator allocator;
    Uuid boot_id;             ///< of the running kernel
    std::uint64_t inode = 0;  ///< of the file
    std::string recovery_note;
};

/// Copy A, sync, copy B, sync: at rest both are the same, so one that rots is no loss, and while
/// they differ everything that either of them names is still there.
Result<void> write_superblocks(File& file, const Superblock& superblock);

LayerSummary summary_of(const Superblock& superblock);

}  // namespace cowtgt
