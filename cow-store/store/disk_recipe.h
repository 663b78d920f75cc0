#pragma once

#include <vector>

#include "cow-store/base/result.h"
#include "cow-store/identity/identity.h"
#include "cow-store/store/chain.h"

namespace cowtgt::store {

/// What identifies a disk that was written to since its template was made, and which files name
/// it: `of_template` knows this for what is as it was, the layers are read. Takes as long as that.
Result<identity::Recipe> examine_disk(const ChainReader& disk, const identity::Recipe& of_template);

/// A disk that was in use when it was sealed, as it is once its journals are replayed.
struct ReplayedDisk {
    std::vector<identity::Patch> patches;  ///< what the replay changes
    identity::Recipe recipe;               ///< of the disk with the patches
};
/// Costs nothing when no journal needs it: then there are no patches, and the recipe is the same.
Result<ReplayedDisk> replay_disk(const identity::Recipe& recipe, const identity::BlockSource& disk);

}  // namespace cowtgt::store
