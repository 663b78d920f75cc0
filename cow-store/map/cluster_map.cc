#include "cow-store/map/cluster_map.h"

#include <algorithm>
#include <utility>

#include "cow-store/base/check.h"

namespace cowtgt {

namespace {

Extent make_extent(std::uint64_t count, MapValue value) {
    Extent extent{ClusterCount{count}, InParent{}};
    if (is_data(value)) {
        extent.place = InLayer{value};
    } else if (value == value_zero) {
        extent.place = ReadsAsZero{};
    }
    return extent;
}

}  // namespace

ClusterMap::ClusterMap(std::uint64_t cluster_count)
    : cluster_count_(cluster_count),
      branches_((leaf_count() + leaves_per_branch - 1) / leaves_per_branch) {}

std::uint32_t ClusterMap::leaf_count() const {
    return static_cast<std::uint32_t>((cluster_count_ + clusters_per_leaf - 1) / clusters_per_leaf);
}

Extent ClusterMap::find(ClusterIndex first, ClusterCount wanted) const {
    CHECK(wanted.value > 0 && wanted.value <= cluster_count_ &&
          first.value <= cluster_count_ - wanted.value);
    std::uint64_t count = 0;
    MapValue value = value_inherit;
    while (count < wanted.value) {
        const std::uint64_t at = first.value + count;
        const auto in_leaf = static_cast<std::uint32_t>(at % clusters_per_leaf);
        const auto most = static_cast<std::uint32_t>(
            std::min<std::uint64_t>(wanted.value - count, clusters_per_leaf - in_leaf));
        const Leaf* found = leaf(static_cast<std::uint32_t>(at / clusters_per_leaf));
        const Leaf::Piece piece =
            found == nullptr ? Leaf::Piece{most, value_inherit} : found->find(in_leaf, most);
        if (count == 0) {
            value = piece.value;
        } else if (is_data(value) ? value + count != piece.value : value != piece.value) {
            break;
        }
        count += piece.count;
        if (piece.count < most) break;
    }
    return make_extent(count, value);
}

void ClusterMap::assign(ClusterIndex first, ClusterCount count, MapValue value) {
    CHECK(count.value > 0 && count.value <= cluster_count_ &&
          first.value <= cluster_count_ - count.value);
    std::uint64_t done = 0;
    while (done < count.value) {
        const std::uint64_t at = first.value + done;
        const auto index = static_cast<std::uint32_t>(at / clusters_per_leaf);
        const auto in_leaf = static_cast<std::uint32_t>(at % clusters_per_leaf);
        const auto part = static_cast<std::uint32_t>(
            std::min<std::uint64_t>(count.value - done, clusters_per_leaf - in_leaf));
        Branch& branch = branch_for(index);
        branch.leaves[index % leaves_per_branch].assign(
            in_leaf, part, value_after(value, static_cast<std::uint32_t>(done)));
        set_dirty(branch, index);
        ++assignments_;
        done += part;
    }
}

const Leaf* ClusterMap::leaf(std::uint32_t index) const {
    const auto& branch = branches_[index / leaves_per_branch];
    if (!branch) return nullptr;
    const Leaf& found = branch->leaves[index % leaves_per_branch];
    return found.is_empty() ? nullptr : &found;
}

void ClusterMap::set_leaf(std::uint32_t index, Leaf leaf) {
    CHECK(index < leaf_count());
    branch_for(index).leaves[index % leaves_per_branch] = std::move(leaf);
}

std::optional<std::uint32_t> ClusterMap::next_used_leaf(std::uint32_t from) const {
    for (std::uint32_t index = from; index < leaf_count();) {
        if (!branches_[index / leaves_per_branch]) {
            index = (index / leaves_per_branch + 1) * leaves_per_branch;
            continue;
        }
        if (leaf(index) != nullptr) return index;
        ++index;
    }
    return std::nullopt;
}

std::optional<std::uint32_t> ClusterMap::next_dirty_leaf(std::uint32_t from) const {
    for (std::uint32_t index = from; index < leaf_count();) {
        const auto& branch = branches_[index / leaves_per_branch];
        if (!branch || branch->dirty.none()) {
            index = (index / leaves_per_branch + 1) * leaves_per_branch;
            continue;
        }
        if (branch->dirty.test(index % leaves_per_branch)) return index;
        ++index;
    }
    return std::nullopt;
}

void ClusterMap::clean_leaf(std::uint32_t index) {
    const auto& branch = branches_[index / leaves_per_branch];
    if (!branch) return;
    branch->leaves[index % leaves_per_branch].compact();
    if (branch->dirty.test(index % leaves_per_branch)) --dirty_count_;
    branch->dirty.reset(index % leaves_per_branch);
}

void ClusterMap::mark_dirty(std::uint32_t index) {
    set_dirty(branch_for(index), index);
}

void ClusterMap::set_dirty(Branch& branch, std::uint32_t leaf) {
    if (!branch.dirty.test(leaf % leaves_per_branch)) ++dirty_count_;
    branch.dirty.set(leaf % leaves_per_branch);
}

std::size_t ClusterMap::memory_bytes() const {
    std::size_t bytes = branches_.capacity() * sizeof(branches_[0]);
    for (const auto& branch : branches_) {
        if (!branch) continue;
        bytes += sizeof(Branch) + leaves_per_branch * sizeof(Leaf);
        for (const Leaf& each : branch->leaves) {
            bytes += each.heap_bytes();
        }
    }
    return bytes;
}

ClusterMap::Branch& ClusterMap::branch_for(std::uint32_t leaf) {
    auto& branch = branches_[leaf / leaves_per_branch];
    if (!branch) branch = std::make_unique<Branch>();
    return *branch;
}

}  // namespace cowtgt
