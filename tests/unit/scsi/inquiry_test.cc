#include <gtest/gtest.h>

#include <algorithm>

#include "tests/unit/scsi/scsi_driver.h"

namespace cowtgt::scsi::test {
namespace {

Octets vpd(Driver& driver, std::uint8_t page) {
    Octets cdb = hex("12 01 00 ffff 00");
    cdb[2] = page;
    const Answer answer = driver.send(cdb);
    EXPECT_TRUE(answer.good());
    return answer.data;
}

TEST(Inquiry, StandardData) {
    Driver driver;
    const Answer answer = driver.send_hex("12 00 00 0104 00");
    EXPECT_EQ(to_hex(answer.data),
              "00 00 06 12 5b 18 00 02 "
              "43 4f 57 54 47 54 20 20 "                          // COWTGT
              "43 4f 57 20 56 4f 4c 55 4d 45 20 20 20 20 20 20 "  // COW VOLUME
              "30 30 30 31 "                                      // 0001
              "00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 "
              "00 a0 09 60 04 60 04 c0 "  // SAM-5 iSCSI SPC-4 SBC-3
              "00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 "
              "00 00");
    EXPECT_EQ(answer.data_in_total, 96U);
}

TEST(Inquiry, TheAllocationLengthCutsAndNothingElse) {
    Driver driver;
    const Octets whole = driver.send_hex("12 00 00 0104 00").data;
    for (std::size_t length : {0U, 4U, 5U, 36U, 66U, 96U, 254U, 511U, 512U}) {
        Octets cdb = hex("12 00 00 0000 00");
        cdb[3] = static_cast<std::uint8_t>(length >> 8);
        cdb[4] = static_cast<std::uint8_t>(length);
        Octets expected = whole;
        expected.resize(std::min(length, whole.size()));
        EXPECT_EQ(driver.send(cdb).data, expected) << length;
    }
}

TEST(Inquiry, APageCodeNeedsEvpd) {
    Driver driver;
    EXPECT_EQ(driver.send_hex("12 00 80 00ff 00").sense, invalid_field(2));
    EXPECT_EQ(driver.send_hex("12 01 81 00ff 00").sense, invalid_field(2));
}

TEST(Inquiry, RemovableIsShown) {
    LogicalUnitConfig config = test_config();
    config.removable = true;
    Driver driver(config);
    EXPECT_EQ(driver.send_hex("12 00 00 0002 00").data, hex("00 80"));
}

TEST(Vpd, EveryListedPageCanBeReadAndTheListAscends) {
    Driver driver;
    const Octets list = vpd(driver, 0x00);
    EXPECT_EQ(to_hex(list), "00 00 00 08 00 80 83 86 8f b0 b1 b2");
    for (std::size_t i = 4; i < list.size(); ++i) {
        const Octets page = vpd(driver, list[i]);
        ASSERT_GE(page.size(), 4U);
        EXPECT_EQ(page[1], list[i]);
        EXPECT_EQ(page.size(), page[2] * 256U + page[3] + 4U);
    }
}

TEST(Vpd, SerialNumber) {
    Driver driver;
    EXPECT_EQ(to_hex(vpd(driver, 0x80)),
              "00 80 00 10 30 31 32 33 34 35 36 37 38 39 61 62 63 64 65 66");
    EXPECT_EQ(driver.send_hex("12 01 80 0004 00").data, hex("00 80 00 10"));
}

TEST(Vpd, DeviceIdentification) {
    Driver driver;
    EXPECT_EQ(to_hex(vpd(driver, 0x83)),
              "00 83 00 80 "
              "01 03 00 10 60 61 62 63 64 65 66 67 68 69 6a 6b 6c 6d 6e 6f "
              "02 01 00 18 43 4f 57 54 47 54 20 20 "
              "30 31 32 33 34 35 36 37 38 39 61 62 63 64 65 66 "
              "51 94 00 04 00 00 00 01 "
              "51 95 00 04 00 00 00 01 "
              "53 98 00 20 "
              "69 71 6e 2e 32 30 32 36 2d 30 31 2e 74 65 73 74 3a 77 65 62 30 31 "  // port name
              "2c 74 2c 30 78 30 30 30 31 00 "
              "53 a8 00 18 "
              "69 71 6e 2e 32 30 32 36 2d 30 31 2e 74 65 73 74 3a 77 65 62 30 31 00 00");
}

TEST(Vpd, LongNamesStayInsideTheirDescriptors) {
    LogicalUnitConfig config = test_config();
    config.serial.assign(300, 's');
    Driver driver(config);
    const NexusId nexus = driver.add_nexus("iqn.b,i,0x1");
    const Answer answer = driver.send_from(nexus, hex("12 01 83 ffff 00"));
    EXPECT_EQ(answer.data.size(), answer.data[2] * 256U + answer.data[3] + 4U);
    for (std::size_t at = 4; at < answer.data.size();) {
        at += 4U + answer.data[at + 3];
        EXPECT_LE(at, answer.data.size());
    }
}

TEST(Vpd, BlockLimits) {
    Driver driver;
    EXPECT_EQ(to_hex(vpd(driver, 0xb0)),
              "00 b0 00 3c 00 01 00 08 "
              "00 00 40 00 00 00 08 00 00 00 00 00 "  // 8 MiB at most, 1 MiB best, prefetch
              "00 10 00 00 00 00 01 00 00 00 00 08 80 00 00 00 "
              "00 00 00 00 00 00 80 00 "  // WRITE SAME: 32768 blocks
              "00 00 01 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00");
}

TEST(Vpd, LimitsOfAFullyProvisionedUnit) {
    LogicalUnitConfig config = test_config();
    config.thin = false;
    Driver driver(config);
    const Octets limits = vpd(driver, 0xb0);
    EXPECT_EQ(to_hex({limits.begin() + 20, limits.begin() + 36}),
              "00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00");
    EXPECT_EQ(to_hex(vpd(driver, 0xb2)), "00 b2 00 04 00 00 00 00");
}

TEST(Vpd, CharacteristicsAndProvisioning) {
    Driver driver;
    const Octets characteristics = vpd(driver, 0xb1);
    EXPECT_EQ(characteristics.size(), 64U);
    EXPECT_EQ(to_hex({characteristics.begin(), characteristics.begin() + 8}),
              "00 b1 00 3c 00 01 00 50");
    EXPECT_EQ(to_hex(vpd(driver, 0xb2)), "00 b2 00 04 0b e4 02 00");
    EXPECT_EQ(vpd(driver, 0x86).size(), 64U);
}

TEST(Vpd, ThirdPartyCopy) {
    Driver driver;
    const Octets page = vpd(driver, 0x8f);
    EXPECT_EQ(to_hex({page.begin(), page.begin() + 16}),
              "00 8f 00 60 00 01 00 08 07 83 01 00 84 02 00 03");
    // Descriptors of whole words that fill the page.
    std::size_t at = 4;
    while (at < page.size()) {
        const std::size_t length = page[at + 2] * 256U + page[at + 3];
        EXPECT_EQ(length % 4, 0U);
        at += 4 + length;
    }
    EXPECT_EQ(at, page.size());
}

TEST(Vpd, ShowsThePhysicalBlockThatTheOperatorChose) {
    LogicalUnitConfig config = test_config();
    config.physical_block_size = 512;
    Driver driver(config);
    EXPECT_EQ(vpd(driver, 0xb0)[7], 1);  // OPTIMAL TRANSFER LENGTH GRANULARITY
    EXPECT_EQ(driver.send_hex("9e 10 0000000000000000 00000020 00 00").data[13], 0);  // LBPPBE
}

TEST(WithoutLogicalUnit, SaysSoInTheWayOfEachCommand) {
    Octets memory(4096);
    const MutableBytes buffer = std::as_writable_bytes(std::span(memory));
    std::array<std::uint8_t, 16> cdb{0x12, 0, 0, 0, 0xff};
    Done done = answer_without_logical_unit(cdb, buffer);
    EXPECT_EQ(done.status, 0);
    EXPECT_EQ(done.data_in_length, 36U);
    EXPECT_EQ(memory[0], 0x7f);

    cdb = {0x03, 0, 0, 0, 18};
    done = answer_without_logical_unit(cdb, buffer);
    EXPECT_EQ(done.status, 0);
    EXPECT_EQ(to_hex({memory.begin(), memory.begin() + done.data_in_length}),
              "70 00 05 00 00 00 00 0a 00 00 00 00 25 00 00 00 00 00");

    cdb = {0xa0, 0, 0, 0, 0, 0, 0, 0, 0x10, 0};
    done = answer_without_logical_unit(cdb, buffer);
    EXPECT_EQ(to_hex({memory.begin(), memory.begin() + done.data_in_length}),
              "00 00 00 08 00 00 00 00 00 00 00 00 00 00 00 00");

    cdb = {0x28};
    done = answer_without_logical_unit(cdb, buffer);
    EXPECT_EQ(done.status, 0x02);
    EXPECT_EQ(to_hex({done.sense.begin(), done.sense.begin() + done.sense_length}),
              "70 00 05 00 00 00 00 0a 00 00 00 00 25 00 00 00 00 00");
}

}  // namespace
}  // namespace cowtgt::scsi::test
