#include <gtest/gtest.h>

#include "tests/unit/scsi/scsi_driver.h"

namespace cowtgt::scsi::test {
namespace {

constexpr std::uint8_t aptpl = 0x01;
constexpr std::string_view port = "iqn.2026-01.test:web01,t,0x0001";

LogicalUnitConfig keeping_config() {
    LogicalUnitConfig config = test_config();
    config.keeps_state = true;
    return config;
}

Answer out(Driver& driver, NexusId nexus, std::uint8_t action, std::uint64_t key,
           std::uint64_t action_key, std::uint8_t type, std::uint8_t flags) {
    Octets list;
    for (std::uint64_t value : {key, action_key, std::uint64_t{flags} << 24}) {
        for (int shift = 56; shift >= 0; shift -= 8) {
            list.push_back(static_cast<std::uint8_t>(value >> shift));
        }
    }
    Octets cdb = hex("5f 00 00 00 00 00000018 00");
    cdb[1] = action;
    cdb[2] = type;
    return driver.send_from(nexus, cdb, list);
}

TEST(KeptState, WithAptplRegistrationsAndReservationSurviveARestart) {
    LogicalUnitConfig config = keeping_config();
    Driver before(config);
    const NexusId a = before.first_nexus();
    EXPECT_TRUE(out(before, a, 6, 0, 0xabc, 0, aptpl).good());
    const Answer reserved = out(before, a, 1, 0xabc, 0, 5, 0);
    EXPECT_TRUE(reserved.good());
    EXPECT_EQ(reserved.kept,
              "cowtgt-unit 1\ngeneration 1\nregistrant 0000000000000abc 1 "
              "iqn.a,i,0x1 " +
                  std::string(port) + "\nreservation 5 iqn.a,i,0x1 " + std::string(port) + "\n");
    EXPECT_EQ(to_hex(before.send_hex("5e 02 00 00 00 00 00 00ff 00").data),
              "00 08 01 81 ea 01 00 00");

    config.kept_state = reserved.kept;
    Driver after(config);
    EXPECT_EQ(to_hex(after.send_hex("5e 00 00 00 00 00 00 00ff 00").data),
              "00 00 00 01 00 00 00 08 00 00 00 00 00 00 0a bc");
    const NexusId other = after.add_nexus("iqn.b,i,0x1");
    EXPECT_EQ(after.send_from(other, cdb_10(0x2a, 0, 1), repeat(0, 512)).status, 0x18);
    EXPECT_TRUE(after.send(cdb_10(0x2a, 0, 1), repeat(0, 512)).good());
    EXPECT_EQ(after.unit.state_to_keep(), reserved.kept);
}

TEST(KeptState, RegisteringWithoutAptplForgetsWhatWasKept) {
    Driver driver(keeping_config());
    const NexusId a = driver.first_nexus();
    EXPECT_FALSE(out(driver, a, 6, 0, 1, 0, aptpl).kept.empty());
    EXPECT_EQ(out(driver, a, 6, 0, 2, 0, 0).kept, "cowtgt-unit 1\n");
    EXPECT_EQ(out(driver, a, 1, 2, 0, 5, 0).kept, "");
}

TEST(KeptState, WhatCannotBeStoredIsNotSuccess) {
    Driver driver(keeping_config());
    driver.keeping = BlockStatus::io_error;
    EXPECT_EQ(out(driver, driver.first_nexus(), 6, 0, 1, 0, aptpl).sense,
              "70 00 03 00 00 00 00 0a 00 00 00 00 0c 00 00 00 00 00");
}

TEST(KeptState, IsNotTakenFromTextThatIsNotWhole) {
    const std::string good =
        "cowtgt-unit 1\ngeneration 7\nregistrant 00000000000000aa 1 i t\n"
        "reservation 1 i t\nsanitize restricted\n";
    EXPECT_TRUE(LogicalUnit::is_kept_state(good));
    EXPECT_TRUE(LogicalUnit::is_kept_state(""));
    for (const char* bad :
         {"cowtgt-unit 2\n", "cowtgt-unit 1", "cowtgt-unit 1\nsanitize\n",
          "cowtgt-unit 1\nsomething else\n", "cowtgt-unit 1\n\n", "cowtgt-unit 1\ngeneration -1\n",
          "cowtgt-unit 1\ngeneration 4294967296\n", "cowtgt-unit 1\nregistrant 0 1 i t\n",
          "cowtgt-unit 1\nregistrant xyz 1 i t\n", "cowtgt-unit 1\nregistrant aa 70000 i t\n",
          "cowtgt-unit 1\nregistrant aa 1 i\n", "cowtgt-unit 1\nreservation 1 i t\n",
          "cowtgt-unit 1\nreservation 7 i t\n",
          "cowtgt-unit 1\nregistrant aa 1 i t\nreservation 2 i t\n"}) {
        EXPECT_FALSE(LogicalUnit::is_kept_state(bad)) << bad;
    }
    LogicalUnitConfig config = keeping_config();
    config.kept_state = "cowtgt-unit 1\nregistrant aa 1 i t\nnonsense\n";
    Driver driver(config);
    EXPECT_EQ(driver.unit.state_to_keep(), "cowtgt-unit 1\n");
}

TEST(PreemptAndAbort, NamesTheNexusesThatLostTheirRegistration) {
    Driver driver;
    const NexusId a = driver.first_nexus();
    const NexusId b = driver.add_nexus("iqn.b,i,0x1");
    EXPECT_TRUE(out(driver, a, 6, 0, 1, 0, 0).good());
    EXPECT_TRUE(out(driver, b, 6, 0, 2, 0, 0).good());
    EXPECT_TRUE(out(driver, b, 1, 2, 0, 3, 0).good());
    const Answer preempting = out(driver, a, 5, 1, 2, 3, 0);
    EXPECT_TRUE(preempting.good());
    EXPECT_EQ(preempting.preempted, std::vector<NexusId>{b});
    EXPECT_EQ(driver.send_from(b, cdb_10(0x28, 0, 1)).sense,
              "70 00 06 00 00 00 00 0a 00 00 00 00 2a 05 00 00 00 00");
    EXPECT_EQ(driver.send_from(b, cdb_10(0x28, 0, 1)).status, 0x18);
    EXPECT_TRUE(driver.send(cdb_10(0x28, 0, 1)).good());
}

/// REGISTER AND MOVE to this initiator port.
Answer move(Driver& driver, NexusId nexus, std::uint64_t key, std::uint64_t action_key,
            const std::string& to, std::uint8_t flags = 0) {
    Octets name(to.begin(), to.end());
    name.resize((name.size() + 4) / 4 * 4);
    Octets list;
    for (std::uint64_t value : {key, action_key}) {
        for (int shift = 56; shift >= 0; shift -= 8) {
            list.push_back(static_cast<std::uint8_t>(value >> shift));
        }
    }
    for (unsigned byte :
         {0U, unsigned{flags}, 0U, 1U, 0U, 0U, 0U, static_cast<unsigned>(name.size() + 4), 0x45U,
          0U, 0U, static_cast<unsigned>(name.size())}) {
        list.push_back(static_cast<std::uint8_t>(byte));
    }
    list.insert(list.end(), name.begin(), name.end());
    Octets cdb = hex("5f 07 00 00 00 000000 00 00");
    cdb[8] = static_cast<std::uint8_t>(list.size());
    return driver.send_from(nexus, cdb, list);
}

TEST(RegisterAndMove, GivesTheReservationToAnotherPort) {
    Driver driver;
    const NexusId a = driver.first_nexus();
    const NexusId b = driver.add_nexus("iqn.b,i,0x1");
    EXPECT_EQ(move(driver, a, 1, 2, "iqn.b,i,0x1").status, 0x18);
    EXPECT_TRUE(out(driver, a, 6, 0, 1, 0, 0).good());
    EXPECT_EQ(move(driver, a, 1, 2, "iqn.b,i,0x1").status, 0x18);
    EXPECT_TRUE(out(driver, a, 1, 1, 0, 3, 0).good());
    EXPECT_EQ(move(driver, a, 1, 0, "iqn.b,i,0x1").sense, invalid_parameter(8));
    EXPECT_EQ(move(driver, a, 1, 2, "iqn.b").sense, invalid_parameter(24));
    EXPECT_TRUE(move(driver, a, 1, 2, "iqn.b,i,0x1", 0x02).good());
    EXPECT_EQ(driver.send_from(a, cdb_10(0x28, 0, 1)).status, 0x18);
    EXPECT_TRUE(driver.send_from(b, cdb_10(0x28, 0, 1)).good());
    EXPECT_EQ(to_hex(driver.send_from(b, hex("5e 00 00 00 00 00 00 00ff 00")).data),
              "00 00 00 02 00 00 00 08 00 00 00 00 00 00 00 02");
}

TEST(Reserve10, IsAsReserve6) {
    Driver driver;
    const NexusId other = driver.add_nexus("iqn.b,i,0x1");
    EXPECT_TRUE(driver.send_hex("56 00 00 00 00 00 00 0000 00").good());
    EXPECT_EQ(driver.send_from(other, hex("00 00 00 00 00 00")).status, 0x18);
    EXPECT_TRUE(driver.send_from(other, hex("57 00 00 00 00 00 00 0000 00")).good());
    EXPECT_EQ(driver.send_from(other, hex("00 00 00 00 00 00")).status, 0x18);
    EXPECT_TRUE(driver.send_hex("57 00 00 00 00 00 00 0000 00").good());
    EXPECT_TRUE(driver.send_from(other, hex("00 00 00 00 00 00")).good());
}

}  // namespace
}  // namespace cowtgt::scsi::test
