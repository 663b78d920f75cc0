#pragma once

#include "cow-store/identity/identity.h"

namespace cowtgt::identity {

/// Examines `image`, makes patches for a clone of `disk_size` bytes, and aborts when a property
/// does not hold that must hold for every image whatsoever:
/// - patches are ascending, disjoint, inside the disk and inside the structures of the recipe;
/// - what was patched is found again, whole, and can be patched again.
void check_identity_properties(const BlockSource& image, std::uint64_t disk_size);

}  // namespace cowtgt::identity
