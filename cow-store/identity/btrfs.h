#pragma once

#include <optional>
#include <string>

#include "cow-store/identity/formats.h"

namespace cowtgt::identity {

/// Btrfs on one device. The fsid changes in every copy of the superblock; the first one stays as
/// metadata_uuid, which all other metadata is compared with. A log tree may be waiting for its
/// replay: it does not contain the fsid.
Result<std::optional<Structure>> examine_btrfs(const Window& window, const std::string& place);
Result<Patching> patch_btrfs(const PatchRequest& request);

}  // namespace cowtgt::identity
