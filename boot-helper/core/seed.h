#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "boot-helper/core/fleet.h"

namespace cowtgt::boot {

/// A document of cloud-init's NoCloud source: meta-data, user-data, vendor-data, network-config.
/// Nothing for other names, and for a network-config that the machine does not have.
/// Requires: the machine has a seed.
std::optional<std::string> seed_document(const Machine& machine, std::string_view document);

}  // namespace cowtgt::boot
