#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "cow-store/map/cluster_map.h"

namespace cowtgt {

/// The maps of a chain of sealed layers as one, so that looking something up costs the same however
/// long the chain is. A copy: the maps it was made of may go.
///
/// Memory: that of one map of everything that is mapped in any of them.
class MergedMap {
public:
    struct Level {
        const ClusterMap* map = nullptr;
        std::uint64_t overlap_limit = 0;  ///< bytes of what lies below that show through
    };
    struct InLevel {
        std::uint32_t level = 0;  ///< index into `levels`
        UnitNumber unit = 0;      ///< of that layer's file
    };

    /// From the top down. Nothing when they have to be asked one by one: an overlap limit cuts a
    /// cluster in two, or they have more units together than fit into a map's values.
    static std::optional<MergedMap> merge(std::span<const Level> levels);

    /// Of the uppermost level.
    std::uint64_t cluster_count() const { return map_.cluster_count(); }
    /// As ClusterMap::find; units are those of all levels, numbered through. InParent: what lies
    /// below the lowest level.
    Extent find(ClusterIndex first, ClusterCount wanted) const { return map_.find(first, wanted); }
    /// Where a unit that find() named is.
    InLevel locate(UnitNumber unit) const;

    std::size_t memory_bytes() const { return map_.memory_bytes(); }

private:
    explicit MergedMap(std::uint64_t cluster_count) : map_(cluster_count) {}
    void lay_over(const Level& level, UnitNumber first_unit);

    ClusterMap map_;
    std::vector<std::uint64_t> first_units_;  ///< by level: what its unit 0 would be called
};

}  // namespace cowtgt
