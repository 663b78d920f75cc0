#include <gtest/gtest.h>

#include "tests/unit/scsi/scsi_driver.h"

namespace cowtgt::scsi::test {
namespace {

constexpr std::uint8_t bytchk = 0x02;
constexpr std::string_view miscompare = "70 00 0e 00 00 00 00 0a 00 00 00 00 1d 00 00 00 00 00";
constexpr std::uint32_t large = 1000;  // blocks: several chunks of what is read back

Octets counting(std::size_t count) {
    Octets bytes(count);
    for (std::size_t i = 0; i < count; ++i) {
        bytes[i] = static_cast<std::uint8_t>(i * 7 + i / 512);
    }
    return bytes;
}

TEST(Verify, WithoutBytchkReadsTheMediumAndTakesNoData) {
    for (std::uint8_t code : Octets{0x2f, 0xaf, 0x8f}) {
        SCOPED_TRACE(unsigned{code});
        Driver driver;
        const Answer answer = driver.send(block_cdb(code, 3, large), repeat(0xff, large * 512));
        EXPECT_TRUE(answer.good());
        EXPECT_EQ(answer.data_out_wanted, 0U);
        EXPECT_EQ(answer.data_out_total, 0U);
        std::uint64_t next = 3;
        for (const BlockStep& step : answer.steps) {
            EXPECT_EQ(step.operation, BlockOperation::read);
            EXPECT_EQ(step.first_block.value, next);
            next += step.block_count.value;
        }
        EXPECT_EQ(next, 3 + large);
    }
}

TEST(Verify, WithBytchkComparesEveryByte) {
    for (std::uint8_t code : Octets{0x2f, 0xaf, 0x8f}) {
        SCOPED_TRACE(unsigned{code});
        Driver driver;
        const Octets data = counting(large * 512);
        ASSERT_TRUE(driver.send(block_cdb(0x2a, 5, large), data).good());
        const Answer same = driver.send(block_cdb(code, 5, large, bytchk), data);
        EXPECT_TRUE(same.good());
        EXPECT_EQ(same.data_out_total, large * 512U);
        for (std::size_t at : {std::size_t{0}, std::size_t{70000}, data.size() - 1}) {
            SCOPED_TRACE(at);
            Octets other = data;
            other[at] ^= 1;
            const Answer answer = driver.send(block_cdb(code, 5, large, bytchk), other);
            EXPECT_EQ(answer.status, 0x02);
            EXPECT_EQ(answer.sense, miscompare);
        }
    }
}

TEST(Verify, ReportsWhichChunkCannotBeRead) {
    Driver driver;
    driver.device.fail_at = 1;
    EXPECT_EQ(driver.send(block_cdb(0x2f, 0, large)).sense,
              "f0 00 03 00 00 00 80 0a 00 00 00 00 11 00 00 00 00 00");
}

TEST(Verify, ComparesOneBlockWithEachOfThem) {
    constexpr std::uint8_t one_block = 0x06;  // BYTCHK = 11b
    for (std::uint8_t code : Octets{0x2f, 0x8f, 0xaf}) {
        Driver driver;
        driver.device.fill(10, 300, 'a');
        EXPECT_TRUE(driver.send(block_cdb(code, 10, 300, one_block), repeat('a', 512)).good());
        EXPECT_EQ(driver.send(block_cdb(code, 10, 301, one_block), repeat('a', 512)).sense,
                  "70 00 0e 00 00 00 00 0a 00 00 00 00 1d 00 00 00 00 00");
        EXPECT_EQ(driver.send(block_cdb(code, 10, 300, one_block)).sense, information_unit_error);
        EXPECT_TRUE(driver.send(block_cdb(code, 10, 0, one_block)).good());
    }
}

TEST(Verify, TheReservedBytchkValueIsRefused) {
    Driver driver;
    EXPECT_EQ(driver.send(block_cdb(0x2f, 0, 1, 0x04)).sense, invalid_field(1, 2));
}

TEST(Verify, DataAndItsComparisonFitIntoTheMemoryOfACommand) {
    LogicalUnitConfig config = test_config();
    config.transfer_length_max = 256U << 10;
    Driver driver(config);
    const std::uint32_t blocks = (256U - 64U) * 2;
    EXPECT_TRUE(driver.send(block_cdb(0x2f, 0, blocks, bytchk), repeat(0, blocks * 512)).good());
    EXPECT_EQ(driver.send(block_cdb(0x2f, 0, blocks + 1, bytchk), repeat(0, 512)).sense,
              invalid_field(7));
    EXPECT_TRUE(driver.send(block_cdb(0x2f, 0, 8192)).good());
}

TEST(WriteAndVerify, WritesDurablyAndReadsBack) {
    for (std::uint8_t code : Octets{0x2e, 0xae, 0x8e}) {
        for (std::uint8_t flags : Octets{std::uint8_t{0}, bytchk}) {
            SCOPED_TRACE(testing::Message() << unsigned{code} << " flags " << unsigned{flags});
            Driver driver;
            const Octets data = counting(large * 512);
            const Answer answer = driver.send(block_cdb(code, 9, large, flags), data);
            EXPECT_TRUE(answer.good());
            EXPECT_EQ(driver.device.content(9, large), data);
            ASSERT_GT(answer.steps.size(), 1U);
            EXPECT_EQ(answer.steps[0].operation, BlockOperation::write);
            EXPECT_TRUE(answer.steps[0].force_unit_access);
            std::uint64_t read = 0;
            for (std::size_t i = 1; i < answer.steps.size(); ++i) {
                EXPECT_EQ(answer.steps[i].operation, BlockOperation::read);
                read += answer.steps[i].block_count.value;
            }
            EXPECT_EQ(read, large);
        }
    }
}

TEST(WriteAndVerify, SaysWhetherWritingOrReadingFailed) {
    Driver writing;
    writing.device.fail_at = 0;
    EXPECT_EQ(writing.send(block_cdb(0x2e, 6, 1), repeat(1, 512)).sense,
              "f0 00 03 00 00 00 06 0a 00 00 00 00 0c 00 00 00 00 00");
    Driver reading;
    reading.device.fail_at = 1;
    EXPECT_EQ(reading.send(block_cdb(0x2e, 6, 1), repeat(1, 512)).sense,
              "f0 00 03 00 00 00 06 0a 00 00 00 00 11 00 00 00 00 00");
}

Octets caw_cdb(std::uint64_t lba, std::uint8_t blocks, std::uint8_t flags = 0) {
    Octets cdb = cdb_16(0x89, lba, blocks, flags);
    return cdb;
}

Octets compare_then_write(std::uint8_t compared, std::uint8_t written) {
    Octets data = repeat(compared, 512);
    data.resize(1024, written);
    return data;
}

TEST(CompareAndWrite, WritesIfTheBlockIsAsExpected) {
    Driver driver;
    driver.device.fill(8190, 2, 'a');
    const Answer answer = driver.send(caw_cdb(8190, 1, 0x18), compare_then_write('a', 'b'));
    EXPECT_TRUE(answer.good());
    EXPECT_EQ(answer.data_out_total, 1024U);
    ASSERT_EQ(answer.claims.size(), 1U);
    EXPECT_EQ(answer.claims[0].first_block.value, 8190U);
    EXPECT_EQ(answer.claims[0].block_count.value, 1U);
    ASSERT_EQ(answer.steps.size(), 2U);
    EXPECT_TRUE(answer.steps[1].force_unit_access);
    EXPECT_EQ(driver.device.content(8190, 1), repeat('b', 512));
    EXPECT_EQ(driver.device.content(8191, 1), repeat('a', 512));
}

TEST(CompareAndWrite, NamesTheFirstByteThatDiffersAndWritesNothing) {
    Driver driver;
    driver.device.fill(0, 1, 'a');
    for (std::size_t at = 0; at < 512; ++at) {
        SCOPED_TRACE(at);
        Octets data = compare_then_write('a', 'b');
        data[at] = 'x';
        data[511] = 'y';
        const Answer answer = driver.send(caw_cdb(0, 1), data);
        const Octets place{static_cast<std::uint8_t>(at >> 8), static_cast<std::uint8_t>(at)};
        EXPECT_EQ(answer.sense,
                  "f0 00 0e 00 00 " + to_hex(place) + " 0a 00 00 00 00 1d 00 00 00 00 00");
        EXPECT_EQ(answer.steps.size(), 1U);
    }
    EXPECT_EQ(driver.device.content(0, 1), repeat('a', 512));
}

TEST(CompareAndWrite, TakesOneBlockOnly) {
    Driver driver;
    EXPECT_EQ(driver.send(caw_cdb(0, 2), repeat(0, 2048)).sense, invalid_field(13));
    EXPECT_TRUE(driver.send(caw_cdb(0, 0)).good());
    EXPECT_EQ(driver.send(caw_cdb(8192, 1), repeat(0, 1024)).sense, lba_out_of_range);
    EXPECT_EQ(driver.send(caw_cdb(0, 0), repeat(0, 512 * 512)).sense, invalid_field(13));
    EXPECT_EQ(driver.send(caw_cdb(0, 1), repeat(0, 512)).sense, information_unit_error);
    EXPECT_EQ(driver.send(caw_cdb(0, 1), repeat(0, 2048)).sense, information_unit_error);
    EXPECT_EQ(driver.send(caw_cdb(0, 1, 0x20), repeat(0, 1024)).sense, invalid_field(1, 5));
}

TEST(OrWrite, OrsWhatWasThere) {
    for (std::uint32_t blocks : {1U, 2U, 256U, large}) {
        SCOPED_TRACE(blocks);
        Driver driver;
        driver.device.fill(0, 8192, 0xa0);
        const Answer answer = driver.send(block_cdb(0x8b, 4, blocks), repeat(0x0f, blocks * 512));
        EXPECT_TRUE(answer.good());
        EXPECT_EQ(driver.device.content(3, 1), repeat(0xa0, 512));
        EXPECT_EQ(driver.device.content(4, blocks), repeat(0xaf, blocks * 512));
        EXPECT_EQ(driver.device.content(4 + blocks, 1), repeat(0xa0, 512));
        ASSERT_EQ(answer.claims.size(), 1U);
        EXPECT_EQ(answer.claims[0].block_count.value, blocks);
        EXPECT_EQ(answer.steps.back().operation, BlockOperation::write);
        EXPECT_EQ(answer.steps.back().block_count.value, blocks);
    }
}

}  // namespace
}  // namespace cowtgt::scsi::test
