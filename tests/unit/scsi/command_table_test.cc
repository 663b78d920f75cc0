#include "target/scsi/commands.h"

#include <gtest/gtest.h>

#include "tests/unit/scsi/scsi_driver.h"

namespace cowtgt::scsi::test {
namespace {

Octets plain_cdb(const CommandRow& row) {
    Octets cdb(row.length);
    cdb[0] = row.operation_code;
    if (row.has_service_action()) cdb[1] = static_cast<std::uint8_t>(row.service_action);
    return cdb;
}

TEST(CommandTable, EveryUnusedBitIsRefusedWithItsPlace) {
    Driver driver;
    for (const CommandRow& row : all_commands()) {
        for (std::size_t byte = 1; byte < row.length; ++byte) {
            for (int bit = 0; bit < 8; ++bit) {
                if ((row.usage[byte] >> bit & 1) != 0) continue;
                SCOPED_TRACE(testing::Message() << row.name << " byte " << byte << " bit " << bit);
                Octets cdb = plain_cdb(row);
                cdb[byte] = static_cast<std::uint8_t>(cdb[byte] | 1U << bit);
                const Answer answer = driver.send(cdb);
                EXPECT_EQ(answer.status, 0x02);
                EXPECT_EQ(answer.sense, invalid_field(static_cast<unsigned>(byte), bit));
            }
        }
    }
}

TEST(CommandTable, BytesBehindTheCdbAreNotLookedAt) {
    Driver driver;
    Octets cdb = hex("00 00 00 00 00 00");
    cdb.resize(16, 0xff);
    EXPECT_TRUE(driver.send(cdb).good());
}

TEST(CommandTable, EveryOtherOperationCodeIsUnknown) {
    Driver driver;
    for (unsigned code = 0; code < 256; ++code) {
        const auto operation_code = static_cast<std::uint8_t>(code);
        if (!commands_with(operation_code).empty()) continue;
        SCOPED_TRACE(code);
        Octets cdb(16);
        cdb[0] = operation_code;
        EXPECT_EQ(driver.send(cdb).sense, invalid_operation_code);
    }
}

TEST(CommandTable, EveryOtherServiceActionIsAnInvalidField) {
    Driver driver;
    for (std::uint8_t code : Octets{0x48, 0x5e, 0x5f, 0x83, 0x84, 0x9e, 0xa3}) {
        for (unsigned action = 0; action < 32; ++action) {
            bool known = false;
            for (const CommandRow& row : commands_with(code)) {
                known = known || row.service_action == action;
            }
            if (known) continue;
            Octets cdb(16);
            cdb[0] = code;
            cdb[1] = static_cast<std::uint8_t>(action);
            SCOPED_TRACE(testing::Message() << unsigned{code} << " action " << action);
            EXPECT_EQ(driver.send(cdb).sense, invalid_field(1, 4));
        }
    }
}

TEST(CommandTable, NacaIsRefused) {
    Driver driver;
    EXPECT_EQ(driver.send_hex("28 00 00000000 00 0001 04").sense, invalid_field(9, 2));
}

TEST(CommandTable, DescriptorSenseCarriesTheFieldPointer) {
    Driver driver;
    ASSERT_TRUE(
        driver
            .send(hex("15 10 00 00 10 00"), hex("00 00 00 00 0a 0a 06 10 00 00 00 00 ff ff 00 00"))
            .good());
    EXPECT_EQ(driver.send_hex("28 20 00000000 00 0001 00").sense,
              "72 05 24 00 00 00 00 08 02 06 00 00 cd 00 01 00");
}

TEST(CommandTable, AFullyProvisionedUnitHasNoProvisioningCommands) {
    LogicalUnitConfig config = test_config();
    config.thin = false;
    Driver driver(config);
    EXPECT_EQ(driver.send_hex("42 00 00000000 00 0000 00").sense, invalid_operation_code);
    EXPECT_EQ(driver.send_hex("9e 12 0000000000000000 00000018 00 00").sense, invalid_field(1, 4));
    EXPECT_EQ(driver.send(cdb_10(0x41, 0, 1, 0x08), repeat(0, 512)).sense, invalid_field(1, 3));
}

// REPORT SUPPORTED OPERATION CODES

TEST(ReportSupportedOperationCodes, ListsEveryRowOfTheTable) {
    Driver driver;
    for (const bool timeouts : {false, true}) {
        const Answer answer = driver.send(
            hex(timeouts ? "a3 0c 80 00 0000 0000ffff 00 00" : "a3 0c 00 00 0000 0000ffff 00 00"));
        ASSERT_TRUE(answer.good());
        Octets expected;
        for (const CommandRow& row : all_commands()) {
            const bool has_action = row.has_service_action();
            const std::uint16_t action = has_action ? row.service_action : std::uint16_t{0};
            const auto flags =
                static_cast<std::uint8_t>((timeouts ? 0x02 : 0) | (has_action ? 0x01 : 0));
            for (unsigned byte :
                 {unsigned{row.operation_code}, 0U, unsigned{action} >> 8, unsigned{action} & 0xff,
                  0U, unsigned{flags}, 0U, unsigned{row.length}}) {
                expected.push_back(static_cast<std::uint8_t>(byte));
            }
            const Octets descriptor = hex("00 0a 00 00 00 00 00 00 00 00 00 00");
            if (timeouts) expected.insert(expected.end(), descriptor.begin(), descriptor.end());
        }
        const std::size_t length = expected.size();
        ASSERT_LT(length, 65536U);
        Octets header{0, 0, static_cast<std::uint8_t>(length >> 8),
                      static_cast<std::uint8_t>(length)};
        expected.insert(expected.begin(), header.begin(), header.end());
        EXPECT_EQ(to_hex(answer.data), to_hex(expected));
    }
}

TEST(ReportSupportedOperationCodes, ShowsTheUsageOfOneCommand) {
    Driver driver;
    EXPECT_EQ(to_hex(driver.send_hex("a3 0c 01 28 0000 0000ffff 00 00").data),
              "00 03 00 0a 28 18 ff ff ff ff 3f ff ff 00");
    EXPECT_EQ(to_hex(driver.send_hex("a3 0c 02 9e 0010 0000ffff 00 00").data),
              "00 03 00 10 9e 10 00 00 00 00 00 00 00 00 ff ff ff ff 00 00");
    EXPECT_EQ(to_hex(driver.send_hex("a3 0c 81 00 0000 0000ffff 00 00").data),
              "00 83 00 06 00 00 00 00 00 00 00 0a 00 00 00 00 00 00 00 00 00 00");
    EXPECT_EQ(to_hex(driver.send_hex("a3 0c 01 12 0000 0000000a 00 00").data),
              "00 03 00 06 12 01 ff ff ff 00");
    EXPECT_EQ(to_hex(driver.send_hex("a3 0c 01 7f 0000 0000ffff 00 00").data), "00 01 00 00");
    EXPECT_EQ(to_hex(driver.send_hex("a3 0c 02 9e 0011 0000ffff 00 00").data), "00 01 00 00");
    EXPECT_EQ(to_hex(driver.send_hex("a3 0c 03 28 0000 00000004 00 00").data), "00 03 00 0a");
}

TEST(ReportSupportedOperationCodes, RefusesTheWrongOptionWithAFieldPointer) {
    Driver driver;
    EXPECT_EQ(driver.send_hex("a3 0c 01 9e 0010 0000ffff 00 00").sense, invalid_field(2, 2));
    EXPECT_EQ(driver.send_hex("a3 0c 02 28 0000 0000ffff 00 00").sense, invalid_field(2, 2));
    EXPECT_EQ(driver.send_hex("a3 0c 07 28 0000 0000ffff 00 00").sense, invalid_field(2, 2));
}

}  // namespace
}  // namespace cowtgt::scsi::test
