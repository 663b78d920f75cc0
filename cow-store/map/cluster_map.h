#pragma once

#include <bitset>
#include <cstdint>
#include <memory>
#include <optional>
#include <variant>
#include <vector>

#include "cow-store/base/units.h"
#include "cow-store/format/units.h"
#include "cow-store/map/leaf.h"

namespace cowtgt {

struct InLayer {
    UnitNumber unit = 0;  ///< of the first cluster; the others follow it in the file
};
struct InParent {};  ///< ask what lies below, at the same address
struct ReadsAsZero {};

/// Clusters that lie in one place.
struct Extent {
    ClusterCount count;  ///< never 0
    std::variant<InParent, ReadsAsZero, InLayer> place;
};

/// Where each cluster of a layer is. No I/O, no lock.
///
/// Memory: 8 bytes per GiB when nothing is mapped, about 32 bytes per 4 MiB written in sequence,
/// about 4 KiB per 4 MiB written at random.
class ClusterMap {
public:
    explicit ClusterMap(std::uint64_t cluster_count);

    std::uint64_t cluster_count() const { return cluster_count_; }
    std::uint32_t leaf_count() const;

    /// The longest run from `first`, at most `wanted`, that lies in one place.
    /// Requires: wanted > 0 and the range lies inside the map.
    Extent find(ClusterIndex first, ClusterCount wanted) const;
    /// Maps `count` clusters to units that follow each other (data), or to zero or inherit.
    void assign(ClusterIndex first, ClusterCount count, MapValue value);

    /// Null: everything in it is inherited.
    const Leaf* leaf(std::uint32_t index) const;
    void set_leaf(std::uint32_t index, Leaf leaf);
    /// The first leaf from `from` on that maps something.
    std::optional<std::uint32_t> next_used_leaf(std::uint32_t from) const;

    /// A leaf is dirty when it was assigned to since it was last told to be clean.
    std::optional<std::uint32_t> next_dirty_leaf(std::uint32_t from) const;
    /// For whoever has just encoded it: compacts the leaf and forgets that it changed.
    void clean_leaf(std::uint32_t index);
    void mark_dirty(std::uint32_t index);

    std::uint32_t dirty_leaf_count() const { return dirty_count_; }
    /// How many parts of leaves were ever assigned to: each adds at most two runs to its leaf.
    std::uint64_t assignments() const { return assignments_; }

    std::size_t memory_bytes() const;

private:
    static constexpr std::uint32_t leaves_per_branch = 256;  ///< 1 GiB of guest
    struct Branch {
        std::vector<Leaf> leaves = std::vector<Leaf>(leaves_per_branch);
        std::bitset<leaves_per_branch> dirty;
    };

    Branch& branch_for(std::uint32_t leaf);
    void set_dirty(Branch& branch, std::uint32_t leaf);

    std::uint64_t cluster_count_;
    std::vector<std::unique_ptr<Branch>> branches_;
    std::uint32_t dirty_count_ = 0;
    std::uint64_t assignments_ = 0;
};

}  // namespace cowtgt
