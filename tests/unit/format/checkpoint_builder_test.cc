#include "cow-store/map/checkpoint_builder.h"

#include <gtest/gtest.h>

#include <map>
#include <random>
#include <vector>

#include "cow-store/base/checksum.h"

namespace cowtgt {
namespace {

/// A map with its pages on a "disk" of units.
class Checkpoints {
public:
    explicit Checkpoints(std::uint64_t clusters) : map(clusters), allocator(0) {
        allocator.start();
        allocator.add_reserved({0, 40});
        (void)allocator.allocate_contiguous(2);
    }

    /// Returns how many units it wrote.
    std::uint64_t write() {
        CheckpointBuilder builder(map, on_disk, ++generation);
        std::vector<std::byte> buffer(3 * std::size_t{unit_size});
        std::vector<UnitNumber> units(3);
        while (true) {
            const auto progress = builder.next(buffer, units, allocator);
            if (progress.step == CheckpointBuilder::Step::finished) break;
            EXPECT_EQ(progress.step, CheckpointBuilder::Step::pages);
            for (std::uint32_t i = 0; i < progress.count; ++i) {
                const auto* page = buffer.data() + std::size_t{i} * unit_size;
                disk[units[i]] = std::vector<std::byte>(page, page + unit_size);
            }
        }
        for (const UnitNumber unit : builder.replaced()) {
            allocator.release({unit, 1});
            disk.erase(unit);
        }
        on_disk = builder.take_result();
        return builder.units_taken();
    }

    const std::vector<std::byte>& page(const PagePointer& pointer) {
        const auto& bytes = disk.at(pointer.unit);
        EXPECT_EQ(xxh3_64(bytes), pointer.checksum);
        return bytes;
    }

    /// The map as a reader of the disk sees it.
    ClusterMap read() {
        ClusterMap found(map.cluster_count());
        std::vector<PageEntry> entries;
        for (PagePointer at = on_disk.directory; at.unit != 0;) {
            const auto decoded = decode_directory_page(page(at));
            entries.insert(entries.end(), decoded->entries.begin(), decoded->entries.end());
            at = decoded->next;
        }
        EXPECT_EQ(entries, on_disk.pages);
        for (const PageEntry& entry : entries) {
            if (entry.form == PageForm::dense) {
                found.set_leaf(entry.first_leaf,
                               Leaf::from_values(decode_dense_page(page(entry.page))));
                continue;
            }
            const auto leaves = decode_packed_page(page(entry.page));
            for (const DecodedLeaf& leaf : *leaves) {
                found.set_leaf(leaf.leaf, Leaf::from_runs(leaf.runs));
            }
        }
        return found;
    }

