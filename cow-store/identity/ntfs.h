#pragma once

#include <optional>
#include <string>

#include "cow-store/identity/formats.h"

namespace cowtgt::identity {

/// NTFS: the serial number in the boot sector and in its copy at the end of the volume.
Result<std::optional<Structure>> examine_ntfs(const Window& window, const std::string& place);
Result<Patching> patch_ntfs(const PatchRequest& request);

}  // namespace cowtgt::identity
