#pragma once

#include <optional>
#include <string>

#include "cow-store/base/result.h"
#include "cow-store/identity/identity.h"
#include "cow-store/identity/window.h"

namespace cowtgt::identity {

/// A member of an MD RAID (Linux software RAID). Comes before the formats: the file system inside
/// may be seen through a member of a mirror.
Result<std::optional<Structure>> examine_raid_member(const Window& window,
                                                     const std::string& place);

/// What is recognised by its magic bytes only, and therefore kept. Comes after the formats that
/// can be patched, and tells people why their file system has the template's identity.
Result<std::optional<Structure>> examine_signatures(const Window& window, const std::string& place);

}  // namespace cowtgt::identity
