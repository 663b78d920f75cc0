#include <gtest/gtest.h>

#include "tests/unit/scsi/scsi_driver.h"

namespace cowtgt::scsi::test {
namespace {

std::string attention(const std::string& code) {
    return "70 00 06 00 00 00 00 0a 00 00 00 00 " + code + " 00 00 00 00";
}

std::string ready(Driver& driver, NexusId nexus) {
    return driver.send_from(nexus, hex("00 00 00 00 00 00")).sense;
}

TEST(UnitAttention, IsReportedOnceByTheFirstCommandThatMay) {
    Driver driver;
    const NexusId nexus = driver.unit.add_nexus({"iqn.b,i,0x1", "t", 1});
    EXPECT_TRUE(driver.send_from(nexus, hex("12 00 00 0024 00")).good());
    EXPECT_TRUE(driver.send_from(nexus, hex("a0 00 00 000000 00001000 00 00")).good());
    EXPECT_EQ(driver.send_from(nexus, cdb_10(0x28, 0, 1)).sense, attention("29 00"));
    EXPECT_TRUE(driver.send_from(nexus, cdb_10(0x28, 0, 1)).good());
}

TEST(UnitAttention, ResetsReachEveryNexusTheIssuerIncluded) {
    struct Case {
        ResetKind kind;
        const char* code;
    };
    for (const Case& one :
         {Case{ResetKind::logical_unit, "29 03"}, Case{ResetKind::target_warm, "29 02"},
          Case{ResetKind::target_cold, "29 00"}}) {
        Driver driver;
        const NexusId other = driver.add_nexus("iqn.b,i,0x1");
        driver.unit.reset(one.kind, driver.first_nexus());
        for (NexusId nexus : {driver.first_nexus(), other}) {
            EXPECT_EQ(ready(driver, nexus), attention(one.code));
            EXPECT_EQ(ready(driver, nexus), "");
        }
    }
}

TEST(UnitAttention, AResetRestoresTheModeParameters) {
    Driver driver;
    ASSERT_TRUE(
        driver
            .send(hex("15 10 00 00 10 00"), hex("00 00 00 00 0a 0a 06 10 08 00 00 00 ff ff 00 00"))
            .good());
    driver.unit.reset(ResetKind::logical_unit, {});
    EXPECT_EQ(ready(driver, driver.first_nexus()), attention("29 03"));
    EXPECT_TRUE(driver.send(cdb_10(0x2a, 0, 1), repeat(0, 512)).good());
}

TEST(UnitAttention, SeveralAreReportedOneByOneResetsFirst) {
    Driver driver;
    driver.unit.capacity_changed();
    driver.unit.reset(ResetKind::logical_unit, {});
    EXPECT_EQ(ready(driver, driver.first_nexus()), attention("29 03"));
    EXPECT_EQ(ready(driver, driver.first_nexus()), attention("2a 09"));
    EXPECT_EQ(ready(driver, driver.first_nexus()), "");
}

TEST(UnitAttention, ChangedModeParametersAndClearedTasksAreToldToTheOthers) {
    Driver driver;
    const NexusId other = driver.add_nexus("iqn.b,i,0x1");
    ASSERT_TRUE(
        driver
            .send(hex("15 10 00 00 10 00"), hex("00 00 00 00 0a 0a 02 10 08 00 00 00 ff ff 00 00"))
            .good());
    EXPECT_EQ(ready(driver, driver.first_nexus()), "");
    EXPECT_EQ(ready(driver, other), attention("2a 01"));
    driver.unit.commands_cleared(other);
    EXPECT_EQ(ready(driver, other), "");
    EXPECT_EQ(ready(driver, driver.first_nexus()), attention("2f 00"));
}

TEST(UnitAttention, WhatTheOperatorChangesIsToldToEveryNexus) {
    LogicalUnitConfig config = test_config();
    Driver driver(config);
    const auto change_and_listen = [&] {
        driver.unit.reconfigure(config);
        std::string codes;
        for (int i = 0; i < 3; ++i) {
            const std::string sense = ready(driver, driver.first_nexus());
            if (!sense.empty()) codes += sense.substr(36, 5) + ";";
        }
        return codes;
    };
    EXPECT_EQ(change_and_listen(), "");
    config.read_only = true;
    EXPECT_EQ(change_and_listen(), "2a 01;");
    EXPECT_EQ(driver.send(cdb_10(0x2a, 0, 1), repeat(0, 512)).sense,
              "70 00 07 00 00 00 00 0a 00 00 00 00 27 01 00 00 00 00");
    config.read_only = false;
    config.removable = true;
    EXPECT_EQ(change_and_listen(), "2a 01;3f 03;");
    EXPECT_EQ(driver.send_hex("12 00 00 0024 00").data[1], 0x80);
    config.physical_block_size = 512;
    EXPECT_EQ(change_and_listen(), "2a 09;3f 03;");
    config.write_cache = false;
    EXPECT_EQ(change_and_listen(), "2a 01;");
    ASSERT_EQ(driver.run_background().size(), 1U);  // what the cache held becomes durable
    EXPECT_FALSE(driver.unit.write_cache_enabled());
    driver.unit.luns_changed();
    EXPECT_EQ(ready(driver, driver.first_nexus()), attention("3f 0e"));
}

TEST(UnitAttention, SpaceThatBecomesLowIsToldOnceToEveryNexus) {
    constexpr std::uint64_t mib = 1 << 20;
    Driver driver;
    const NexusId other = driver.add_nexus("iqn.b,i,0x1");
    const auto expect_told = [&](const std::string& told) {
        EXPECT_EQ(ready(driver, driver.first_nexus()), told);
        EXPECT_EQ(ready(driver, other), told);
    };
    EXPECT_FALSE(driver.unit.see_space({100 * mib, 80 * mib}, {}));
    expect_told("");
    EXPECT_FALSE(driver.unit.see_space({79 * mib, 80 * mib}, {}));
    expect_told(attention("38 07"));
    // It swings around the threshold, then there is an eighth more, then it is low again.
    for (const std::uint64_t free : {81U, 79U, 89U, 90U}) {
        (void)driver.unit.see_space({free * mib, 80 * mib}, {});
        expect_told("");
    }
    (void)driver.unit.see_space({70 * mib, 80 * mib}, {});
    expect_told(attention("38 07"));
    // A quota has a threshold of its own, and what was low already is no news.
    EXPECT_FALSE(driver.unit.see_space({70 * mib, 80 * mib}, SpaceLeft{9 * mib, 4 * mib}));
    expect_told("");
    EXPECT_TRUE(driver.unit.see_space({70 * mib, 80 * mib}, SpaceLeft{3 * mib, 4 * mib}));
    expect_told(attention("38 07"));
}

TEST(UnitAttention, NoThresholdIsNeverReached) {
    Driver driver;
    (void)driver.unit.see_space({100, 0}, {});
    (void)driver.unit.see_space({0, 0}, {});
    EXPECT_EQ(ready(driver, driver.first_nexus()), "");
}

TEST(UnitAttention, ANewNexusInAnOldPlaceKnowsNothingOfIt) {
    Driver driver;
    const NexusId old = driver.add_nexus("iqn.b,i,0x1");
    driver.unit.capacity_changed();
    driver.unit.remove_nexus(old);
    const NexusId fresh = driver.add_nexus("iqn.c,i,0x1");
    EXPECT_EQ(fresh, old);
    EXPECT_EQ(ready(driver, fresh), "");
}

}  // namespace
}  // namespace cowtgt::scsi::test
