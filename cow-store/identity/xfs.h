#pragma once

#include <optional>
#include <string>

#include "cow-store/identity/formats.h"

namespace cowtgt::identity {

/// XFS of version 5 and 4 with an internal log. Only a file system that was unmounted cleanly is
/// patched: the UUID goes into the superblock of every allocation group and into the last record of
/// the log, which is the unmount record. Version 5 keeps its first UUID as sb_meta_uuid, which all
/// other metadata is compared with.
Result<std::optional<Structure>> examine_xfs(const Window& window, const std::string& place);
Result<Patching> patch_xfs(const PatchRequest& request);

}  // namespace cowtgt::identity
