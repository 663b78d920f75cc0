#include <gtest/gtest.h>

#include "tests/unit/scsi/scsi_driver.h"

namespace cowtgt::scsi::test {
namespace {

constexpr std::uint8_t unmap_bit = 0x08;

void put(Octets& out, std::uint64_t value, std::size_t width) {
    for (std::size_t i = width; i > 0; --i) {
        out.push_back(static_cast<std::uint8_t>(value >> (8 * (i - 1))));
    }
}

struct BlockRun {
    std::uint64_t first_block;
    std::uint32_t block_count;
};

Octets unmap_list(const std::vector<BlockRun>& runs) {
    Octets list;
    put(list, 6 + runs.size() * 16, 2);
    put(list, runs.size() * 16, 2);
    put(list, 0, 4);
    for (const BlockRun& run : runs) {
        put(list, run.first_block, 8);
        put(list, run.block_count, 4);
        put(list, 0, 4);
    }
    return list;
}

Answer unmap(Driver& driver, const Octets& list) {
    Octets cdb = hex("42 00 00000000 00 0000 00");
    cdb[7] = static_cast<std::uint8_t>(list.size() >> 8);
    cdb[8] = static_cast<std::uint8_t>(list.size());
    return driver.send(cdb, list);
}

TEST(Unmap, DeallocatesEachDescriptor) {
    Driver driver;
    driver.device.fill(0, 8192, 0xff);
    const Answer answer = unmap(driver, unmap_list({{3, 5}, {100, 0}, {8191, 1}}));
    EXPECT_TRUE(answer.good());
    EXPECT_EQ(answer.steps.size(), 2U);
    EXPECT_EQ(answer.data_out_total, 56U);
    EXPECT_EQ(driver.device.content(2, 1), repeat(0xff, 512));
    EXPECT_EQ(driver.device.content(3, 5), repeat(0, 5 * 512));
    EXPECT_EQ(driver.device.content(8, 1), repeat(0xff, 512));
    EXPECT_EQ(driver.device.content(100, 1), repeat(0xff, 512));
    EXPECT_EQ(driver.device.content(8191, 1), repeat(0, 512));
}

TEST(Unmap, OfNothingIsGood) {
    Driver driver;
    EXPECT_TRUE(driver.send_hex("42 00 00000000 00 0000 00").good());
    EXPECT_TRUE(unmap(driver, unmap_list({})).good());
    EXPECT_TRUE(unmap(driver, unmap_list({{0, 0}, {8191, 0}, {8192, 0}})).good());
}

TEST(Unmap, Takes256DescriptorsAndNotOneMore) {
    Driver driver;
    driver.device.fill(0, 300, 0xff);
    std::vector<BlockRun> runs;
    for (std::uint64_t i = 0; i < 256; ++i) {
        runs.push_back({i, 1});
    }
    EXPECT_TRUE(unmap(driver, unmap_list(runs)).good());
    EXPECT_EQ(driver.device.content(0, 256), repeat(0, 256 * 512));
    runs.push_back({256, 1});
    EXPECT_EQ(unmap(driver, unmap_list(runs)).sense, invalid_parameter(2));
    EXPECT_EQ(driver.device.content(256, 1), repeat(0xff, 512));
}

TEST(Unmap, OneBadDescriptorStopsAll) {
    Driver driver;
    driver.device.fill(0, 1, 0xff);
    const Answer answer = unmap(driver, unmap_list({{0, 1}, {8191, 2}}));
    EXPECT_EQ(answer.sense, lba_out_of_range);
    EXPECT_TRUE(answer.steps.empty());
    EXPECT_EQ(unmap(driver, unmap_list({{8193, 0}})).sense, lba_out_of_range);
    EXPECT_EQ(unmap(driver, unmap_list({{~0ULL, 1}})).sense, lba_out_of_range);
}

TEST(Unmap, TheMaximumCountsForTheWholeList) {
    Driver driver({test_config()}, {512, 512, BlockCount{(1U << 20) + 8}});
    EXPECT_TRUE(unmap(driver, unmap_list({{0, 1U << 19}, {1U << 19, 1U << 19}})).good());
    EXPECT_EQ(unmap(driver, unmap_list({{0, 1U << 20}, {0, 1}})).sense, invalid_parameter(32));
}

TEST(Unmap, ListsThatAreTooShortAreLengthErrors) {
    Driver driver;
    for (std::size_t length : {1U, 7U, 8U, 23U}) {
        SCOPED_TRACE(length);
        Octets list = unmap_list({{0, 1}});
        list.resize(length);
        EXPECT_EQ(unmap(driver, list).sense, parameter_list_length_error);
    }
    // The CDB promises more than arrives.
    EXPECT_EQ(driver.send(hex("42 00 00000000 00 0018 00"), unmap_list({})).sense,
              parameter_list_length_error);
}

TEST(Unmap, FailsAsAWriteDoes) {
    Driver driver;
    driver.device.fail_at = 1;
    EXPECT_EQ(unmap(driver, unmap_list({{1, 1}, {7, 1}})).sense,
              "f0 00 03 00 00 00 07 0a 00 00 00 00 0c 00 00 00 00 00");
}

TEST(WriteSame, RepeatsTheBlock) {
    for (std::uint8_t code : Octets{0x41, 0x93}) {
        for (std::uint32_t blocks : {1U, 2U, 256U, 5000U}) {
            SCOPED_TRACE(testing::Message() << unsigned{code} << " blocks " << blocks);
            Driver driver;
            driver.device.fill(0, 8192, 0x11);
            Octets block = repeat(0xa6, 512);
            block[511] = 1;
            const Answer answer = driver.send(block_cdb(code, 8191 - blocks, blocks), block);
            EXPECT_TRUE(answer.good());
            EXPECT_EQ(answer.data_out_total, 512U);
            EXPECT_EQ(driver.device.content(8190 - blocks, 1), repeat(0x11, 512));
            EXPECT_EQ(driver.device.content(8191, 1), repeat(0x11, 512));
            for (std::uint32_t i = 0; i < blocks; ++i) {
                ASSERT_EQ(driver.device.content(8191 - blocks + i, 1), block) << i;
            }
        }
    }
}

TEST(WriteSame, OfZerosTakesNoSpace) {
    for (std::uint8_t code : Octets{0x41, 0x93}) {
        for (std::uint8_t flags : Octets{std::uint8_t{0}, unmap_bit}) {
            SCOPED_TRACE(testing::Message() << unsigned{code} << " flags " << unsigned{flags});
            Driver driver;
            driver.device.fill(0, 8192, 0x11);
            const Answer answer = driver.send(block_cdb(code, 1, 256, flags), repeat(0, 512));
            EXPECT_TRUE(answer.good());
            ASSERT_EQ(answer.steps.size(), 1U);
            EXPECT_EQ(answer.steps[0].operation, BlockOperation::deallocate);
            EXPECT_EQ(driver.device.content(1, 256), repeat(0, 256 * 512));
            EXPECT_EQ(driver.device.content(257, 1), repeat(0x11, 512));
        }
    }
}

TEST(WriteSame, WithUnmapTakesTheSpaceBackWhateverTheBlockHolds) {
    for (std::uint8_t code : Octets{0x41, 0x93}) {
        Driver driver;
        driver.device.fill(0, 9, 0x11);
        EXPECT_TRUE(driver.send(block_cdb(code, 1, 7, unmap_bit), repeat(0xa6, 512)).good());
        EXPECT_EQ(driver.device.content(1, 7), repeat(0, 7 * 512));
        EXPECT_EQ(driver.device.content(8, 1), repeat(0x11, 512));
        EXPECT_EQ(driver.device.provisioning(Lba{1}, BlockCount{7}).state,
                  Provisioning::deallocated);
    }
}

TEST(WriteSame, WithNdobNeedsNoData) {
    Driver driver;
    driver.device.fill(0, 8, 0xff);
    const Answer answer = driver.send(block_cdb(0x93, 0, 4, 0x01));
    EXPECT_TRUE(answer.good());
    EXPECT_EQ(answer.data_out_total, 0U);
    EXPECT_EQ(driver.device.content(0, 4), repeat(0, 4 * 512));
    EXPECT_EQ(driver.device.content(4, 1), repeat(0xff, 512));
    EXPECT_EQ(driver.send(block_cdb(0x41, 0, 4, 0x01)).sense, invalid_field(1, 0));
}

TEST(WriteSame, AnchorIsRefused) {
    Driver driver;
    for (std::uint8_t code : Octets{0x41, 0x93}) {
        EXPECT_EQ(driver.send(block_cdb(code, 0, 1, 0x10), repeat(0, 512)).sense,
                  invalid_field(1, 4));
        EXPECT_EQ(driver.send(block_cdb(code, 0, 1, 0x18), repeat(0, 512)).sense,
                  invalid_field(1, 4));
    }
}

TEST(WriteSame, ZeroBlocksGoToTheEnd) {
    for (std::uint8_t code : Octets{0x41, 0x93}) {
        for (std::uint64_t left : {0U, 1U, 256U, 8192U}) {
            SCOPED_TRACE(testing::Message() << unsigned{code} << " blocks " << left);
            Driver driver;
            driver.device.fill(0, 8192, 0xff);
            EXPECT_TRUE(driver.send(block_cdb(code, 8192 - left, 0), repeat(0, 512)).good());
            EXPECT_EQ(driver.device.content(8192 - left, left), repeat(0, left * 512));
            EXPECT_EQ(driver.device.content(0, 8192 - left), repeat(0xff, (8192 - left) * 512));
        }
    }
    Driver driver;
    EXPECT_EQ(driver.send(block_cdb(0x41, 8193, 0), repeat(0, 512)).sense, lba_out_of_range);
    EXPECT_EQ(driver.send(block_cdb(0x93, ~0ULL, 0), repeat(0, 512)).sense, lba_out_of_range);
}

TEST(WriteSame, BeyondTheEndIsOutOfRange) {
    Driver driver;
    for (std::uint8_t code : Octets{0x41, 0x93}) {
        EXPECT_EQ(driver.send(block_cdb(code, 8191, 2), repeat(0, 512)).sense, lba_out_of_range);
        EXPECT_EQ(driver.send(block_cdb(code, 0xffffffff, 1), repeat(0, 512)).sense,
                  lba_out_of_range);
    }
}

TEST(WriteSame, MoreThanTheMaximumIsRefused) {
    Driver driver({test_config()}, {512, 512, BlockCount{32768 + 8}});
    EXPECT_TRUE(driver.send(block_cdb(0x93, 0, 32768), repeat(0, 512)).good());
    EXPECT_EQ(driver.send(block_cdb(0x93, 0, 32769), repeat(0, 512)).sense, invalid_field(10));
    EXPECT_EQ(driver.send(block_cdb(0x93, 0, 0), repeat(0, 512)).sense, invalid_field(10));
    EXPECT_EQ(driver.send(block_cdb(0x41, 7, 0), repeat(0, 512)).sense, invalid_field(7));
    EXPECT_TRUE(driver.send(block_cdb(0x41, 8, 0), repeat(0, 512)).good());
}

TEST(WriteSame, DataOfAnotherSizeIsRefused) {
    Driver driver;
    for (std::uint8_t code : Octets{0x41, 0x93}) {
        for (std::size_t bytes : {0U, 256U, 1024U}) {
            SCOPED_TRACE(testing::Message() << unsigned{code} << " bytes " << bytes);
            const Answer answer = driver.send(block_cdb(code, 0, 1, unmap_bit), repeat(0, bytes));
            EXPECT_EQ(answer.sense, information_unit_error);
            EXPECT_TRUE(answer.steps.empty());
        }
    }
}

TEST(GetLbaStatus, BeginsAtTheRequestedBlock) {
    Driver driver;
    driver.device.fill(10, 20, 1);
    EXPECT_EQ(to_hex(driver.send_hex("9e 12 000000000000000f 00000018 00 00").data),
              "00 00 00 14 00 00 00 00 "
              "00 00 00 00 00 00 00 0f 00 00 00 0f 00 00 00 00");
    EXPECT_EQ(to_hex(driver.send_hex("9e 12 0000000000000001 00001000 00 00").data),
              "00 00 00 34 00 00 00 00 "
              "00 00 00 00 00 00 00 01 00 00 00 09 01 00 00 00 "
              "00 00 00 00 00 00 00 0a 00 00 00 14 00 00 00 00 "
              "00 00 00 00 00 00 00 1e 00 00 1f e2 01 00 00 00");
}

TEST(GetLbaStatus, ShowsSingleBlocks) {
    Driver driver;
    driver.device.fill(0, 256, 'A');
    ASSERT_TRUE(unmap(driver, unmap_list({{7, 1}})).good());
    const Answer hole = driver.send_hex("9e 12 0000000000000007 00000018 00 00");
    EXPECT_EQ(to_hex(hole.data),
              "00 00 00 14 00 00 00 00 00 00 00 00 00 00 00 07 00 00 00 01 01 00 00 00");
    const Answer behind = driver.send_hex("9e 12 0000000000000008 00000018 00 00");
    EXPECT_EQ(to_hex(behind.data),
              "00 00 00 14 00 00 00 00 00 00 00 00 00 00 00 08 00 00 00 f8 00 00 00 00");
}

TEST(GetLbaStatus, FillsAtMostItsBuffer) {
    Driver driver;
    for (std::uint64_t i = 0; i < 8192; i += 2) {
        driver.device.fill(i, 1, 1);
    }
    EXPECT_EQ(driver.send_hex("9e 12 0000000000000000 ffffffff 00 00").data.size(), 8 + 255 * 16U);
    EXPECT_EQ(driver.send_hex("9e 12 0000000000000000 00000004 00 00").data, hex("00000014"));
    EXPECT_TRUE(driver.send_hex("9e 12 0000000000000000 00000000 00 00").data.empty());
}

TEST(GetLbaStatus, BeyondTheEndIsOutOfRange) {
    Driver driver;
    for (std::uint64_t lba : {8192ULL, 8193ULL, 1ULL << 63, ~0ULL}) {
        Octets cdb = cdb_16(0x9e, lba, 24);
        cdb[1] = 0x12;
        EXPECT_EQ(driver.send(cdb).sense, lba_out_of_range);
    }
}

}  // namespace
}  // namespace cowtgt::scsi::test
