#include "cow-store/map/merged_map.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <vector>

namespace cowtgt {
namespace {

constexpr std::uint64_t clusters = 4 * clusters_per_leaf + 100;

void scatter(ClusterMap& map, std::mt19937_64& random) {
    UnitNumber unit = 2;
    for (int i = 0; i < 300; ++i) {
        const std::uint64_t first = random() % map.cluster_count();
        const std::uint64_t count =
            std::min<std::uint64_t>(1 + random() % 40, map.cluster_count() - first);
        const bool is_zero = random() % 5 == 0;
        map.assign(ClusterIndex{first}, ClusterCount{count}, is_zero ? value_zero : unit);
        unit += static_cast<UnitNumber>(count);
    }
}

/// A chain, asked map by map.
struct Place {
    enum class Kind { zeros, below, layer } kind = Kind::zeros;
    std::size_t level = 0;
    UnitNumber unit = 0;
    friend bool operator==(const Place&, const Place&) = default;
};

Place ask_each(const std::vector<MergedMap::Level>& levels, std::uint64_t cluster) {
    for (std::size_t i = 0; i < levels.size(); ++i) {
        if (cluster >= levels[i].map->cluster_count()) return {};
        const Extent extent = levels[i].map->find(ClusterIndex{cluster}, ClusterCount{1});
        if (std::holds_alternative<ReadsAsZero>(extent.place)) return {};
        if (const auto* data = std::get_if<InLayer>(&extent.place)) {
            return {Place::Kind::layer, i, data->unit};
        }
        if (cluster * cluster_size >= levels[i].overlap_limit) return {};
    }
    return {Place::Kind::below};
}

Place ask_merged(const MergedMap& merged, std::uint64_t cluster, std::uint64_t wanted,
                 std::uint64_t& length) {
    const Extent extent = merged.find(ClusterIndex{cluster}, ClusterCount{wanted});
    length = extent.count.value;
    if (std::holds_alternative<ReadsAsZero>(extent.place)) return {};
    if (const auto* data = std::get_if<InLayer>(&extent.place)) {
        const MergedMap::InLevel place = merged.locate(data->unit);
        return {Place::Kind::layer, place.level, place.unit};
    }
    return {Place::Kind::below};
}

void compare(const std::vector<MergedMap::Level>& levels) {
    const auto merged = MergedMap::merge(levels);
    ASSERT_TRUE(merged);
    const std::uint64_t count = merged->cluster_count();
    ASSERT_EQ(count, levels.front().map->cluster_count());
    for (std::uint64_t at = 0; at < count;) {
        std::uint64_t length = 0;
        Place place = ask_merged(*merged, at, count - at, length);
        for (std::uint64_t i = 0; i < length; ++i, ++at) {
            ASSERT_EQ(place, ask_each(levels, at)) << "cluster " << at;
            if (place.kind == Place::Kind::layer) ++place.unit;
        }
    }
}

TEST(MergedMap, SaysWhatTheChainSays) {
    for (std::uint64_t seed = 1; seed <= 60; ++seed) {
        SCOPED_TRACE(seed);
        std::mt19937_64 random(seed);
        std::vector<ClusterMap> maps;
        for (std::uint64_t i = 1 + random() % 9; i > 0; --i) {
            // Disks grow, and lower layers may know less of them or more.
            const bool whole = random() % 2 == 0;
            maps.emplace_back(whole ? clusters : clusters - random() % 3000);
            scatter(maps.back(), random);
        }
        std::vector<MergedMap::Level> levels;
        for (const ClusterMap& map : maps) {
            const bool all = random() % 3 != 0;
            levels.push_back({&map, (all ? clusters : random() % clusters) * cluster_size});
        }
        compare(levels);
    }
}

TEST(MergedMap, UnitsOfTwoLayersAreNeverOneRun) {
    ClusterMap top(1024), bottom(1024);
    top.assign(ClusterIndex{0}, ClusterCount{1}, 7);
    bottom.assign(ClusterIndex{1}, ClusterCount{1}, 8);
    compare({{&top, 1024 * cluster_size}, {&bottom, 1024 * cluster_size}});
    const auto merged =
        MergedMap::merge(std::vector<MergedMap::Level>{{&top, 1024 * cluster_size}, {&bottom, 0}});
    EXPECT_EQ(merged->find(ClusterIndex{0}, ClusterCount{2}).count.value, 1U);
}

TEST(MergedMap, WhatItCannotSayIsLeftToTheChain) {
    ClusterMap top(1024), bottom(1024);
    using Levels = std::vector<MergedMap::Level>;
    // A limit inside a cluster; but not one behind the end of the disk.
    EXPECT_FALSE(MergedMap::merge(Levels{{&top, 4096 + 512}, {&bottom, 0}}));
    EXPECT_TRUE(MergedMap::merge(Levels{{&top, 1024 * cluster_size + 512}, {&bottom, 0}}));
    // More units than a value can name.
    top.assign(ClusterIndex{0}, ClusterCount{1}, 0xf0000000U);
    bottom.assign(ClusterIndex{1}, ClusterCount{1}, 0x10000000U);
    EXPECT_FALSE(MergedMap::merge(Levels{{&top, 4096}, {&bottom, 4096}}));
}

}  // namespace
}  // namespace cowtgt
