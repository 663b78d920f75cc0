#pragma once

#include <optional>
#include <string>

#include "cow-store/identity/formats.h"

namespace cowtgt::identity {

/// XFS of version 5 and 4 with an internal log. The UUID goes into the superblock of every
/// allocation group and into the last record of the log, which says that it was unmounted. In
/// version 5 the log may have to be replayed, which the kernel does at the first mount: then the
/// UUID goes into every record from tail to head, and into the superblocks that they hold. Version
/// 5 keeps its first UUID as sb_meta_uuid, which all other metadata is compared with.
Result<std::optional<Structure>> examine_xfs(const Window& window, const std::string& place);
Result<Patching> patch_xfs(const PatchRequest& request);

}  // namespace cowtgt::identity
