#include "boot-helper/stages/stages.h"

#include <gtest/gtest.h>

namespace cowtgt::boot {
namespace {

constexpr std::int64_t start_ms = 1'700'000'000'000;
constexpr std::int64_t minute_ms = 60'000;

TEST(Stages, KernelModeBootFromScriptToReady) {
    StageTracker tracker;
    std::int64_t now_ms = start_ms;
    const auto see = [&](Sighting sighting) {
        tracker.see("web1", sighting, now_ms += 1'000);
        return tracker.report("web1", now_ms).stage;
    };
    EXPECT_EQ(tracker.report("web1", now_ms).stage, Stage::off);
    EXPECT_EQ(see(Sighting::script_asked), Stage::script);
    EXPECT_EQ(see(Sighting::firmware_login), Stage::firmware_login);  // sanhook
    EXPECT_EQ(see(Sighting::kernel_asked), Stage::kernel);
    EXPECT_EQ(see(Sighting::initrd_asked), Stage::initrd);
    EXPECT_EQ(see(Sighting::linux_login), Stage::linux_login);
    EXPECT_EQ(see(Sighting::linux_login), Stage::linux_login);  // a second path
    EXPECT_EQ(see(Sighting::linux_goes_on), Stage::ready);      // iscsid takes over
    EXPECT_EQ(see(Sighting::linux_goes_on), Stage::ready);      // and comes back after a while
    EXPECT_EQ(tracker.report("web1", now_ms).boot_began_ms, start_ms + 1'000);
    EXPECT_EQ(see(Sighting::last_session_ended), Stage::off);
}

TEST(Stages, DiskModeWithoutHttpBeginsAtTheFirmwareLogin) {
    StageTracker tracker;
    EXPECT_TRUE(tracker.see("web1", Sighting::firmware_login, start_ms));
    EXPECT_EQ(tracker.report("web1", start_ms).boot_began_ms, start_ms);
    EXPECT_TRUE(tracker.see("web1", Sighting::linux_login, start_ms + 1));
    EXPECT_TRUE(tracker.see("web1", Sighting::firmware_login, start_ms + 2)) << "a reboot";
    EXPECT_EQ(tracker.report("web1", start_ms + 2).boot_began_ms, start_ms + 2);
}

TEST(Stages, BetweenFirmwareAndLinuxThereIsNoSessionAndTheMachineIsNotOff) {
    StageTracker tracker;
    tracker.see("web1", Sighting::script_asked, start_ms);
    tracker.see("web1", Sighting::firmware_login, start_ms + 1);
    EXPECT_FALSE(tracker.see("web1", Sighting::last_session_ended, start_ms + 2));
    EXPECT_EQ(tracker.report("web1", start_ms + 2).stage, Stage::firmware_login);
}

TEST(Stages, ABlobFetchedByARunningMachineChangesNothing) {
    StageTracker tracker;
    tracker.see("web1", Sighting::linux_login, start_ms);
    EXPECT_FALSE(tracker.see("web1", Sighting::kernel_asked, start_ms + 1));
    EXPECT_FALSE(tracker.see("web1", Sighting::initrd_asked, start_ms + 1));
    EXPECT_EQ(tracker.report("web1", start_ms + 1).since_ms, start_ms);
}

TEST(Stages, StuckAfterTheLimitAndToldOnce) {
    StageTracker tracker;
    tracker.see("web1", Sighting::script_asked, start_ms);
    tracker.see("web1", Sighting::initrd_asked, start_ms);
    EXPECT_FALSE(tracker.report("web1", start_ms + 3 * minute_ms).stuck);
    EXPECT_TRUE(tracker.newly_stuck(start_ms + 3 * minute_ms).empty());
    const std::int64_t late_ms = start_ms + 4 * minute_ms;
    EXPECT_EQ(describe(tracker.report("web1", late_ms), late_ms), "stuck at initrd for 4 min");
    const std::vector<StuckEvent> events = tracker.newly_stuck(late_ms);
    ASSERT_EQ(events.size(), 1U);
    EXPECT_EQ(events[0].name, "web1");
    EXPECT_EQ(events[0].stage, Stage::initrd);
    EXPECT_EQ(events[0].since_ms, start_ms);
    EXPECT_TRUE(tracker.newly_stuck(late_ms + minute_ms).empty());
}

TEST(Stages, AMachineThatGoesRoundIsStuckThoughNoStageLasts) {
    StageTracker tracker;
    std::size_t told = 0;
    for (std::int64_t at_ms = 0; at_ms <= 20 * minute_ms; at_ms += 30'000) {
        tracker.see("web1", Sighting::script_asked, start_ms + at_ms);
        tracker.see("web1", Sighting::firmware_login, start_ms + at_ms + 1);
        told += tracker.newly_stuck(start_ms + at_ms + 2).size();
        EXPECT_EQ(tracker.report("web1", start_ms + at_ms + 2).stuck, at_ms >= 10 * minute_ms);
    }
    EXPECT_EQ(told, 1U);
}

TEST(Stages, ARunningMachineIsNeverStuck) {
    StageTracker tracker;
    tracker.see("web1", Sighting::linux_login, start_ms);
    EXPECT_FALSE(tracker.report("web1", start_ms + 100'000 * minute_ms).stuck);
}

TEST(Stages, ANewBootIsToldAgain) {
    StageTracker tracker;
    tracker.see("web1", Sighting::script_asked, start_ms);
    EXPECT_EQ(tracker.newly_stuck(start_ms + 5 * minute_ms).size(), 1U);
    tracker.see("web1", Sighting::linux_login, start_ms + 6 * minute_ms);
    tracker.see("web1", Sighting::script_asked, start_ms + 7 * minute_ms);
    EXPECT_EQ(tracker.newly_stuck(start_ms + 12 * minute_ms).size(), 1U);
}

TEST(Stages, DescribeSaysHowLong) {
    const StageReport report{Stage::linux_login, start_ms, 0, false};
    EXPECT_EQ(describe(report, start_ms + 8'999), "linux for 8 s");
    EXPECT_EQ(describe(report, start_ms + 3'600'000), "linux for 1 h");
    EXPECT_EQ(describe(report, start_ms + 3 * 86'400'000LL), "linux for 3 d");
    EXPECT_EQ(describe(report, start_ms - 5'000), "linux for 0 s") << "the clock was set back";
    EXPECT_EQ(describe({}, start_ms), "off");
}

config::MacAddress numbered_mac(std::size_t number) {
    return {{0x52, 0x54, 0, 0, static_cast<std::uint8_t>(number >> 8),
             static_cast<std::uint8_t>(number)}};
}

TEST(UnknownMachines, CountsAndListsTheLatestFirst) {
    UnknownMachines unknown;
    unknown.see({numbered_mac(1), "u1", "i386", "10.0.0.9"}, start_ms);
    unknown.see({numbered_mac(2), "u2", "x86_64", "10.0.0.8"}, start_ms + 1);
    unknown.see({numbered_mac(1), "u1", "i386", "10.0.0.9"}, start_ms + 2);
    const std::vector<UnknownMachine> list = unknown.list();
    ASSERT_EQ(list.size(), 2U);
    EXPECT_EQ(list[0].mac, numbered_mac(1));
    EXPECT_EQ(list[0].count, 2U);
    EXPECT_EQ(list[0].first_seen_ms, start_ms);
    EXPECT_EQ(list[1].uuid, "u2");
    unknown.forget(numbered_mac(1));
    EXPECT_EQ(unknown.list().size(), 1U);
}

TEST(UnknownMachines, IsBounded) {
    UnknownMachines unknown;
    for (std::size_t n = 0; n <= UnknownMachines::entries_max; ++n) {
        unknown.see({numbered_mac(n), "", "", ""}, start_ms + static_cast<std::int64_t>(n));
    }
    const std::vector<UnknownMachine> list = unknown.list();
    EXPECT_EQ(list.size(), UnknownMachines::entries_max);
    EXPECT_EQ(list.back().mac, numbered_mac(1)) << "the one silent longest made room";
}

}  // namespace
}  // namespace cowtgt::boot
