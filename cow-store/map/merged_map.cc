#include "cow-store/map/merged_map.h"

#include <algorithm>
#include <iterator>
#include <limits>

#include "cow-store/base/check.h"

namespace cowtgt {

namespace {

/// Calls `use(first cluster, clusters, value)` for what the map does not inherit, in order.
template <typename Use>
void for_each_run(const ClusterMap& map, Use use) {
    for (auto index = map.next_used_leaf(0); index; index = map.next_used_leaf(*index + 1)) {
        const std::uint64_t begin = std::uint64_t{*index} * clusters_per_leaf;
        const Leaf& leaf = *map.leaf(*index);
        for (std::uint32_t at = 0; at < clusters_per_leaf;) {
            const Leaf::Piece piece = leaf.find(at, clusters_per_leaf - at);
            if (piece.value != value_inherit) use(begin + at, piece.count, piece.value);
            at += piece.count;
        }
    }
}

/// One more than the highest unit that the map names.
std::uint64_t end_of_units(const ClusterMap& map) {
    std::uint64_t end = 0;
    for_each_run(map, [&end](std::uint64_t, std::uint32_t count, MapValue value) {
        if (is_data(value)) end = std::max(end, std::uint64_t{value} + count);
    });
    return end;
}

}  // namespace

std::optional<MergedMap> MergedMap::merge(std::span<const Level> levels) {
    CHECK(!levels.empty());
    const std::uint64_t clusters = levels.front().map->cluster_count();
    MergedMap merged(clusters);
    std::uint64_t units = 0;
    for (const Level& level : levels) {
        if (level.overlap_limit % cluster_size != 0 &&
            level.overlap_limit < clusters * cluster_size) {
            return std::nullopt;
        }
        merged.first_units_.push_back(units);
        units += end_of_units(*level.map);
    }
    if (units > std::numeric_limits<UnitNumber>::max()) return std::nullopt;
    for (std::size_t i = levels.size(); i-- > 0;) {
        merged.lay_over(levels[i], static_cast<UnitNumber>(merged.first_units_[i]));
    }
    for (auto leaf = merged.map_.next_used_leaf(0); leaf;
         leaf = merged.map_.next_used_leaf(*leaf + 1)) {
        merged.map_.clean_leaf(*leaf);
    }
    return merged;
}

/// Puts the level over what those below it gave.
void MergedMap::lay_over(const Level& level, UnitNumber first_unit) {
    const std::uint64_t clusters = map_.cluster_count();
    const std::uint64_t visible =
        std::min({level.overlap_limit / cluster_size, level.map->cluster_count(), clusters});
    if (visible < clusters) {
        map_.assign(ClusterIndex{visible}, ClusterCount{clusters - visible}, value_zero);
    }
    for_each_run(*level.map, [&](std::uint64_t first, std::uint32_t count, MapValue value) {
        if (first >= clusters) return;
        const std::uint64_t kept = std::min<std::uint64_t>(count, clusters - first);
        map_.assign(ClusterIndex{first}, ClusterCount{kept},
                    is_data(value) ? value + first_unit : value);
    });
}

MergedMap::InLevel MergedMap::locate(UnitNumber unit) const {
    const auto after = std::upper_bound(first_units_.begin(), first_units_.end(), unit);
    const auto level = static_cast<std::size_t>(std::distance(first_units_.begin(), after)) - 1;
    return {static_cast<std::uint32_t>(level), static_cast<UnitNumber>(unit - first_units_[level])};
}

}  // namespace cowtgt
