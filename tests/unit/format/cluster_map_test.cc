#include "cow-store/map/cluster_map.h"

#include <gtest/gtest.h>

#include <map>
#include <random>
#include <vector>

namespace cowtgt {
namespace {

MapValue value_at(const ClusterMap& map, std::uint64_t cluster) {
    const Extent extent = map.find(ClusterIndex{cluster}, ClusterCount{1});
    if (const auto* in_layer = std::get_if<InLayer>(&extent.place)) return in_layer->unit;
    return std::holds_alternative<ReadsAsZero>(extent.place) ? value_zero : value_inherit;
}

TEST(ClusterMap, AFreshOneInheritsEverythingAndTakesNearlyNothing) {
    constexpr std::uint64_t tebibyte = (std::uint64_t{1} << 40) / cluster_size;
    const ClusterMap map(tebibyte);
    EXPECT_EQ(map.find(ClusterIndex{0}, ClusterCount{tebibyte}).count.value, tebibyte);
    EXPECT_LT(map.memory_bytes(), 16U * 1024);
}

TEST(ClusterMap, FindGivesTheLongestRunAcrossLeaves) {
    ClusterMap map(5000);
    map.assign(ClusterIndex{1000}, ClusterCount{2000}, 100);
    const Extent extent = map.find(ClusterIndex{1010}, ClusterCount{3000});
    EXPECT_EQ(extent.count.value, 1990U);
    EXPECT_EQ(std::get<InLayer>(extent.place).unit, 110U);
    EXPECT_EQ(map.find(ClusterIndex{0}, ClusterCount{5000}).count.value, 1000U);
    EXPECT_EQ(map.find(ClusterIndex{3000}, ClusterCount{2000}).count.value, 2000U);
}

TEST(ClusterMap, NeighboursInUnitsThatDoNotFollowAreTwoExtents) {
    ClusterMap map(4096);
    map.assign(ClusterIndex{1022}, ClusterCount{2}, 100);
    map.assign(ClusterIndex{1024}, ClusterCount{2}, 200);
    EXPECT_EQ(map.find(ClusterIndex{1022}, ClusterCount{4}).count.value, 2U);
}

/// Every shape of a leaf, every cut and join of runs, against a plain table.
TEST(ClusterMap, SaysTheSameAsAPlainTable) {
    for (std::uint64_t seed = 1; seed <= 8; ++seed) {
        SCOPED_TRACE(seed);
        std::mt19937_64 random(seed);
        const std::uint64_t clusters = 3000 + random() % 500;
        ClusterMap map(clusters);
        std::vector<MapValue> table(clusters, value_inherit);
        const std::uint64_t longest = seed % 2 == 0 ? 4 : 600;
        for (int step = 0; step < 4000; ++step) {
            const std::uint64_t first = random() % clusters;
            const std::uint64_t count = std::min(1 + random() % longest, clusters - first);
            const auto value = static_cast<MapValue>(
                random() % 5 < 2 ? random() % 2 : first_data_unit + random() % 100000);
            map.assign(ClusterIndex{first}, ClusterCount{count}, value);
            for (std::uint64_t i = 0; i < count; ++i) {
                table[first + i] = value_after(value, static_cast<std::uint32_t>(i));
            }
            if (step % 500 == 0) {
                for (std::uint32_t leaf = 0; leaf < map.leaf_count(); ++leaf) {
                    map.clean_leaf(leaf);
                }
            }
        }
        for (std::uint64_t at = 0; at < clusters; ++at) {
            ASSERT_EQ(value_at(map, at), table[at]) << at;
        }
        for (std::uint64_t at = 0; at < clusters;) {
            const Extent extent = map.find(ClusterIndex{at}, ClusterCount{clusters - at});
            const MapValue value = table[at];
            for (std::uint64_t i = 0; i < extent.count.value; ++i) {
                ASSERT_EQ(table[at + i], value_after(value, static_cast<std::uint32_t>(i)));
            }
            at += extent.count.value;
        }
    }
}

TEST(ClusterMap, DirtyLeavesAreThoseAssignedTo) {
    ClusterMap map(1024 * 600);
    map.assign(ClusterIndex{1024 * 3 + 1023}, ClusterCount{2}, 50);
    map.assign(ClusterIndex{1024 * 500}, ClusterCount{1}, value_zero);
    EXPECT_EQ(map.next_dirty_leaf(0), 3U);
    EXPECT_EQ(map.next_dirty_leaf(4), 4U);
    EXPECT_EQ(map.next_dirty_leaf(5), 500U);
    EXPECT_EQ(map.dirty_leaf_count(), 3U);
    map.clean_leaf(4);
    EXPECT_EQ(map.next_dirty_leaf(4), 500U);
    EXPECT_EQ(map.next_used_leaf(4), 4U);
    EXPECT_EQ(map.next_dirty_leaf(501), std::nullopt);
    EXPECT_EQ(map.dirty_leaf_count(), 2U);
}

TEST(ClusterMap, MemoryStaysWithinItsBoundsPerTebibyte) {
    // 2 GiB stand for a TiB: everything here grows in proportion.
    constexpr std::uint64_t clusters = (std::uint64_t{2} << 30) / cluster_size;
    ClusterMap sequential(clusters);
    for (std::uint64_t at = 0; at < clusters; at += 256) {
        sequential.assign(ClusterIndex{at}, ClusterCount{256},
                          static_cast<MapValue>(512 + at + at / 65536));
    }
    EXPECT_LE(sequential.memory_bytes() * 512, 16U << 20);

    ClusterMap scattered(clusters);
    for (std::uint64_t i = 0; i < clusters; ++i) {
        const std::uint64_t at = i * 1234577 % clusters;
        scattered.assign(ClusterIndex{at}, ClusterCount{1}, static_cast<MapValue>(512 + i));
    }
    EXPECT_LE(scattered.memory_bytes() * 512, std::size_t{1100} << 20);
}

}  // namespace
}  // namespace cowtgt
