#pragma once

#include <optional>
#include <string>

#include "cow-store/identity/formats.h"

namespace cowtgt::identity {

/// FAT12, FAT16 and FAT32, as EFI system partitions have them. The serial number changes in the
/// boot sector and in its backup; a label also in the root directory.
Result<std::optional<Structure>> examine_fat(const Window& window, const std::string& place);
Result<Patching> patch_fat(const PatchRequest& request);

}  // namespace cowtgt::identity
