#include "target/scsi/reservations.h"

#include <gtest/gtest.h>

#include "tests/unit/scsi/scsi_driver.h"

namespace cowtgt::scsi::test {
namespace {

constexpr std::uint8_t conflict = 0x18;
constexpr std::string_view test_unit_ready = "00 00 00 00 00 00";
constexpr std::uint64_t key_a = 0x1111111111111111;
constexpr std::uint64_t key_b = 0x2222222222222222;

enum Action : std::uint8_t {
    register_key,
    reserve,
    release,
    clear,
    preempt,
    register_and_ignore = 6,
};

/// Two nexuses, A and B.
struct TwoInitiators {
    Driver driver;
    NexusId a = driver.first_nexus();
    NexusId b = driver.add_nexus("iqn.b,i,0x1");

    Answer out(NexusId nexus, Action action, std::uint64_t key, std::uint64_t action_key,
               std::uint8_t type = 0) {
        Octets list;
        for (std::uint64_t value : {key, action_key, std::uint64_t{0}}) {
            for (int shift = 56; shift >= 0; shift -= 8) {
                list.push_back(static_cast<std::uint8_t>(value >> shift));
            }
        }
        Octets cdb = hex("5f 00 00 00 00 00000018 00");
        cdb[1] = action;
        cdb[2] = type;
        return driver.send_from(nexus, cdb, list);
    }
    std::string in(std::uint8_t action, std::uint8_t allocation = 0xff) {
        Octets cdb = hex("5e 00 00 00 00 00 00 0000 00");
        cdb[1] = action;
        cdb[8] = allocation;
        return to_hex(driver.send_from(a, cdb).data);
    }
    bool reads(NexusId nexus) { return driver.send_from(nexus, cdb_10(0x28, 0, 1)).good(); }
    bool writes(NexusId nexus) {
        return driver.send_from(nexus, cdb_10(0x2a, 0, 1), repeat(0, 512)).good();
    }
    std::string ready(NexusId nexus) {
        const Answer answer = driver.send_from(nexus, hex(test_unit_ready));
        return answer.sense.empty() ? "" : answer.sense.substr(36, 5);
    }
    void register_both() {
        EXPECT_TRUE(out(a, register_and_ignore, 0, key_a).good());
        EXPECT_TRUE(out(b, register_and_ignore, 0, key_b).good());
    }
};

TEST(Reserve6, KeepsTheOtherNexusOut) {
    TwoInitiators two;
    ASSERT_TRUE(two.driver.send_from(two.a, hex("16 00 00 00 00 00")).good());
    ASSERT_TRUE(two.driver.send_from(two.a, hex("16 00 00 00 00 00")).good());
    for (const char* cdb :
         {"00 00 00 00 00 00", "1a 08 0a 00 ff 00", "28 00 00000000 00 0001 00",
          "2a 00 00000000 00 0001 00", "16 00 00 00 00 00", "5e 00 00 00 00 00 00 00ff 00",
          "25 00 00000000 0000 00 00", "35 00 00000000 00 0000 00"}) {
        EXPECT_EQ(two.driver.send_from(two.b, hex(cdb)).status, conflict) << cdb;
    }
    for (const char* cdb : {"12 00 00 0024 00", "03 00 00 00 12 00",
                            "a0 00 00 000000 00001000 00 00", "17 00 00 00 00 00"}) {
        EXPECT_TRUE(two.driver.send_from(two.b, hex(cdb)).good()) << cdb;
    }
    EXPECT_FALSE(two.reads(two.b));  // B's RELEASE changed nothing
    EXPECT_TRUE(two.reads(two.a));
    ASSERT_TRUE(two.driver.send_from(two.a, hex("17 00 00 00 00 00")).good());
    EXPECT_TRUE(two.reads(two.b));
}

TEST(Reserve6, EndsWithItsNexusAndWithEveryReset) {
    for (int how = 0; how < 4; ++how) {
        SCOPED_TRACE(how);
        TwoInitiators two;
        ASSERT_TRUE(two.driver.send_from(two.a, hex("16 00 00 00 00 00")).good());
        if (how == 3) {
            two.driver.unit.remove_nexus(two.a);
        } else {
            two.driver.unit.reset(static_cast<ResetKind>(how), two.b);
            EXPECT_NE(two.ready(two.b), "");
        }
        EXPECT_TRUE(two.reads(two.b));
    }
}

TEST(Reserve6, ConflictsWithRegistrations) {
    TwoInitiators two;
    ASSERT_TRUE(two.out(two.a, register_key, 0, key_a).good());
    EXPECT_EQ(two.driver.send_from(two.b, hex("16 00 00 00 00 00")).status, conflict);
}

TEST(PersistentReserve, RegisterChangesAndRemovesKeys) {
    TwoInitiators two;
    EXPECT_EQ(two.in(0), "00 00 00 00 00 00 00 00");
    EXPECT_TRUE(two.out(two.a, register_key, 0, key_a).good());
    EXPECT_EQ(two.in(0), "00 00 00 01 00 00 00 08 11 11 11 11 11 11 11 11");
    EXPECT_EQ(two.out(two.a, register_key, key_b, key_b).status, conflict);
    EXPECT_EQ(two.out(two.b, register_key, key_a, key_b).status, conflict);
    EXPECT_TRUE(two.out(two.a, register_key, key_a, key_b).good());
    EXPECT_EQ(two.in(0), "00 00 00 02 00 00 00 08 22 22 22 22 22 22 22 22");
    EXPECT_TRUE(two.out(two.a, register_key, key_b, 0).good());
    EXPECT_EQ(two.in(0), "00 00 00 03 00 00 00 00");
}

TEST(PersistentReserve, ReadKeysKeepsTheWholeLengthWhenCut) {
    TwoInitiators two;
    two.register_both();
    EXPECT_EQ(two.in(0, 8), "00 00 00 02 00 00 00 10");
}

TEST(PersistentReserve, CapabilitiesNameAllSixTypes) {
    TwoInitiators two;
    EXPECT_EQ(two.in(2), "00 08 00 80 ea 01 00 00");
}

struct AccessRow {
    std::uint8_t type;
    bool registered_reads, registered_writes, others_read, others_write;
};
constexpr std::array access_rows = {
    AccessRow{1, true, false, true, false}, AccessRow{3, false, false, false, false},
    AccessRow{5, true, true, true, false},  AccessRow{6, true, true, false, false},
    AccessRow{7, true, true, true, false},  AccessRow{8, true, true, false, false},
};

TEST(PersistentReserve, EachTypeAllowsWhatItShould) {
    for (const AccessRow& row : access_rows) {
        SCOPED_TRACE(unsigned{row.type});
        TwoInitiators two;
        two.register_both();
        ASSERT_TRUE(two.out(two.a, reserve, key_a, 0, row.type).good());
        EXPECT_TRUE(two.reads(two.a) && two.writes(two.a));
        EXPECT_EQ(two.reads(two.b), row.registered_reads);
        EXPECT_EQ(two.writes(two.b), row.registered_writes);
        ASSERT_TRUE(two.out(two.b, register_key, key_b, 0).good());
        EXPECT_EQ(two.reads(two.b), row.others_read);
        EXPECT_EQ(two.writes(two.b), row.others_write);
        EXPECT_EQ(two.ready(two.b), "");
        ASSERT_TRUE(two.out(two.a, release, key_a, 0, row.type).good());
        EXPECT_TRUE(two.writes(two.b));
    }
}

TEST(PersistentReserve, ReadReservationShowsTheHolder) {
    TwoInitiators two;
    two.register_both();
    EXPECT_EQ(two.in(1), "00 00 00 02 00 00 00 00");
    ASSERT_TRUE(two.out(two.a, reserve, key_a, 0, 3).good());
    EXPECT_EQ(two.in(1), "00 00 00 02 00 00 00 10 11 11 11 11 11 11 11 11 00 00 00 00 00 03 00 00");
    ASSERT_TRUE(two.out(two.a, release, key_a, 0, 3).good());
    ASSERT_TRUE(two.out(two.a, reserve, key_a, 0, 8).good());
    EXPECT_EQ(two.in(1), "00 00 00 02 00 00 00 10 00 00 00 00 00 00 00 00 00 00 00 00 00 08 00 00");
}

TEST(PersistentReserve, FullStatusNamesTheRegistrants) {
    TwoInitiators two;
    ASSERT_TRUE(two.out(two.b, register_key, 0, key_b).good());
    ASSERT_TRUE(two.out(two.b, reserve, key_b, 0, 1).good());
    EXPECT_EQ(two.in(3),
              "00 00 00 01 00 00 00 30 "
              "22 22 22 22 22 22 22 22 00 00 00 00 01 01 00 00 00 00 00 01 00 00 00 18 "
              "45 00 00 14 69 71 6e 2e 62 2c 69 2c 30 78 31 00 00 00 00 00 00 00 00 00");
}

TEST(PersistentReserve, UnregisteringTheHolderReleasesAndTellsTheOthersOnce) {
    for (const AccessRow& row : access_rows) {
        SCOPED_TRACE(unsigned{row.type});
        TwoInitiators two;
        two.register_both();
        ASSERT_TRUE(two.out(two.a, reserve, key_a, 0, row.type).good());
        ASSERT_TRUE(two.out(two.a, register_key, key_a, 0).good());
        EXPECT_EQ(two.ready(two.a), "");
        if (row.type >= 7) {
            EXPECT_NE(two.in(1), "00 00 00 03 00 00 00 00");
            EXPECT_TRUE(two.out(two.b, release, key_b, 0, row.type).good());
        } else {
            EXPECT_EQ(two.in(1), "00 00 00 03 00 00 00 00");
            EXPECT_EQ(two.ready(two.b), row.type >= 5 ? "2a 04" : "");
            EXPECT_EQ(two.ready(two.b), "");
        }
        EXPECT_TRUE(two.out(two.b, register_key, key_b, 0).good());
    }
}

TEST(PersistentReserve, OnlyTheHolderReleasesAndOnlyItsType) {
    TwoInitiators two;
    two.register_both();
    ASSERT_TRUE(two.out(two.a, reserve, key_a, 0, 5).good());
    EXPECT_EQ(two.out(two.b, reserve, key_b, 0, 5).status, conflict);
    EXPECT_EQ(two.out(two.a, reserve, key_a, 0, 6).status, conflict);
    EXPECT_TRUE(two.out(two.a, reserve, key_a, 0, 5).good());
    EXPECT_TRUE(two.out(two.b, release, key_b, 0, 5).good());  // without effect
    EXPECT_EQ(two.out(two.a, release, key_b, 0, 5).status, conflict);
    EXPECT_EQ(two.out(two.a, release, key_a, 0, 6).sense,
              "70 00 05 00 00 00 00 0a 00 00 00 00 26 04 00 00 00 00");
    EXPECT_TRUE(two.out(two.a, release, key_a, 0, 5).good());
    EXPECT_EQ(two.ready(two.b), "2a 04");
}

TEST(PersistentReserve, ClearForgetsEverybody) {
    TwoInitiators two;
    two.register_both();
    ASSERT_TRUE(two.out(two.a, reserve, key_a, 0, 3).good());
    EXPECT_EQ(two.out(two.b, clear, key_a, 0).status, conflict);
    EXPECT_TRUE(two.out(two.b, clear, key_b, 0).good());
    EXPECT_EQ(two.ready(two.a), "2a 03");
    EXPECT_EQ(two.in(0), "00 00 00 03 00 00 00 00");
    EXPECT_TRUE(two.writes(two.b));
}

TEST(PersistentReserve, PreemptRemovesARegistrationAndCountsOnce) {
    TwoInitiators two;
    two.register_both();
    ASSERT_TRUE(two.out(two.b, preempt, key_b, key_a, 3).good());
    EXPECT_EQ(two.ready(two.a), "2a 05");
    EXPECT_EQ(two.ready(two.b), "");
    EXPECT_EQ(two.in(0), "00 00 00 03 00 00 00 08 22 22 22 22 22 22 22 22");
    EXPECT_EQ(two.out(two.b, preempt, key_b, key_a, 3).status, conflict);
    EXPECT_EQ(two.out(two.b, preempt, key_b, 0, 3).sense, invalid_parameter(8));
}

TEST(PersistentReserve, PreemptTakesTheReservation) {
    for (const AccessRow& row : access_rows) {
        SCOPED_TRACE(unsigned{row.type});
        TwoInitiators two;
        two.register_both();
        ASSERT_TRUE(two.out(two.a, reserve, key_a, 0, row.type).good());
        const std::uint64_t victim = row.type >= 7 ? 0 : key_a;
        ASSERT_TRUE(two.out(two.b, preempt, key_b, victim, 3).good());
        EXPECT_EQ(two.ready(two.a), "2a 05");
        EXPECT_FALSE(two.reads(two.a));
        EXPECT_TRUE(two.writes(two.b));
        EXPECT_EQ(two.in(1),
                  "00 00 00 03 00 00 00 10 22 22 22 22 22 22 22 22 00 00 00 00 00 03 00 00");
    }
}

TEST(PersistentReserve, OutlivesTheSessionOfItsNexus) {
    TwoInitiators two;
    two.register_both();
    ASSERT_TRUE(two.out(two.b, reserve, key_b, 0, 3).good());
    two.driver.unit.remove_nexus(two.b);
    two.driver.unit.reset(ResetKind::target_cold, {});
    EXPECT_EQ(two.ready(two.a), "29 00");
    EXPECT_FALSE(two.reads(two.a));
    two.b = two.driver.add_nexus("iqn.b,i,0x1");
    EXPECT_TRUE(two.reads(two.b));
}

TEST(PersistentReserve, RefusesWhatItDoesNotOffer) {
    TwoInitiators two;
    ASSERT_TRUE(two.out(two.a, register_key, 0, key_a).good());
    EXPECT_EQ(two.out(two.a, reserve, key_a, 0, 0x11).sense, invalid_field(2, 7));
    for (std::uint8_t type : Octets{0, 2, 4, 9, 15}) {
        EXPECT_EQ(two.out(two.a, reserve, key_a, 0, type).sense, invalid_field(2, 3));
    }
    Octets list = repeat(0, 24);
    list[20] = 0x01;  // APTPL
    EXPECT_EQ(two.driver.send(hex("5f 06 00 00 00 00000018 00"), list).sense,
              invalid_parameter(20, 0));
    list[20] = 0x08;  // SPEC_I_PT
    EXPECT_EQ(two.driver.send(hex("5f 06 00 00 00 00000018 00"), list).sense,
              invalid_parameter(20));
    EXPECT_EQ(two.driver.send(hex("5f 06 00 00 00 00000019 00"), repeat(0, 25)).sense,
              parameter_list_length_error);
    EXPECT_EQ(two.driver.send(hex("5f 06 00 00 00 00000018 00"), repeat(0, 23)).sense,
              parameter_list_length_error);
}

TEST(PersistentReserve, RegistrationsAreLimited) {
    Reservations all;
    for (std::size_t i = 0; i < registrants_max; ++i) {
        const Registrant who{{"i" + std::to_string(i), "t"}, 1, 0};
        EXPECT_EQ(all.register_key(who, 0, 1, Reservations::KeyCheck::must_match).verdict,
                  Reservations::Verdict::done);
    }
    EXPECT_EQ(all.register_key({{"one more", "t"}, 1, 0}, 0, 1, Reservations::KeyCheck::must_match)
                  .verdict,
              Reservations::Verdict::no_resources);
}

}  // namespace
}  // namespace cowtgt::scsi::test