    ClusterMap map;
    UnitAllocator allocator;
    MapOnDisk on_disk;
    std::map<UnitNumber, std::vector<std::byte>> disk;
    std::uint64_t generation = 1;
};

void expect_same(const ClusterMap& a, const ClusterMap& b) {
    for (std::uint64_t at = 0; at < a.cluster_count();) {
        const ClusterCount rest{a.cluster_count() - at};
        const Extent of_a = a.find(ClusterIndex{at}, rest);
        const Extent of_b = b.find(ClusterIndex{at}, rest);
        ASSERT_EQ(of_a.count, of_b.count) << at;
        ASSERT_EQ(of_a.place.index(), of_b.place.index()) << at;
        if (const auto* in_layer = std::get_if<InLayer>(&of_a.place)) {
            ASSERT_EQ(in_layer->unit, std::get<InLayer>(of_b.place).unit) << at;
        }
        at += of_a.count.value;
    }
}

TEST(Checkpoint, AnEmptyMapHasNoPages) {
    Checkpoints checkpoints(100000);
    EXPECT_EQ(checkpoints.write(), 0U);
    EXPECT_EQ(checkpoints.on_disk.directory.unit, 0U);
}

TEST(Checkpoint, AFewPatchedClustersTakeOnePageAndADirectory) {
    Checkpoints checkpoints(25'000'000);
    for (std::uint32_t i = 0; i < 14; ++i) {
        checkpoints.map.assign(ClusterIndex{i * 1'700'000ULL}, ClusterCount{1}, 1000 + i);
    }
    EXPECT_EQ(checkpoints.write(), 2U);
    expect_same(checkpoints.map, checkpoints.read());
}

TEST(Checkpoint, OnlyPagesWithDirtyLeavesAreWrittenAgain) {
    Checkpoints checkpoints(1024 * 4000);
    for (std::uint32_t leaf = 0; leaf < 4000; ++leaf) {
        checkpoints.map.assign(ClusterIndex{leaf * 1024ULL + 3}, ClusterCount{1}, 10000 + leaf * 2);
    }
    EXPECT_GT(checkpoints.write(), 15U);
    checkpoints.map.assign(ClusterIndex{1024 * 2000}, ClusterCount{1}, 5000);
    EXPECT_LE(checkpoints.write(), 3U);  // the page, perhaps in two halves, and the directory
    expect_same(checkpoints.map, checkpoints.read());
    EXPECT_EQ(checkpoints.write(), 1U);  // nothing but the directory
}

TEST(Checkpoint, RandomHistoriesReadBackAndKeepToTheirBudget) {
    for (std::uint64_t seed = 1; seed <= 5; ++seed) {
        SCOPED_TRACE(seed);
        std::mt19937_64 random(seed);
        Checkpoints checkpoints(1024 * 300 + 7);
        MapValue unit = 1 << 20;
        for (int round = 0; round < 30; ++round) {
            const std::uint64_t assigned_before = checkpoints.map.assignments();
            const std::uint64_t base = random() % 200 * 1024;
            const std::uint64_t width = random() % 3 == 0 ? 3000 : 90'000;
            for (int i = 0; i < 1500; ++i) {
                const std::uint64_t first = base + random() % width;
                const std::uint64_t count = 1 + random() % 4;
                unit += 10;
                checkpoints.map.assign(ClusterIndex{first}, ClusterCount{count},
                                       random() % 8 == 0 ? value_zero : unit);
            }
            const std::uint64_t budget = checkpoint_units_needed(
                checkpoints.on_disk.pages.size(), checkpoints.map.dirty_leaf_count(),
                checkpoints.map.assignments() - assigned_before);
            EXPECT_LE(checkpoints.write(), budget);
            EXPECT_EQ(checkpoints.map.dirty_leaf_count(), 0U);
        }
        expect_same(checkpoints.map, checkpoints.read());
        // Nothing is left behind: what is in use is what the last checkpoint names.
        EXPECT_EQ(
            checkpoints.allocator.used_units(),
            2 + checkpoints.on_disk.pages.size() + checkpoints.on_disk.directory_units.size());
    }
}

TEST(Checkpoint, ChangesBetweenTwoStepsAreInThisOneOrTheNext) {
    Checkpoints checkpoints(1024 * 1000);
    for (std::uint32_t leaf = 0; leaf < 1000; ++leaf) {
        checkpoints.map.assign(ClusterIndex{leaf * 1024ULL}, ClusterCount{1}, 10000 + leaf * 2);
    }
    CheckpointBuilder builder(checkpoints.map, checkpoints.on_disk, 2);
    std::vector<std::byte> page(unit_size);
    UnitNumber unit = 0;
    std::uint32_t change = 0;
    while (true) {
        const auto progress = builder.next(page, {&unit, 1}, checkpoints.allocator);
        if (progress.step == CheckpointBuilder::Step::finished) break;
        checkpoints.disk[unit] = page;
        ++change;
        checkpoints.map.assign(ClusterIndex{change * 77'777ULL % (1024 * 1000)}, ClusterCount{1},
                               500'000 + change);
    }
    checkpoints.on_disk = builder.take_result();
    checkpoints.write();
    expect_same(checkpoints.map, checkpoints.read());
}

TEST(Checkpoint, WaitsForUnitsWhenThereAreNone) {
    Checkpoints checkpoints(5000);
    while (checkpoints.allocator.allocate_data(256)) {
    }
    checkpoints.map.assign(ClusterIndex{1}, ClusterCount{1}, 77);
    CheckpointBuilder builder(checkpoints.map, checkpoints.on_disk, 2);
    std::vector<std::byte> page(unit_size);
    UnitNumber unit = 0;
    EXPECT_EQ(builder.next(page, {&unit, 1}, checkpoints.allocator).step,
              CheckpointBuilder::Step::needs_units);
    checkpoints.allocator.release({100, 2});
    EXPECT_EQ(builder.next(page, {&unit, 1}, checkpoints.allocator).step,
              CheckpointBuilder::Step::pages);
    EXPECT_EQ(builder.next(page, {&unit, 1}, checkpoints.allocator).step,
              CheckpointBuilder::Step::pages);
    EXPECT_EQ(builder.next(page, {&unit, 1}, checkpoints.allocator).step,
              CheckpointBuilder::Step::finished);
}

}  // namespace
}  // namespace cowtgt
