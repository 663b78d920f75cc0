#pragma once

#include <optional>
#include <string>

#include "cow-store/identity/formats.h"

namespace cowtgt::identity {

/// A physical volume of LVM2 that is the only one of its group, with linear and striped logical
/// volumes. The ids of the physical volume, the group and the logical volumes change in the label
/// and in the metadata; the group's name stays, since root=/dev/mapper/... goes by it.
Result<std::optional<Structure>> examine_lvm2(const Window& window, const std::string& place);
Result<Patching> patch_lvm2(const PatchRequest& request);

}  // namespace cowtgt::identity
