#pragma once

#include <optional>
#include <string>

#include "cow-store/identity/formats.h"

namespace cowtgt::identity {

/// exFAT (Microsoft's specification 1.00). The serial number changes in the boot sector and in its
/// backup, each with the checksum of its boot region.
Result<std::optional<Structure>> examine_exfat(const Window& window, const std::string& place);
Result<Patching> patch_exfat(const PatchRequest& request);

}  // namespace cowtgt::identity
