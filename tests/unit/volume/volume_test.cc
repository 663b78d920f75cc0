#include "cow-store/volume/volume.h"

#include <gtest/gtest.h>

#include <utility>
#include <vector>

#include "cow-store/map/cluster_map.h"
#include "tests/unit/volume/machine.h"

namespace cowtgt {
namespace {

TEST(Volume, AnAlignedFirstWriteCopiesNothing) {
    sim::File base(1);
    base.overwrite(0, std::vector<std::byte>(1 << 20, std::byte{7}));
    Machine machine(1 << 20, &base, 1 << 20);
    const std::uint64_t before = base.steps;
    EXPECT_EQ(machine.write(8, 8, std::byte{1}), BlockStatus::good);
    EXPECT_EQ(base.steps, before);
    EXPECT_EQ(machine.first_byte(7), std::byte{7});
    EXPECT_EQ(machine.first_byte(8), std::byte{1});
    EXPECT_EQ(machine.first_byte(16), std::byte{7});
}

TEST(Volume, LendsWhatLiesBelowInOnePlaceAndIsInMemory) {
    sim::File base(1);
    base.overwrite(0, std::vector<std::byte>(1 << 20, std::byte{7}));
    Machine machine(1 << 20, &base, 1 << 20);
    const auto lends = [&](std::uint64_t block, std::uint64_t count) {
        machine.may_be_lent = true;
        EXPECT_EQ(machine.run(BlockOperation::read, block, count).status, BlockStatus::good);
        return machine.lent;
    };
    EXPECT_TRUE(lends(0, 64).empty());  // not in memory
    base.lends = true;
    EXPECT_EQ(lends(64, 64).offset, 64U * 512);
    EXPECT_EQ(lends(64, 64).length, 64U * 512);
    EXPECT_TRUE(lends(0, 8).empty());  // so little is copied
    EXPECT_EQ(machine.write(64, 8, std::byte{1}), BlockStatus::good);
    EXPECT_TRUE(lends(64, 64).empty());  // lies in two places now
    EXPECT_EQ(machine.buffer->bytes[0], std::byte{1});
    EXPECT_EQ(machine.buffer->bytes[8 * 512], std::byte{7});
    EXPECT_FALSE(lends(72, 64).empty());
    EXPECT_EQ(machine.write(0, 64, std::byte{2}), BlockStatus::good);
    EXPECT_TRUE(lends(0, 64).empty());  // what may change is never lent
    machine.may_be_lent = false;
    EXPECT_EQ(machine.run(BlockOperation::read, 72, 64).status, BlockStatus::good);
    EXPECT_TRUE(machine.lent.empty());
}

TEST(Volume, AWriteOfOneSectorKeepsItsNeighbours) {
    sim::File base(1);
    base.overwrite(0, std::vector<std::byte>(1 << 20, std::byte{7}));
    Machine machine(1 << 20, &base, 1 << 20);
    EXPECT_EQ(machine.write(11, 1, std::byte{2}), BlockStatus::good);
    EXPECT_EQ(machine.first_byte(10), std::byte{7});
    EXPECT_EQ(machine.first_byte(11), std::byte{2});
    EXPECT_EQ(machine.first_byte(12), std::byte{7});
}

TEST(Volume, BeyondTheOverlapLimitTheBaseDoesNotShowThrough) {
    sim::File base(1);
    base.overwrite(0, std::vector<std::byte>(1 << 20, std::byte{7}));
    Machine machine(1 << 20, &base, 64 * 1024);
    EXPECT_EQ(machine.first_byte(127), std::byte{7});
    EXPECT_EQ(machine.first_byte(128), std::byte{0});
    EXPECT_EQ(machine.volume->provisioning(Lba{128}, BlockCount{8}).state,
              Provisioning::deallocated);
    EXPECT_EQ(machine.volume->provisioning(Lba{0}, BlockCount{2048}).block_count.value, 128U);
}

TEST(Volume, ReadingNeverOpensTheLayer) {
    Machine machine(1 << 20);
    EXPECT_EQ(machine.first_byte(0), std::byte{0});
    EXPECT_EQ(machine.run(BlockOperation::flush, 0, 0).status, BlockStatus::good);
    EXPECT_EQ(machine.close(), BlockStatus::good);
    EXPECT_EQ(machine.file.allocated_bytes(), 2U * 4096);
    EXPECT_EQ(inspect_layer(machine.file)->generation, 1U);
}

TEST(Volume, WhatIsWrittenIsThereAfterCloseAndOpen) {
    Machine machine(64 << 20);
    for (std::uint64_t i = 0; i < 500; ++i) {
        ASSERT_EQ(machine.write(i * 37 % 1000 * 100, 8, static_cast<std::byte>(i)),
                  BlockStatus::good);
    }
    EXPECT_EQ(machine.run(BlockOperation::deallocate, 0, 1600).status, BlockStatus::good);
    EXPECT_EQ(machine.close(), BlockStatus::good);
    EXPECT_EQ(inspect_layer(machine.file)->phase, LayerPhase::clean);
    machine.open();
    for (std::uint64_t i = 0; i < 500; ++i) {
        const std::uint64_t block = i * 37 % 1000 * 100;
        EXPECT_EQ(machine.first_byte(block),
                  block < 1600 ? std::byte{0} : static_cast<std::byte>(i));
    }
}

/// Random first writes all over a 10 GiB disk take little more than their own space, and an
/// overwrite takes nothing. (The figure counts preallocation, map and journal.)
TEST(Volume, ScatteredFirstWritesTakeAtMostATenthMoreThanTheirSpace) {
    constexpr std::uint64_t clusters = (std::uint64_t{10} << 30) / 4096;
    constexpr std::uint64_t writes = 20'000;
    Machine machine(clusters * 4096);
    for (int pass = 0; pass < 2; ++pass) {
        for (std::uint64_t i = 0; i < writes; ++i) {
            const std::uint64_t cluster = i * 1'000'003 % clusters;
            ASSERT_EQ(machine.write(cluster * 8, 8, std::byte{3}), BlockStatus::good);
        }
        EXPECT_LE(machine.file.allocated_bytes(), writes * 4096 * 11 / 10) << pass;
    }
    EXPECT_GT(machine.volume->statistics().checkpoints, 0U);
    EXPECT_EQ(machine.close(), BlockStatus::good);
}

/// Random first writes with a flush after every `per_flush` of them; bytes of zeros written ahead.
std::uint64_t zeroed_by(std::uint64_t per_flush) {
    constexpr std::uint64_t clusters = 1 << 18;
    Machine machine(clusters * 4096);
    for (std::uint64_t i = 0; i < 1024; ++i) {
        EXPECT_EQ(machine.write(i * 10'007 % clusters * 8, 8, std::byte{3}), BlockStatus::good);
        if ((i + 1) % per_flush == 0) {
            EXPECT_EQ(machine.run(BlockOperation::flush, 0, 0).status, BlockStatus::good);
        }
    }
    return machine.volume->statistics().zeroed_bytes;
}

TEST(Volume, ZerosAreWrittenAheadOfSmallCommitsOnly) {
    EXPECT_EQ(zeroed_by(64), 0U);
    EXPECT_EQ(zeroed_by(16), 0U);
    // All segments but that in which the first few writes lie, and one ahead.
    for (const std::uint64_t per_flush : {1, 4}) {
        EXPECT_GE(zeroed_by(per_flush), 3U << 20);
        EXPECT_LE(zeroed_by(per_flush), 5U << 20);
    }
}

TEST(Volume, AClosedLayerKeepsNoSpaceThatItDoesNotUse) {
    Machine machine(256 << 20);
    for (std::uint64_t mebibyte = 0; mebibyte < 48; ++mebibyte) {
        for (std::uint64_t part = 0; part < 16; ++part) {
            const std::uint64_t block = mebibyte * 2048 + part * 128;
            ASSERT_EQ(machine.write(block, 128, std::byte{3}), BlockStatus::good);
        }
    }
    EXPECT_GE(machine.file.allocated_bytes(), 48U << 20);
    // Not even flushed: the checkpoint at the end frees it.
    EXPECT_EQ(machine.run(BlockOperation::deallocate, 0, 47 * 2048).status, BlockStatus::good);
    EXPECT_EQ(machine.close(), BlockStatus::good);
    // The data that is left, its map, the journal, and what shares segments with them.
    EXPECT_LE(machine.file.allocated_bytes(), 6U << 20);
    machine.open();
    EXPECT_EQ(machine.first_byte(46 * 2048), std::byte{0});
    EXPECT_EQ(machine.first_byte(47 * 2048), std::byte{3});
}

TEST(Volume, AFullDiskFailsNewWritesOnlyAndSpaceThatReturnsIsUsed) {
    Machine machine(64 << 20);
    machine.file.capacity_bytes = 8 << 20;
    std::uint64_t written = 0;
    while (machine.write(written * 8, 8, std::byte{1}) == BlockStatus::good) {
        ++written;
    }
    EXPECT_GT(written * 4096, 5U << 20);
    EXPECT_EQ(machine.write(written * 8, 8, std::byte{1}), BlockStatus::out_of_space);
    EXPECT_EQ(machine.write(0, 8, std::byte{2}), BlockStatus::good);  // overwrite
    EXPECT_EQ(machine.first_byte(8), std::byte{1});
    EXPECT_EQ(machine.run(BlockOperation::flush, 0, 0).status, BlockStatus::good);
    EXPECT_EQ(machine.run(BlockOperation::deallocate, 800, 800).status, BlockStatus::good);
    EXPECT_EQ(machine.write(written * 8, 8, std::byte{4}), BlockStatus::good);
    while (machine.write(written * 8, 8, std::byte{1}) == BlockStatus::good) {
        ++written;
    }
    machine.file.capacity_bytes = 64 << 20;
    EXPECT_EQ(machine.write(written * 8, 8, std::byte{5}), BlockStatus::good);
    EXPECT_FALSE(machine.volume->statistics().fenced);
    EXPECT_EQ(machine.close(), BlockStatus::good);
}

TEST(Volume, AQuotaFailsNewWritesOnlyAndSpaceThatComesBackCounts) {
    constexpr std::uint64_t quota = 8 << 20;
    Machine machine(64 << 20);
    machine.open(quota);
    std::uint64_t written = 0;
    while (machine.write(written * 8, 8, std::byte{1}) == BlockStatus::good) {
        ++written;
        ASSERT_LE(machine.file.allocated_bytes(), quota);
    }
    EXPECT_GT(written * 4096, 6U << 20);
    // A write of two clusters, one of which is there, changes neither.
    EXPECT_EQ(machine.write((written - 1) * 8, 16, std::byte{9}), BlockStatus::out_of_space);
    EXPECT_EQ(machine.first_byte((written - 1) * 8), std::byte{1});
    EXPECT_EQ(machine.write(0, 8, std::byte{2}), BlockStatus::good);  // overwrite
    EXPECT_EQ(machine.run(BlockOperation::flush, 0, 0).status, BlockStatus::good);
    EXPECT_EQ(machine.run(BlockOperation::deallocate, 800, 800).status, BlockStatus::good);
    for (std::uint64_t i = 0; i < 100; ++i) {
        EXPECT_EQ(machine.write((written + i) * 8, 8, std::byte{4}), BlockStatus::good) << i;
    }
    EXPECT_LE(machine.file.allocated_bytes(), quota);
    EXPECT_FALSE(machine.volume->statistics().fenced);
    machine.volume->set_space_max(no_space_limit);
    EXPECT_EQ(machine.volume->available_bytes(), std::nullopt);
    EXPECT_EQ(machine.write((written + 200) * 8, 128, std::byte{5}), BlockStatus::good);
    EXPECT_EQ(machine.close(), BlockStatus::good);
}

/// Snapshots may have used it up; then only what frees space still gets any.
TEST(Volume, WithNothingLeftOfAQuotaDeallocatingStillWorks) {
    sim::File base(1);
    base.overwrite(0, std::vector<std::byte>(32 << 20, std::byte{7}));
    Machine machine(32 << 20, &base, 32 << 20);
    machine.open(0);
    EXPECT_EQ(machine.volume->available_bytes(), 0U);
    EXPECT_EQ(machine.write(0, 8, std::byte{1}), BlockStatus::out_of_space);
    EXPECT_EQ(machine.run(BlockOperation::deallocate, 0, 60'000).status, BlockStatus::good);
    EXPECT_EQ(machine.run(BlockOperation::flush, 0, 0).status, BlockStatus::good);
    EXPECT_EQ(machine.first_byte(59'999), std::byte{0});
    EXPECT_EQ(machine.first_byte(60'000), std::byte{7});
    EXPECT_EQ(machine.close(), BlockStatus::good);
    EXPECT_LE(machine.file.allocated_bytes(), 4U << 20);
}

TEST(Volume, AFillTakesOverWhatIsInheritedAndNothingElse) {
    sim::File base(1);
    base.overwrite(0, std::vector<std::byte>(1 << 20, std::byte{7}));
    Machine machine(1 << 20, &base, 512 << 10);
    ASSERT_EQ(machine.write(8, 8, std::byte{1}), BlockStatus::good);
    ASSERT_EQ(machine.run(BlockOperation::deallocate, 24, 8).status, BlockStatus::good);
    const auto stretch = [&](std::uint64_t offset) {
        const Volume::Stretch found = machine.volume->below_live(offset, 64 << 10);
        return std::pair{found.offset, found.length};
    };
    EXPECT_EQ(stretch(0), (std::pair<std::uint64_t, std::uint64_t>{0, 4096}));
    EXPECT_EQ(stretch(4096), (std::pair<std::uint64_t, std::uint64_t>{8192, 4096}));
    EXPECT_EQ(stretch(12288), (std::pair<std::uint64_t, std::uint64_t>{16384, 64 << 10}));
    EXPECT_EQ(machine.fill_in(0, 64, std::byte{7}), BlockStatus::good);
    EXPECT_EQ(machine.first_byte(0), std::byte{7});
    EXPECT_EQ(machine.first_byte(8), std::byte{1});   // written before
    EXPECT_EQ(machine.first_byte(24), std::byte{0});  // deallocated before
    EXPECT_EQ(stretch(0), (std::pair<std::uint64_t, std::uint64_t>{64 * 512, 64 << 10}));
    // Zeros take no space, whatever the base has: the caller has read them.
    const std::uint64_t before = machine.volume->statistics().allocated_bytes;
    EXPECT_EQ(machine.fill_in(64, 64, std::byte{0}), BlockStatus::good);
    EXPECT_EQ(machine.volume->statistics().allocated_bytes, before);
    for (std::uint64_t at = 64; at < 1024; at += 64)
        EXPECT_EQ(machine.fill_in(at, 64, std::byte{7}), BlockStatus::good);
    EXPECT_EQ(stretch(0), (std::pair<std::uint64_t, std::uint64_t>{1 << 20, 0}));
    EXPECT_EQ(machine.close(), BlockStatus::good);
    // It reads the same without what was below.
    OpenContext context;
    context.boot_id = sim::boot_id_of(1);
    ASSERT_TRUE(detach_layer(machine.file, context));
    EXPECT_EQ(inspect_layer(machine.file)->parent.overlap_limit, 0U);
    base.overwrite(0, std::vector<std::byte>(1 << 20, std::byte{9}));
    machine.open();
    EXPECT_EQ(machine.first_byte(0), std::byte{7});
    EXPECT_EQ(machine.first_byte(1023), std::byte{7});
    EXPECT_EQ(machine.first_byte(1024), std::byte{0});
    EXPECT_EQ(machine.close(), BlockStatus::good);
}

TEST(Volume, AFillMeetsTheQuota) {
    sim::File base(1);
    base.overwrite(0, std::vector<std::byte>(1 << 20, std::byte{7}));
    Machine machine(1 << 20, &base, 1 << 20);
    machine.open(0);
    EXPECT_EQ(machine.fill_in(0, 64, std::byte{7}), BlockStatus::out_of_space);
    EXPECT_EQ(machine.first_byte(0), std::byte{7});
    EXPECT_EQ(machine.close(), BlockStatus::good);
}

TEST(Volume, DeallocatedSpaceGoesBackToTheHost) {
    Machine machine(256 << 20);
    for (std::uint64_t at = 0; at < 100 << 20; at += 64 * 1024) {
        ASSERT_EQ(machine.write(at / 512, 128, std::byte{6}), BlockStatus::good);
    }
    const std::uint64_t full = machine.file.allocated_bytes();
    EXPECT_EQ(machine.run(BlockOperation::deallocate, 0, (100 << 20) / 512).status,
              BlockStatus::good);
    EXPECT_EQ(machine.run(BlockOperation::flush, 0, 0).status, BlockStatus::good);
    for (int i = 0; i < 20; ++i) {
        EXPECT_EQ(machine.run(BlockOperation::flush, 0, 0).status, BlockStatus::good);
    }
    EXPECT_LT(machine.file.allocated_bytes(), full / 2);
    EXPECT_EQ(machine.volume->statistics().quarantined_bytes, 0U);
    EXPECT_EQ(machine.first_byte(1000), std::byte{0});
    EXPECT_EQ(machine.close(), BlockStatus::good);
    machine.open();
    EXPECT_EQ(machine.write(0, 128, std::byte{1}), BlockStatus::good);
}

TEST(Volume, DeallocatingWhatWasNeverWrittenTakesNoMapSpace) {
    Machine machine(std::uint64_t{1} << 40);
    EXPECT_EQ(machine.run(BlockOperation::deallocate, 0, (std::uint64_t{1} << 40) / 512).status,
              BlockStatus::good);
    EXPECT_LT(machine.volume->statistics().map_memory_bytes, 16U * 1024);
}

TEST(Volume, AFlushWithoutNewSpaceIsOneSync) {
    Machine machine(1 << 20);
    ASSERT_EQ(machine.write(0, 8, std::byte{1}), BlockStatus::good);
    ASSERT_EQ(machine.run(BlockOperation::flush, 0, 0).status, BlockStatus::good);
    ASSERT_EQ(machine.write(0, 8, std::byte{2}), BlockStatus::good);
    const std::uint64_t before = machine.file.steps;
    ASSERT_EQ(machine.run(BlockOperation::flush, 0, 0).status, BlockStatus::good);
    EXPECT_EQ(machine.file.steps - before, 2U);  // submitted and completed
}

}  // namespace
}  // namespace cowtgt
