#include "cow-store/map/unit_allocator.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <set>
#include <vector>

namespace cowtgt {
namespace {

UnitAllocator with_segments(std::uint32_t count) {
    UnitAllocator allocator(0);
    allocator.start();
    allocator.add_reserved({0, count});
    return allocator;
}

TEST(UnitAllocator, NothingIsGrantedBeyondWhatIsReserved) {
    UnitAllocator allocator = with_segments(1);
    std::uint32_t granted = 0;
    while (const auto run = allocator.allocate_data(100)) {
        granted += run->count;
    }
    EXPECT_EQ(granted, units_per_segment);
    EXPECT_EQ(allocator.free_units(), 0U);
    EXPECT_FALSE(allocator.allocate_metadata());
}

TEST(UnitAllocator, LargeRequestsGetUnitsThatFollowEachOther) {
    UnitAllocator allocator = with_segments(8);
    ASSERT_EQ(allocator.allocate_data(1)->count, 1U);
    const auto first = allocator.allocate_data(256);
    ASSERT_TRUE(first);
    EXPECT_EQ(first->count, 255U);  // the rest of the segment
    const auto second = allocator.allocate_data(256);
    EXPECT_EQ(second->first, first->first + first->count);
    EXPECT_EQ(second->count, 256U);
}

TEST(UnitAllocator, MetadataAndDataComeFromDifferentSegments) {
    UnitAllocator allocator = with_segments(4);
    std::set<std::uint32_t> data, metadata;
    for (int i = 0; i < 100; ++i) {
        data.insert(allocator.allocate_data(1)->first / units_per_segment);
        metadata.insert(*allocator.allocate_metadata() / units_per_segment);
    }
    EXPECT_EQ(data.size(), 1U);
    EXPECT_EQ(metadata.size(), 1U);
    EXPECT_NE(*data.begin(), *metadata.begin());
}

TEST(UnitAllocator, SpaceThatWasWrittenComesFirst) {
    UnitAllocator allocator = with_segments(4);
    const auto zeroing = allocator.begin_zeroing();
    ASSERT_TRUE(zeroing);
    EXPECT_EQ(allocator.free_units(), 3U * units_per_segment);
    // Out of service until all zeros are written.
    EXPECT_NE(allocator.allocate_data(1)->first / units_per_segment, zeroing->first);
    EXPECT_NE(*allocator.allocate_metadata() / units_per_segment, zeroing->first);
    EXPECT_EQ(allocator.begin_punch(4)->count, 1U);
    EXPECT_FALSE(allocator.begin_punch(4));
    allocator.zeroed(*zeroing);
    EXPECT_EQ(allocator.written_segments(), 1U);
    EXPECT_EQ(allocator.empty_segments(), 1U);
    EXPECT_EQ(allocator.allocate_data(256)->count, 255U);  // the rest of the cursor's segment
    EXPECT_EQ(allocator.allocate_data(256)->first, zeroing->first * units_per_segment);
}

TEST(UnitAllocator, ASegmentThatWasFullIsKnownToBeWritten) {
    UnitAllocator allocator = with_segments(3);
    const auto full = allocator.allocate_data(256);
    ASSERT_EQ(full->count, units_per_segment);
    EXPECT_EQ(allocator.written_segments(), 0U);
    allocator.release(*full);
    EXPECT_EQ(allocator.written_segments(), 1U);
    EXPECT_EQ(allocator.empty_segments(), 3U);
    EXPECT_EQ(allocator.allocate_data(1)->first, full->first);
    EXPECT_EQ(allocator.free_units() + allocator.used_units(), 3U * units_per_segment);
}

TEST(UnitAllocator, ASegmentWhoseZeroingFailedIsAsBefore) {
    UnitAllocator allocator = with_segments(1);
    const auto zeroing = allocator.begin_zeroing();
    EXPECT_FALSE(allocator.allocate_data(1));
    EXPECT_FALSE(allocator.begin_zeroing());
    allocator.zeroing_failed(*zeroing);
    EXPECT_EQ(allocator.written_segments(), 0U);
    EXPECT_EQ(allocator.allocate_data(1)->first, zeroing->first * units_per_segment);
}

TEST(UnitAllocator, AUnitNamedTwiceOrBeyondTheFileIsNoticed) {
    UnitAllocator allocator(2 * segment_size);
    EXPECT_TRUE(allocator.mark_used({0, 2}));
    EXPECT_TRUE(allocator.mark_used({300, 100}));
    EXPECT_FALSE(allocator.mark_used({399, 1}));
    EXPECT_TRUE(allocator.mark_used({256, 44}));
    EXPECT_FALSE(allocator.mark_used({511, 2}));
    EXPECT_TRUE(allocator.mark_used_again({399, 3}));
    EXPECT_FALSE(allocator.mark_used_again({512, 1}));
    EXPECT_EQ(allocator.used_units(), 2U + 100 + 44 + 2);
}

TEST(UnitAllocator, TheCutSegmentAtTheEndIsReservedFirstThenHolesThenNewSpace) {
    UnitAllocator allocator(3 * segment_size + 5 * unit_size);
    ASSERT_TRUE(allocator.mark_used({0, 2}));
    ASSERT_TRUE(allocator.mark_used({3 * units_per_segment, 5}));
    allocator.start();
    EXPECT_EQ(allocator.free_units(), units_per_segment - 2U);
    SegmentRange range = allocator.next_reservation(8);
    EXPECT_EQ(range.first, 3U);
    EXPECT_EQ(range.count, 1U);
    allocator.add_reserved(range);
    EXPECT_EQ(allocator.free_units(), 2 * units_per_segment - 7U);
    range = allocator.next_reservation(8);
    EXPECT_EQ(range.first, 1U);
    EXPECT_EQ(range.count, 2U);
    allocator.add_reserved(range);
    range = allocator.next_reservation(8);
    EXPECT_EQ(range.first, 4U);
    EXPECT_EQ(range.count, 8U);
}

TEST(UnitAllocator, PunchedSegmentsAreOutOfServiceUntilReservedAgain) {
    UnitAllocator allocator = with_segments(4);
    const auto range = allocator.begin_punch(2);
    ASSERT_TRUE(range);
    EXPECT_EQ(range->first, 2U);
    EXPECT_EQ(allocator.free_units(), 2 * units_per_segment);
    allocator.punched(*range);
    EXPECT_EQ(allocator.free_units(), 2 * units_per_segment);
    EXPECT_EQ(allocator.next_reservation(9).first, 2U);
    allocator.add_reserved({2, 2});
    EXPECT_EQ(allocator.free_units(), 4 * units_per_segment);
}

TEST(UnitAllocator, NeverGrantsAUnitTwiceWhateverIsReleased) {
    for (std::uint64_t seed = 1; seed <= 6; ++seed) {
        SCOPED_TRACE(seed);
        std::mt19937_64 random(seed);
        UnitAllocator allocator = with_segments(6);
        std::vector<bool> used(6 * units_per_segment);
        std::vector<UnitRun> runs;
        const auto claim = [&](UnitRun run) {
            for (std::uint32_t i = 0; i < run.count; ++i) {
                ASSERT_FALSE(used[run.first + i]);
                used[run.first + i] = true;
            }
            runs.push_back(run);
        };
        for (int step = 0; step < 20000; ++step) {
            const std::uint64_t choice = random() % 10;
            if (choice < 4) {
                const auto run =
                    allocator.allocate_data(1 + static_cast<std::uint32_t>(random() % 40));
                if (run) claim(*run);
            } else if (choice < 5) {
                const auto unit = allocator.allocate_metadata();
                ASSERT_TRUE(unit.has_value() || allocator.free_units() == 0);
                if (unit) claim({*unit, 1});
            } else if (choice == 5) {
                const auto run = allocator.allocate_contiguous(7);
                if (run) claim(*run);
            } else if (!runs.empty()) {
                const std::size_t at = random() % runs.size();
                for (std::uint32_t i = 0; i < runs[at].count; ++i) {
                    used[runs[at].first + i] = false;
                }
                allocator.release(runs[at]);
                runs[at] = runs.back();
                runs.pop_back();
            }
            const auto in_use =
                static_cast<std::uint64_t>(std::count(used.begin(), used.end(), true));
            ASSERT_EQ(allocator.used_units(), in_use);
            ASSERT_EQ(allocator.free_units(), used.size() - in_use);
        }
    }
}

}  // namespace
}  // namespace cowtgt
