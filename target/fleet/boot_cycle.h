#pragma once

#include <array>
#include <cstdint>

#include "cow-store/store/store.h"

/// When an ephemeral instance goes back to its template: once for each boot, at the first login
/// that only a boot makes, and never under a machine that runs.
///
/// A boot begins in the firmware (iPXE's logins have its ISID) or, where the boot script only loads
/// a kernel, with the script and then a first login of that kernel. A system that lost its
/// connection logs in again, too, but goes on numbering its commands. Time, absence and restarts of
/// the daemon are no events, so they change nothing.
///
/// After a reset the instance is `fresh` until a system has logged in: whatever firmware and boot
/// loader still ask for in between finds it as it is. Pure.
namespace cowtgt::fleet {

enum class BootEvent : std::uint8_t {
    script_asked,     ///< a boot script was asked for
    firmware_login,   ///< with iPXE's ISID
    first_login,      ///< another one, whose commands begin with number 0
    continued_login,  ///< another one, whose commands do not
};
enum class BootAction : std::uint8_t { keep, reset };

struct BootStep {
    BootAction action = BootAction::keep;
    store::BootPhase next = store::BootPhase::running;
};

struct BootRow {
    store::BootPhase phase;
    BootEvent event;
    BootStep step;
};

/// One row for each pair.
inline constexpr auto boot_rows = [] {
    using enum store::BootPhase;
    using enum BootEvent;
    using enum BootAction;
    return std::array{
        BootRow{running, script_asked, {keep, armed}},
        BootRow{running, firmware_login, {reset, fresh}},
        BootRow{running, first_login, {keep, running}},
        BootRow{running, continued_login, {keep, running}},
        BootRow{armed, script_asked, {keep, armed}},
        BootRow{armed, firmware_login, {reset, fresh}},
        BootRow{armed, first_login, {reset, running}},
        // It is running after all: somebody else asked for the script.
        BootRow{armed, continued_login, {keep, running}},
        // Nothing was written since the reset but by firmware.
        BootRow{fresh, script_asked, {keep, fresh}},
        BootRow{fresh, firmware_login, {keep, fresh}},
        BootRow{fresh, first_login, {keep, running}},
        BootRow{fresh, continued_login, {keep, running}},
    };
}();

constexpr BootStep next_step(store::BootPhase phase, BootEvent event) {
    for (const BootRow& row : boot_rows) {
        if (row.phase == phase && row.event == event) return row.step;
    }
    return {};
}

}  // namespace cowtgt::fleet
