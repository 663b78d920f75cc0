#pragma once

#include <optional>
#include <string>

#include "cow-store/identity/formats.h"

namespace cowtgt::identity {

/// Swap space of Linux, version 1. One that holds the memory of a hibernated machine is kept.
Result<std::optional<Structure>> examine_swap(const Window& window, const std::string& place);
Result<Patching> patch_swap(const PatchRequest& request);

}  // namespace cowtgt::identity
