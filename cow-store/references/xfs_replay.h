#pragma once

#include <vector>

#include "cow-store/base/result.h"
#include "cow-store/identity/identity.h"
#include "cow-store/identity/window.h"

namespace cowtgt::references::xfs {

/// What the kernel makes of the metadata of an XFS when it replays its log, for reading only: lay
/// it over the image to see the files as they are after a mount. Checksums are as they were, and
/// the lists of free and of unlinked inodes are left out. Nothing for a log that is clean.
///
/// Offsets are bytes from the start of the disk; ascending, without overlap.
/// Errors are reasons to keep, or say that the image cannot be read.
Result<std::vector<identity::Patch>> replayed_metadata(const identity::Window& window);

}  // namespace cowtgt::references::xfs
