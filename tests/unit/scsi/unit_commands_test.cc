#include <gtest/gtest.h>

#include "tests/unit/scsi/scsi_driver.h"

namespace cowtgt::scsi::test {
namespace {

constexpr std::string_view no_medium = "70 00 02 00 00 00 00 0a 00 00 00 00 3a 00 00 00 00 00";
constexpr std::string_view prevented = "70 00 05 00 00 00 00 0a 00 00 00 00 53 02 00 00 00 00";
constexpr std::string_view eject = "1b 00 00 00 02 00";
constexpr std::string_view load = "1b 00 00 00 03 00";
constexpr std::string_view prevent = "1e 00 00 00 01 00";
constexpr std::string_view allow = "1e 00 00 00 00 00";
constexpr std::string_view test_unit_ready = "00 00 00 00 00 00";

LogicalUnitConfig removable() {
    LogicalUnitConfig config = test_config();
    config.removable = true;
    return config;
}

TEST(ReadCapacity, SmallAndLargeDisks) {
    Driver small;
    EXPECT_EQ(to_hex(small.send_hex("25 00 00000000 0000 00 00").data), "00 00 1f ff 00 00 02 00");
    EXPECT_EQ(to_hex(small.send_hex("9e 10 0000000000000000 00000020 00 00").data),
              "00 00 00 00 00 00 1f ff 00 00 02 00 00 03 c0 00 "
              "00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00");
    for (unsigned length = 0; length <= 16; ++length) {
        Octets cdb = hex("9e 10 0000000000000000 00000000 00 00");
        cdb[13] = static_cast<std::uint8_t>(length);
        EXPECT_EQ(small.send(cdb).data.size(), length);
    }
}

TEST(ReadCapacity, PhysicalBlocksAndProvisioningAreThoseOfTheUnit) {
    LogicalUnitConfig config = test_config();
    config.thin = false;
    Driver driver(config, {4096, 4096, BlockCount{100}});
    EXPECT_EQ(to_hex(driver.send_hex("9e 10 0000000000000000 00000010 00 00").data),
              "00 00 00 00 00 00 00 63 00 00 10 00 00 00 00 00");
    EXPECT_EQ(driver.send_hex("25 00 00000000 0000 01 00").sense, invalid_field(8, 0));
}

TEST(ReadDefectData, ListsAreEmpty) {
    Driver driver;
    EXPECT_EQ(to_hex(driver.send_hex("37 00 18 00000000 00ff 00").data), "00 18 00 00");
    EXPECT_EQ(to_hex(driver.send_hex("37 00 0d 00000000 0003 00").data), "00 0d 00");
    EXPECT_EQ(to_hex(driver.send_hex("b7 18 00000000 000000ff 00 00").data),
              "00 18 00 00 00 00 00 00");
}

TEST(RequestSense, HandsOutTheUnitAttentionOnce) {
    Driver driver;
    const NexusId nexus = driver.unit.add_nexus({"iqn.b,i,0x1", "t", 1});
    EXPECT_EQ(to_hex(driver.send_from(nexus, hex("03 00 00 00 ff 00")).data),
              "70 00 06 00 00 00 00 0a 00 00 00 00 29 00 00 00 00 00");
    EXPECT_EQ(to_hex(driver.send_from(nexus, hex("03 00 00 00 12 00")).data),
              "70 00 00 00 00 00 00 0a 00 00 00 00 00 00 00 00 00 00");
    EXPECT_EQ(to_hex(driver.send_from(nexus, hex("03 01 00 00 ff 00")).data),
              "72 00 00 00 00 00 00 00");
    EXPECT_TRUE(driver.send_from(nexus, hex(test_unit_ready)).good());
}

TEST(ReportLuns, HasLunZero) {
    Driver driver;
    EXPECT_EQ(to_hex(driver.send_hex("a0 00 00 000000 00001000 00 00").data),
              "00 00 00 08 00 00 00 00 00 00 00 00 00 00 00 00");
    EXPECT_EQ(to_hex(driver.send_hex("a0 00 01 000000 00001000 00 00").data),
              "00 00 00 00 00 00 00 00");
    EXPECT_EQ(to_hex(driver.send_hex("a0 00 02 000000 00000008 00 00").data),
              "00 00 00 08 00 00 00 00");
    EXPECT_EQ(driver.send_hex("a0 00 03 000000 00001000 00 00").sense, invalid_field(2));
}

TEST(ReportTargetPortGroups, OneActiveGroupAtAnyAllocationLength) {
    Driver driver;
    const std::string group = "00 01 00 01 00 00 00 01 00 00 00 01";
    const Octets whole = hex("00 00 00 0c " + group);
    EXPECT_EQ(driver.send_hex("a3 0a 00000000 000000ff 00 00").data, whole);
    EXPECT_EQ(driver.send_hex("a3 2a 00000000 000000ff 00 00").data,
              hex("00 00 00 10 10 00 00 00 " + group));
    EXPECT_EQ(driver.send_hex("a3 4a 00000000 000000ff 00 00").sense, invalid_field(1, 7));
    for (std::uint8_t length = 0; length <= 16; ++length) {
        Octets cdb = hex("a3 0a 00000000 00000000 00 00");
        cdb[9] = length;
        EXPECT_EQ(driver.send(cdb).data, Octets(whole.begin(), whole.begin() + length));
    }
}

TEST(LogSense, ListsItself) {
    Driver driver;
    EXPECT_EQ(to_hex(driver.send_hex("4d 00 40 00 000000 00ff 00").data), "00 00 00 01 00");
    EXPECT_EQ(driver.send_hex("4d 00 4c 00 000000 00ff 00").sense, invalid_field(2, 5));
    EXPECT_EQ(driver.send_hex("4d 00 40 01 000000 00ff 00").sense, invalid_field(3));
}

TEST(LogSense, WhatTheUnitHasAndWhatIsLeftInThresholdSets) {
    Driver driver;
    driver.device.allocated = (5U << 20) + 1;
    EXPECT_EQ(to_hex(driver.send_hex("4d 00 40 00 000000 00ff 00").data), "00 00 00 02 00 0c");
    const std::string used = "00 02 03 08 00 00 00 06 01 00 00 00";
    EXPECT_EQ(to_hex(driver.send_hex("4d 00 4c 00 000000 00ff 00").data), "0c 00 00 0c " + used);
    (void)driver.unit.see_space({300U << 20, 1U << 20}, {});
    EXPECT_EQ(to_hex(driver.send_hex("4d 00 4c 00 000000 00ff 00").data),
              "0c 00 00 18 00 01 03 08 00 00 01 2c 02 00 00 00 " + used);
}

TEST(StartStopUnit, StoppingFlushesAndTheUnitStaysReady) {
    Driver driver;
    const Answer stop = driver.send_hex("1b 00 00 00 00 00");
    EXPECT_TRUE(stop.good());
    ASSERT_EQ(stop.steps.size(), 1U);
    EXPECT_EQ(stop.steps[0].operation, BlockOperation::flush);
    EXPECT_TRUE(driver.send_hex(test_unit_ready).good());
    EXPECT_TRUE(driver.send_hex("1b 00 00 00 01 00").good());
    EXPECT_EQ(driver.send_hex(eject).sense, invalid_field(4, 1));
    EXPECT_TRUE(driver.send_hex("1d 04 00 00 00 00").good());
}

TEST(RemovableMedium, IsGoneAfterEjectAndBackAfterLoad) {
    Driver driver(removable());
    ASSERT_TRUE(driver.send_hex(eject).good());
    EXPECT_EQ(driver.send_hex(test_unit_ready).sense, no_medium);
    EXPECT_EQ(driver.send_hex("25 00 00000000 0000 00 00").sense, no_medium);
    EXPECT_EQ(driver.send_hex("9e 10 0000000000000000 00000020 00 00").sense, no_medium);
    for (std::uint8_t code :
         Octets{0x28, 0xa8, 0x88, 0x2a, 0xaa, 0x8a, 0x2e, 0xae, 0x8e, 0x2f, 0xaf,
                0x8f, 0x34, 0x90, 0x35, 0x91, 0x41, 0x93, 0x8b, 0x89, 0x9c, 0x42}) {
        Octets cdb = block_cdb(code, 0, 1);
        if (code == 0x42) cdb[8] = 0;
        EXPECT_EQ(driver.send(cdb, repeat(0, 512)).sense, no_medium) << unsigned{code};
    }
    EXPECT_TRUE(driver.send_hex("12 00 00 0024 00").good());
    EXPECT_TRUE(driver.send_hex("1a 08 0a 00 ff 00").good());
    const NexusId other = driver.unit.add_nexus({"iqn.b,i,0x1", "t", 1});
    driver.send_from(other, hex(test_unit_ready));
    ASSERT_TRUE(driver.send_hex(load).good());
    EXPECT_TRUE(driver.send_hex(test_unit_ready).good());
    EXPECT_EQ(driver.send_from(other, hex(test_unit_ready)).sense,
              "70 00 06 00 00 00 00 0a 00 00 00 00 28 00 00 00 00 00");
}

TEST(RemovableMedium, APowerConditionMovesNothing) {
    Driver driver(removable());
    EXPECT_TRUE(driver.send_hex("1b 00 00 00 22 00").good());
    EXPECT_TRUE(driver.send_hex(test_unit_ready).good());
}

TEST(PreventAllow, RefusesBothEjectAndLoad) {
    Driver driver(removable());
    ASSERT_TRUE(driver.send_hex(prevent).good());
    EXPECT_EQ(driver.send_hex(eject).sense, prevented);
    EXPECT_TRUE(driver.send_hex(test_unit_ready).good());
    ASSERT_TRUE(driver.send_hex(allow).good());
    ASSERT_TRUE(driver.send_hex(eject).good());
    ASSERT_TRUE(driver.send_hex(prevent).good());
    EXPECT_EQ(driver.send_hex(load).sense, prevented);
    ASSERT_TRUE(driver.send_hex(allow).good());
    EXPECT_TRUE(driver.send_hex(load).good());
}

TEST(PreventAllow, IsKeptPerNexusAndEndsWithItOrWithAReset) {
    Driver driver(removable());
    const NexusId other = driver.add_nexus("iqn.b,i,0x1");
    ASSERT_TRUE(driver.send_from(other, hex(prevent)).good());
    ASSERT_TRUE(driver.send_hex(allow).good());
    EXPECT_EQ(driver.send_hex(eject).sense, prevented);
    driver.unit.remove_nexus(other);
    EXPECT_TRUE(driver.send_hex(eject).good());
    EXPECT_TRUE(driver.send_hex(load).good());
    for (ResetKind kind :
         {ResetKind::logical_unit, ResetKind::target_warm, ResetKind::target_cold}) {
        ASSERT_TRUE(driver.send_hex(prevent).good());
        driver.unit.reset(kind, driver.first_nexus());
        EXPECT_EQ(driver.send_hex(test_unit_ready).status, 0x02);
        EXPECT_TRUE(driver.send_hex(eject).good());
        EXPECT_TRUE(driver.send_hex(load).good());
    }
}

}  // namespace
}  // namespace cowtgt::scsi::test
