#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>
#include <random>
#include <vector>

#include "cow-store/map/cluster_map.h"

/// What a map costs in memory, for a TiB of disk. One branch of it, a GiB, is written and counted
/// 1024 times: branches of the map do not know of each other.
namespace cowtgt {
namespace {

constexpr std::uint64_t part = 1024;
constexpr std::uint64_t clusters = (std::uint64_t{1} << 40) / cluster_size / part;
constexpr std::uint64_t mebibyte = std::uint64_t{1} << 20;

TEST(MapMemory, OfAFreshDiskIsNearNothing) {
    EXPECT_LE(ClusterMap(clusters * part).memory_bytes(), 16U << 10);
}

TEST(MapMemory, OfATebibyteWrittenInSequence) {
    ClusterMap map(clusters);
    for (std::uint64_t at = 0; at < clusters; at += 32) {
        map.assign(ClusterIndex{at}, ClusterCount{32}, static_cast<MapValue>(2 + at));
    }
    EXPECT_LE(map.memory_bytes() * part, 16 * mebibyte);
}

TEST(MapMemory, OfATebibyteWrittenAtRandom) {
    ClusterMap map(clusters);
    std::vector<std::uint32_t> order(clusters);
    std::iota(order.begin(), order.end(), 0U);
    std::shuffle(order.begin(), order.end(), std::mt19937_64(42));
    MapValue unit = 2;
    for (const std::uint32_t cluster : order) {
        map.assign(ClusterIndex{cluster}, ClusterCount{1}, unit++);
    }
    EXPECT_LE(map.memory_bytes() * part, 1126 * mebibyte);  // 1.1 GiB
}

}  // namespace
}  // namespace cowtgt
