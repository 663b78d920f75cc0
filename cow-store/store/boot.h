#pragma once

#include <string_view>

#include "cow-store/base/result.h"
#include "cow-store/store/layout.h"
#include "cow-store/store/store.h"

/// What the store does for instances that go back to their template at each boot. When that is due
/// is not decided here.
namespace cowtgt::store {

/// The snapshot that holds what the machine wrote before its last boot.
inline constexpr std::string_view last_boot_label = "last";

/// Store::set_boot_phase.
Result<void> set_boot_phase(const Context& context, std::string_view name, BootPhase phase);
/// Store::reset_for_boot.
Result<void> reset_for_boot(const Context& context, std::string_view name, BootPhase phase);

}  // namespace cowtgt::store
