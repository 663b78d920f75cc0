#include <gtest/gtest.h>

#include "tests/unit/scsi/scsi_driver.h"

namespace cowtgt::scsi::test {
namespace {

constexpr std::uint8_t dpo = 0x10;
constexpr std::uint8_t fua = 0x08;

/// Every opcode that transfers or checks a range of blocks.
const std::vector<std::uint8_t> range_commands = {0x28, 0xa8, 0x88, 0x2a, 0xaa, 0x8a, 0x2e, 0xae,
                                                  0x8e, 0x2f, 0xaf, 0x8f, 0x8b, 0x34, 0x90};

TEST(Read, ReturnsTheBlocksAtBothEnds) {
    Driver driver;
    driver.device.fill(0, 256, 0x11);
    driver.device.fill(8192 - 256, 256, 0x22);
    for (std::uint8_t code : Octets{0x28, 0xa8, 0x88}) {
        for (std::uint32_t blocks : {1U, 2U, 255U, 256U}) {
            SCOPED_TRACE(testing::Message() << unsigned{code} << " blocks " << blocks);
            EXPECT_EQ(driver.send(block_cdb(code, 0, blocks)).data, repeat(0x11, blocks * 512));
            const Answer answer = driver.send(block_cdb(code, 8192 - blocks, blocks));
            EXPECT_TRUE(answer.good());
            EXPECT_EQ(answer.data, repeat(0x22, blocks * 512));
            EXPECT_EQ(answer.data_in_total, blocks * 512U);
        }
    }
}

TEST(Read6, HasTwentyOneBitsOfAddressAndZeroMeans256) {
    Driver driver({test_config()}, {512, 512, BlockCount{0x200000}});
    driver.device.fill(0x1fff00, 256, 0x33);
    EXPECT_EQ(driver.send_hex("08 1fff00 00 00").data, repeat(0x33, 256 * 512));
    EXPECT_EQ(driver.send_hex("08 1fffff 01 00").data, repeat(0x33, 512));
    EXPECT_EQ(driver.send_hex("08 1fffff 02 00").sense, lba_out_of_range);
}

TEST(Write6, WritesAndNeverHasFua) {
    Driver driver;
    // Bit 3 of byte 1 is part of the address here.
    Driver large({test_config()}, {512, 512, BlockCount{0x200000}});
    const Answer answer = large.send(hex("0a 080000 01 00"), repeat(0x44, 512));
    EXPECT_TRUE(answer.good());
    ASSERT_EQ(answer.steps.size(), 1U);
    EXPECT_FALSE(answer.steps[0].force_unit_access);
    EXPECT_EQ(large.device.content(0x80000, 1), repeat(0x44, 512));
}

TEST(Write, WritesTheBlocksAtBothEndsAndNoOthers) {
    for (std::uint8_t code : Octets{0x2a, 0xaa, 0x8a, 0x2e, 0xae, 0x8e}) {
        for (std::uint32_t blocks : {1U, 2U, 255U, 256U}) {
            SCOPED_TRACE(testing::Message() << unsigned{code} << " blocks " << blocks);
            Driver driver;
            driver.device.fill(0, 8192, 0x55);
            ASSERT_TRUE(driver.send(block_cdb(code, 1, blocks), repeat(0xa6, blocks * 512)).good());
            const std::uint32_t last = 8192 - blocks;
            ASSERT_TRUE(
                driver.send(block_cdb(code, last, blocks), repeat(0xa7, blocks * 512)).good());
            EXPECT_EQ(driver.device.content(0, 1), repeat(0x55, 512));
            EXPECT_EQ(driver.device.content(1, blocks), repeat(0xa6, blocks * 512));
            EXPECT_EQ(driver.device.content(blocks + 1, 1), repeat(0x55, 512));
            EXPECT_EQ(driver.device.content(last - 1, 1), repeat(0x55, 512));
            EXPECT_EQ(driver.device.content(last, blocks), repeat(0xa7, blocks * 512));
        }
    }
}

TEST(BlockRange, TransfersBeyondTheEndAreOutOfRange) {
    Driver driver;
    for (std::uint8_t code : range_commands) {
        SCOPED_TRACE(unsigned{code});
        for (std::uint32_t blocks : {1U, 2U, 256U}) {
            const Octets data = repeat(0, blocks * 512);
            const std::vector<std::uint64_t> places =
                code >> 5 == 4
                    ? std::vector<std::uint64_t>{8193 - blocks, 8192, 1ULL << 31, 1ULL << 63, ~0ULL}
                    : std::vector<std::uint64_t>{8193 - blocks, 8192, 1ULL << 31, 0xffffffff};
            for (std::uint64_t lba : places) {
                EXPECT_EQ(driver.send(block_cdb(code, lba, blocks), data).sense, lba_out_of_range);
            }
        }
    }
}

TEST(BlockRange, NothingIsMovedForZeroBlocksAtAValidAddress) {
    Driver driver;
    for (std::uint8_t code : range_commands) {
        SCOPED_TRACE(unsigned{code});
        for (std::uint64_t lba : {0ULL, 8191ULL}) {
            const Answer answer = driver.send(block_cdb(code, lba, 0));
            EXPECT_TRUE(answer.good());
            EXPECT_TRUE(answer.steps.empty());
            EXPECT_EQ(answer.data_in_total, 0U);
        }
        EXPECT_EQ(driver.send(block_cdb(code, 8193, 0)).sense, lba_out_of_range);
        EXPECT_EQ(driver.send(block_cdb(code, 1U << 31, 0)).sense, lba_out_of_range);
        EXPECT_EQ(driver.send(block_cdb(code, 0xffffffff, 0)).sense, lba_out_of_range);
    }
}

TEST(BlockRange, TheCapacityIsTheDevicesOfNow) {
    Driver driver;
    EXPECT_EQ(driver.send(block_cdb(0x28, 8192, 1)).sense, lba_out_of_range);
    driver.device.grow(8200);
    EXPECT_TRUE(driver.send(block_cdb(0x28, 8192, 8)).good());
}

TEST(Transfer, MoreThanTheMaximumIsRefusedAtTheLengthField) {
    LogicalUnitConfig config = test_config();
    config.transfer_length_max = 1U << 20;
    Driver driver(config);
    EXPECT_TRUE(driver.send(block_cdb(0x28, 0, 2048)).good());
    EXPECT_EQ(driver.send(block_cdb(0x28, 0, 2049)).sense, invalid_field(7));
    EXPECT_EQ(driver.send(block_cdb(0xa8, 0, 2049)).sense, invalid_field(6));
    EXPECT_EQ(driver.send(block_cdb(0x88, 0, 2049)).sense, invalid_field(10));
    EXPECT_EQ(driver.send(block_cdb(0x8a, 0, 2049)).sense, invalid_field(10));
}

TEST(Transfer, EveryProtectFieldIsRefused) {
    Driver driver;
    for (std::uint8_t code : Octets{0x28, 0xa8, 0x88, 0x2a, 0xaa, 0x8a, 0x2e, 0xae, 0x8e, 0x2f,
                                    0xaf, 0x8f, 0x8b, 0x41, 0x93, 0x9c}) {
        for (unsigned protect = 1; protect < 8; ++protect) {
            SCOPED_TRACE(testing::Message() << unsigned{code} << " protect " << protect);
            const auto flags = static_cast<std::uint8_t>(protect << 5);
            const int highest = protect >= 4 ? 7 : protect >= 2 ? 6 : 5;
            EXPECT_EQ(driver.send(block_cdb(code, 0, 1, flags), repeat(0, 512)).sense,
                      invalid_field(1, highest));
        }
    }
}

TEST(Transfer, DpoAndFuaAreAccepted) {
    Driver driver;
    for (std::uint8_t code : Octets{0x28, 0xa8, 0x88, 0x2a, 0xaa, 0x8a, 0x8b}) {
        for (std::uint8_t flags : Octets{dpo, fua, static_cast<std::uint8_t>(dpo | fua)}) {
            SCOPED_TRACE(testing::Message() << unsigned{code} << " flags " << unsigned{flags});
            EXPECT_TRUE(driver.send(block_cdb(code, 0, 1, flags), repeat(0, 512)).good());
        }
    }
    for (std::uint8_t code : Octets{0x2e, 0xae, 0x8e, 0x2f, 0xaf, 0x8f}) {
        SCOPED_TRACE(unsigned{code});
        EXPECT_TRUE(driver.send(block_cdb(code, 0, 1, dpo), repeat(0, 512)).good());
        EXPECT_EQ(driver.send(block_cdb(code, 0, 1, fua), repeat(0, 512)).sense,
                  invalid_field(1, 3));
    }
}

TEST(Write, IsForcedToTheMediumByFuaOnly) {
    Driver driver;
    EXPECT_FALSE(driver.send(cdb_10(0x2a, 0, 1), repeat(1, 512)).steps[0].force_unit_access);
    EXPECT_TRUE(driver.send(cdb_10(0x2a, 0, 1, fua), repeat(1, 512)).steps[0].force_unit_access);
    EXPECT_FALSE(driver.send(cdb_10(0x2a, 0, 1, dpo), repeat(1, 512)).steps[0].force_unit_access);
}

// Residuals (RFC 7143 section 11.4.5): what the initiator sends need not be what the CDB says.

TEST(Residuals, AWriteTakesNoMoreThanTheCdbSays) {
    for (std::uint8_t code : Octets{0x2a, 0xaa, 0x8a, 0x2e, 0xae, 0x8e}) {
        SCOPED_TRACE(unsigned{code});
        Driver driver;
        driver.device.fill(0, 3, 'a');
        const Answer answer = driver.send(block_cdb(code, 0, 1), repeat('b', 1024));
        EXPECT_TRUE(answer.good());
        EXPECT_EQ(answer.data_out_wanted, 512U);
        EXPECT_EQ(answer.data_out_total, 512U);
        EXPECT_EQ(driver.device.content(0, 1), repeat('b', 512));
        EXPECT_EQ(driver.device.content(1, 1), repeat('a', 512));
    }
}

TEST(Residuals, AWriteOfFewerBlocksWritesThese) {
    for (std::uint8_t code : Octets{0x2a, 0xaa, 0x8a, 0x2e, 0xae, 0x8e}) {
        SCOPED_TRACE(unsigned{code});
        Driver driver;
        driver.device.fill(0, 3, 'a');
        const Answer answer = driver.send(block_cdb(code, 0, 2), repeat('b', 512));
        EXPECT_TRUE(answer.good());
        EXPECT_EQ(answer.data_out_total, 1024U);
        EXPECT_EQ(driver.device.content(0, 1), repeat('b', 512));
        EXPECT_EQ(driver.device.content(1, 1), repeat('a', 512));
    }
}

TEST(Residuals, AWriteWithoutDataIsGoodAndWritesNothing) {
    for (std::uint8_t code : Octets{0x2a, 0xaa, 0x8a, 0x2e, 0xae, 0x8e}) {
        SCOPED_TRACE(unsigned{code});
        Driver driver;
        const Answer answer = driver.send(block_cdb(code, 0, 1));
        EXPECT_TRUE(answer.good());
        EXPECT_TRUE(answer.steps.empty());
        EXPECT_EQ(answer.data_out_total, 512U);
    }
}

TEST(Residuals, ABrokenBlockIsRefusedAndNothingWritten) {
    for (std::uint8_t code : Octets{0x2a, 0xaa, 0x8a, 0x2e, 0xae, 0x8e}) {
        SCOPED_TRACE(unsigned{code});
        Driver driver;
        const Answer answer = driver.send(block_cdb(code, 0, 1), repeat('b', 200));
        EXPECT_EQ(answer.sense, information_unit_error);
        EXPECT_EQ(answer.data_out_total, 512U);
        EXPECT_TRUE(answer.steps.empty());
    }
}

// What the medium says.

struct Failure {
    std::uint8_t code;
    BlockStatus status;
    const char* sense;
};
const std::vector<Failure> failures = {
    {0x28, BlockStatus::io_error, "f0 00 03 00 00 00 07 0a 00 00 00 00 11 00 00 00 00 00"},
    {0x28, BlockStatus::corrupt, "f0 00 03 00 00 00 07 0a 00 00 00 00 11 00 00 00 00 00"},
    {0x2a, BlockStatus::io_error, "f0 00 03 00 00 00 07 0a 00 00 00 00 0c 00 00 00 00 00"},
    {0x2a, BlockStatus::fenced, "f0 00 03 00 00 00 07 0a 00 00 00 00 0c 00 00 00 00 00"},
    {0x2a, BlockStatus::out_of_space, "f0 00 07 00 00 00 07 0a 00 00 00 00 27 07 00 00 00 00"},
    {0x35, BlockStatus::fenced, "70 00 03 00 00 00 00 0a 00 00 00 00 0c 00 00 00 00 00"},
};

TEST(MediumFailure, HasTheSenseThatInitiatorsKnow) {
    for (const Failure& failure : failures) {
        SCOPED_TRACE(testing::Message()
                     << unsigned{failure.code} << " status " << static_cast<int>(failure.status));
        Driver driver;
        driver.device.fail_at = 0;
        driver.device.fail_with = failure.status;
        const Answer answer = driver.send(cdb_10(failure.code, 7, 1), repeat(0, 512));
        EXPECT_EQ(answer.status, 0x02);
        EXPECT_EQ(answer.sense, failure.sense);
        EXPECT_TRUE(answer.data.empty());
    }
}

TEST(MediumFailure, AnAddressBeyond32BitsNeedsDescriptors) {
    // Only descriptors have room for it; the fixed format leaves it out.
    Driver driver;
    driver.device.fail_at = 1;
    ASSERT_TRUE(driver.send_hex("35 00 00000000 00 0000 00").good());
    ASSERT_TRUE(
        driver
            .send(hex("15 10 00 00 10 00"), hex("00 00 00 00 0a 0a 06 10 00 00 00 00 ff ff 00 00"))
            .good());
    EXPECT_EQ(driver.send(cdb_10(0x28, 9, 1)).sense,
              "72 03 11 00 00 00 00 0c 00 0a 80 00 00 00 00 00 00 00 00 09");
}

// SYNCHRONIZE CACHE and PRE-FETCH

TEST(SynchronizeCache, FlushesWhateverTheRange) {
    Driver driver;
    for (const Octets& cdb : {cdb_10(0x35, 0, 0), cdb_10(0x35, 8191, 1), cdb_16(0x91, 0, 0),
                              cdb_10(0x35, 0, 0, 0x02)}) {
        const Answer answer = driver.send(cdb);
        EXPECT_TRUE(answer.good());
        ASSERT_EQ(answer.steps.size(), 1U);
        EXPECT_EQ(answer.steps[0].operation, BlockOperation::flush);
    }
    EXPECT_EQ(driver.send(cdb_10(0x35, 8191, 2)).sense, lba_out_of_range);
    EXPECT_EQ(driver.send(cdb_16(0x91, ~0ULL, 1)).sense, lba_out_of_range);
}

TEST(Prefetch, IsGoodWithImmediateAndGroupNumber) {
    Driver driver;
    EXPECT_TRUE(driver.send_hex("34 02 00000000 03 0100 00").good());
    EXPECT_TRUE(driver.send_hex("90 02 0000000000000000 00000100 03 00").good());
}

// WRITE ATOMIC(16)

Octets atomic_cdb(std::uint64_t lba, std::uint16_t blocks, std::uint8_t flags = 0) {
    Octets cdb = cdb_16(0x9c, lba, blocks, flags);
    return cdb;
}

TEST(WriteAtomic, ClaimsItsRangeAndWritesOnceDurably) {
    Driver driver;
    for (const std::uint16_t blocks : std::vector<std::uint16_t>{1, 2, 255, 256}) {
        SCOPED_TRACE(blocks);
        const Answer answer =
            driver.send(atomic_cdb(8192U - blocks, blocks, dpo | fua), repeat(0xa6, blocks * 512U));
        EXPECT_TRUE(answer.good());
        ASSERT_EQ(answer.claims.size(), 1U);
        EXPECT_EQ(answer.claims[0].first_block.value, 8192U - blocks);
        EXPECT_EQ(answer.claims[0].block_count.value, blocks);
        ASSERT_EQ(answer.steps.size(), 1U);
        EXPECT_TRUE(answer.steps[0].force_unit_access);
        EXPECT_EQ(driver.device.content(8192U - blocks, blocks), repeat(0xa6, blocks * 512U));
    }
}

TEST(WriteAtomic, RefusesWhatItCannotKeepWhole) {
    Driver driver;
    EXPECT_EQ(driver.send(atomic_cdb(0, 257), repeat(0, 257 * 512)).sense, invalid_field(12));
    EXPECT_EQ(driver.send(atomic_cdb(0, 2), repeat(0, 512)).sense, information_unit_error);
    EXPECT_EQ(driver.send(atomic_cdb(8191, 2), repeat(0, 1024)).sense, lba_out_of_range);
    EXPECT_EQ(driver.send(atomic_cdb(1ULL << 63, 1), repeat(0, 512)).sense, lba_out_of_range);
    EXPECT_TRUE(driver.send(atomic_cdb(0, 0)).good());
    EXPECT_EQ(driver.send(atomic_cdb(8193, 0)).sense, lba_out_of_range);
}

}  // namespace
}  // namespace cowtgt::scsi::test
