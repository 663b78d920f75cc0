#include <gtest/gtest.h>

#include "tests/unit/scsi/scsi_driver.h"

namespace cowtgt::scsi::test {
namespace {

// Control mode page: GLTSD, then D_SENSE and SWP by need.
constexpr std::string_view control = "0a 0a 02 10 00 00 00 00 ff ff 00 00";
constexpr std::string_view caching = "08 12 04 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00";
constexpr std::string_view provisioning =
    "5c 02 00 14 00 00 00 00 00 00 00 00 00 00 00 00 00 01 00 00 00 00 00 00";
constexpr std::string_view write_protected =
    "70 00 07 00 00 00 00 0a 00 00 00 00 27 02 00 00 00 00";

Answer select(Driver& driver, const std::string& page) {
    const Octets list = hex("00 00 00 00 " + page);
    Octets cdb = hex("15 10 00 00 00 00");
    cdb[4] = static_cast<std::uint8_t>(list.size());
    return driver.send(cdb, list);
}

std::string page_of(Driver& driver, const std::string& code) {
    return to_hex(driver.send(hex("1a 08 " + code + " 00 ff 00")).data);
}

TEST(ModeSense, AllPages) {
    Driver driver;
    const std::string pages = "01 0a 00 00 00 00 00 00 00 00 00 00 " + std::string(caching) + " " +
                              std::string(control) + " 1c 0a 00 00 00 00 00 00 00 00 00 00";
    EXPECT_EQ(to_hex(driver.send_hex("1a 00 3f 00 ff 00").data),
              "43 00 10 08 00 00 20 00 00 00 02 00 " + pages);
    EXPECT_EQ(to_hex(driver.send_hex("1a 08 3f 00 ff 00").data), "3b 00 10 00 " + pages);
    EXPECT_EQ(to_hex(driver.send_hex("5a 08 3f 00 000000 00ff 00").data),
              "00 3e 00 10 00 00 00 00 " + pages);
    EXPECT_EQ(to_hex(driver.send_hex("5a 10 0a 00 000000 00ff 00").data),
              "00 22 00 10 01 00 00 10 00 00 00 00 00 00 20 00 00 00 00 00 00 00 02 00 " +
                  std::string(control));
    EXPECT_EQ(to_hex(driver.send_hex("1a 08 3f ff ff 00").data),
              "53 00 10 00 " + pages + " " + std::string(provisioning));
}

TEST(ModeSense, TheThresholdOfWhatIsLeft) {
    Driver driver;
    EXPECT_EQ(to_hex(driver.send_hex("1a 08 1c 02 ff 00").data),
              "1b 00 10 00 " + std::string(provisioning));
    (void)driver.unit.see_space({1000 << 20, 50 << 20}, {});
    EXPECT_EQ(
        to_hex(driver.send_hex("1a 08 1c 02 ff 00").data),
        "1b 00 10 00 5c 02 00 14 00 00 00 00 00 00 00 00 00 00 00 00 80 01 00 00 00 00 00 32");
    // The quota ends first.
    (void)driver.unit.see_space({1000 << 20, 50 << 20}, SpaceLeft{20 << 20, 3 << 20});
    EXPECT_EQ(
        to_hex(driver.send_hex("1a 08 1c 02 ff 00").data),
        "1b 00 10 00 5c 02 00 14 00 00 00 00 00 00 00 00 00 00 00 00 80 01 00 00 00 00 00 03");
    EXPECT_EQ(to_hex(driver.send_hex("1a 08 5c 02 ff 00").data),
              "1b 00 10 00 5c 02 00 14 " + to_hex(repeat(0, 20)));
    EXPECT_EQ(driver.send_hex("1a 08 3f 02 ff 00").sense, invalid_field(3));
    LogicalUnitConfig thick = test_config();
    thick.thin = false;
    Driver other(thick);
    EXPECT_EQ(other.send_hex("1a 08 1c 02 ff 00").sense, invalid_field(3));
}

TEST(ModeSelect, TheThresholdIsTheOperators) {
    Driver driver;
    EXPECT_TRUE(select(driver, std::string(provisioning)).good());
    EXPECT_EQ(
        select(driver, "5c 02 00 14 00 00 00 00 00 00 00 00 00 00 00 00 80 01 00 00 00 00 00 01")
            .sense,
        invalid_parameter(4 + 16));
    EXPECT_EQ(select(driver, "5c 02 00 15 00 00 00 00").sense, invalid_parameter(4 + 3));
    EXPECT_EQ(select(driver, "5c 03 00 14 00 00 00 00").sense, invalid_parameter(4, 6));
}

TEST(ModeSense, OnePageIsAsInTheListOfAll) {
    Driver driver;
    EXPECT_EQ(page_of(driver, "0a"), "0f 00 10 00 " + std::string(control));
    EXPECT_EQ(page_of(driver, "08"), "17 00 10 00 " + std::string(caching));
}

TEST(ModeSense, TheAllocationLengthCuts) {
    Driver driver;
    const Answer answer = driver.send_hex("1a 00 3f 00 04 00");
    EXPECT_EQ(to_hex(answer.data), "43 00 10 08");
    EXPECT_EQ(answer.data_in_total, 4U);
}

TEST(ModeSense, ShowsWhatCanBeChanged) {
    Driver driver;
    EXPECT_EQ(page_of(driver, "4a"), "0f 00 10 00 0a 0a 04 00 08 00 00 00 00 00 00 00");
    EXPECT_EQ(page_of(driver, "48"),
              "17 00 10 00 08 12 04 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00");
}

TEST(ModeSense, SavedPagesAndUnknownPagesAreRefused) {
    Driver driver;
    EXPECT_EQ(driver.send_hex("1a 08 ca 00 ff 00").sense,
              "70 00 05 00 00 00 00 0a 00 00 00 00 39 00 00 00 00 00");
    EXPECT_EQ(driver.send_hex("1a 08 02 00 ff 00").sense, invalid_field(2, 5));
    EXPECT_EQ(driver.send_hex("1a 08 0a 01 ff 00").sense, invalid_field(3));
}

TEST(ModeSelect, SwpProtectsFromWritesOnly) {
    Driver driver;
    ASSERT_TRUE(select(driver, "0a 0a 02 10 08 00 00 00 ff ff 00 00").good());
    EXPECT_EQ(page_of(driver, "0a"), "0f 00 90 00 0a 0a 02 10 08 00 00 00 ff ff 00 00");
    EXPECT_TRUE(driver.send(cdb_10(0x28, 0, 1)).good());
    EXPECT_EQ(driver.send(cdb_10(0x2a, 0, 1), repeat(0, 512)).sense, write_protected);
    ASSERT_TRUE(select(driver, std::string(control)).good());
    EXPECT_TRUE(driver.send(cdb_10(0x2a, 0, 1), repeat(0, 512)).good());
}

TEST(ModeSelect, DSenseChangesTheSenseFormat) {
    Driver driver;
    ASSERT_TRUE(select(driver, "0a 0a 06 10 00 00 00 00 ff ff 00 00").good());
    EXPECT_EQ(page_of(driver, "0a"), "0f 00 10 00 0a 0a 06 10 00 00 00 00 ff ff 00 00");
    EXPECT_EQ(driver.send_hex("ff").sense, "72 05 20 00 00 00 00 00");
}

TEST(ModeSelect, WithoutWriteCacheEveryWriteIsForced) {
    Driver driver;
    const Answer off =
        select(driver, "08 12 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00");
    ASSERT_TRUE(off.good());
    ASSERT_EQ(off.steps.size(), 1U);
    EXPECT_EQ(off.steps[0].operation, BlockOperation::flush);
    EXPECT_FALSE(driver.unit.write_cache_enabled());
    const std::vector<Answer> writes = {
        driver.send(hex("0a 000000 01 00"), repeat(1, 512)),
        driver.send(cdb_10(0x2a, 0, 1), repeat(1, 512)),
        driver.send(cdb_16(0x8a, 0, 1), repeat(1, 512)),
        driver.send(cdb_10(0x41, 0, 1), repeat(1, 512)),
        driver.send(cdb_10(0x41, 0, 1), repeat(0, 512)),
        driver.send(hex("42 00 00000000 00 0018 00"),
                    hex("0016 0010 00000000 0000000000000000 00000001 00000000"))};
    for (const Answer& write : writes) {
        ASSERT_EQ(write.steps.size(), 1U);
        EXPECT_TRUE(write.steps[0].force_unit_access);
    }
    ASSERT_TRUE(select(driver, std::string(caching)).good());
    EXPECT_TRUE(driver.unit.write_cache_enabled());
    EXPECT_FALSE(driver.send(cdb_10(0x2a, 0, 1), repeat(1, 512)).steps[0].force_unit_access);
}

TEST(ModeSelect, TenByteFormWithDescriptor) {
    Driver driver;
    const Octets list =
        hex("0000 00 00 00 00 0008  00 00 20 00 00 00 02 00  0a 0a 02 10 08 00 00 00 ff ff 00 00");
    EXPECT_TRUE(driver.send(hex("55 10 00 00 00 00 00 001c 00"), list).good());
    EXPECT_EQ(page_of(driver, "0a"), "0f 00 90 00 0a 0a 02 10 08 00 00 00 ff ff 00 00");
}

TEST(ModeSelect, NothingIsTakenFromAListWithAMistake) {
    Driver driver;
    const std::string swp = "0a 0a 02 10 08 00 00 00 ff ff 00 00 ";
    struct Case {
        std::string pages, sense;
    };
    const std::vector<Case> cases = {
        {swp + "0a 0a 02 10 08 01 00 00 ff ff 00 00", invalid_parameter(21)},  // not changeable
        {swp + "0a 09 02 10 08 00 00 00 ff ff 00", invalid_parameter(17)},     // wrong length
        {swp + "05 0a 00 00 00 00 00 00 00 00 00 00", invalid_parameter(16, 5)},
        {swp + "4a 01 00 00", invalid_parameter(16, 6)},  // subpage format
        {swp + "0a 0a 02 10", std::string(parameter_list_length_error)},
        {swp + "0a", std::string(parameter_list_length_error)},
    };
    for (const Case& one : cases) {
        SCOPED_TRACE(one.pages);
        EXPECT_EQ(select(driver, one.pages).sense, one.sense);
        EXPECT_EQ(page_of(driver, "0a"), "0f 00 10 00 " + std::string(control));
    }
    EXPECT_EQ(
        driver.send(hex("15 10 00 00 0c 00"), hex("00 00 00 08 00 00 20 00 00 00 10 00")).sense,
        invalid_parameter(9));
    EXPECT_EQ(
        driver.send(hex("15 10 00 00 0c 00"), hex("00 00 00 08 00 00 20 01 00 00 02 00")).sense,
        invalid_parameter(4));
    EXPECT_EQ(driver.send(hex("15 10 00 00 04 00"), hex("00 00 00 07")).sense,
              invalid_parameter(3));
    EXPECT_EQ(driver.send(hex("15 10 00 00 03 00"), hex("00 00 00")).sense,
              parameter_list_length_error);
    EXPECT_EQ(driver.send(hex("15 10 00 00 10 00"), hex("00 00 00 00")).sense,
              parameter_list_length_error);
    EXPECT_EQ(driver.send(hex("15 11 00 00 00 00")).sense, invalid_field(1, 0));  // SP
    EXPECT_TRUE(driver.send(hex("15 10 00 00 00 00")).good());
}

TEST(ReadOnly, EveryWriteIsRefusedAndReadsGoOn) {
    LogicalUnitConfig config = test_config();
    config.read_only = true;
    Driver driver(config);
    EXPECT_EQ(to_hex(driver.send_hex("1a 08 0a 00 04 00").data), "0f 00 90 00");
    for (std::uint8_t code :
         Octets{0x2a, 0xaa, 0x8a, 0x2e, 0xae, 0x8e, 0x41, 0x93, 0x8b, 0x9c, 0x89}) {
        SCOPED_TRACE(unsigned{code});
        EXPECT_EQ(driver.send(block_cdb(code, 0, 1)).sense,
                  "70 00 07 00 00 00 00 0a 00 00 00 00 27 01 00 00 00 00");
    }
    EXPECT_EQ(driver.send(block_cdb(0x93, 0, 1, 0x08)).status, 0x02);
    EXPECT_EQ(driver.send(hex("0a 000000 01 00")).status, 0x02);
    EXPECT_EQ(driver.send_hex("42 00 00000000 00 0018 00").sense,
              "70 00 07 00 00 00 00 0a 00 00 00 00 27 01 00 00 00 00");
    EXPECT_TRUE(driver.send(block_cdb(0x88, 0, 1)).good());
    EXPECT_TRUE(driver.send(block_cdb(0x2f, 0, 1)).good());
    EXPECT_TRUE(driver.send(block_cdb(0x35, 0, 0)).good());
}

}  // namespace
}  // namespace cowtgt::scsi::test
