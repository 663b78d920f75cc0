#pragma once

#include <optional>
#include <string>

#include "cow-store/identity/formats.h"

namespace cowtgt::identity {

/// The outside of LUKS1 and LUKS2: the UUID of the container. What is inside cannot be read, and
/// all clones are opened by the same keys.
Result<std::optional<Structure>> examine_luks(const Window& window, const std::string& place);
Result<Patching> patch_luks(const PatchRequest& request);

}  // namespace cowtgt::identity
