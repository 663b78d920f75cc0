// When an ephemeral instance goes back to its template (DESIGN section 7, promise 8).

#include "target/fleet/boot_cycle.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <random>
#include <vector>

namespace cowtgt::fleet {
namespace {

using store::BootPhase;
using enum BootEvent;

constexpr std::array all_phases = {BootPhase::running, BootPhase::armed, BootPhase::fresh};
constexpr std::array all_events = {script_asked, firmware_login, first_login, continued_login};

/// After which of these the instance was reset.
std::vector<std::size_t> resets_of(const std::vector<BootEvent>& events) {
    std::vector<std::size_t> resets;
    BootPhase phase = BootPhase::running;
    for (std::size_t i = 0; i < events.size(); ++i) {
        const BootStep step = next_step(phase, events[i]);
        if (step.action == BootAction::reset) resets.push_back(i);
        phase = step.next;
    }
    return resets;
}

TEST(BootCycle, EachPairHasOneRow) {
    for (const BootPhase phase : all_phases) {
        for (const BootEvent event : all_events) {
            EXPECT_EQ(std::ranges::count_if(boot_rows,
                                            [&](const BootRow& row) {
                                                return row.phase == phase && row.event == event;
                                            }),
                      1);
        }
    }
}

TEST(BootCycle, ABootThroughFirmwareResetsAtItsFirstLoginOnly) {
    // iPXE asks for its script, probes, hooks the disk; iscsistart; iscsid takes over.
    const std::vector<BootEvent> boot = {script_asked, firmware_login, firmware_login, first_login,
                                         continued_login};
    EXPECT_EQ(resets_of(boot), std::vector<std::size_t>{1});
    std::vector<BootEvent> twice = boot;
    twice.insert(twice.end(), boot.begin(), boot.end());
    EXPECT_EQ(resets_of(twice), (std::vector<std::size_t>{1, 6}));
}

TEST(BootCycle, ABootThatOnlyLoadsAKernelResetsAtTheFirstLogin) {
    EXPECT_EQ(resets_of({script_asked, script_asked, first_login, continued_login, script_asked,
                         first_login}),
              (std::vector<std::size_t>{2, 5}));
}

TEST(BootCycle, AScriptBetweenTheFirmwaresAndTheKernelsLoginChangesNothing) {
    EXPECT_EQ(resets_of({firmware_login, script_asked, first_login, first_login}),
              std::vector<std::size_t>{0});
}

TEST(BootCycle, WithoutABootNothingIsReset) {
    EXPECT_EQ(resets_of({first_login, continued_login, first_login, continued_login}),
              std::vector<std::size_t>{});
    // Somebody looks at the script of a machine that runs: its next login says that it does.
    EXPECT_EQ(resets_of({first_login, script_asked, continued_login, first_login}),
              std::vector<std::size_t>{});
}

TEST(BootCycle, NoHistoryResetsTwiceWithoutASystemInBetweenNorAtAContinuedLogin) {
    constexpr std::uint32_t seed = 20261123;
    SCOPED_TRACE(seed);
    std::mt19937 random(seed);
    for (int round = 0; round < 2000; ++round) {
        BootPhase phase = BootPhase::running;
        bool system_since_reset = true;
        for (int i = 0; i < 30; ++i) {
            const BootEvent event = all_events[random() % all_events.size()];
            const BootStep step = next_step(phase, event);
            if (step.action == BootAction::reset) {
                ASSERT_TRUE(event == firmware_login || event == first_login);
                ASSERT_TRUE(event == firmware_login || phase == BootPhase::armed);
                ASSERT_TRUE(system_since_reset);
                system_since_reset = false;
            }
            if (event == first_login || event == continued_login) system_since_reset = true;
            phase = step.next;
        }
    }
}

}  // namespace
}  // namespace cowtgt::fleet
