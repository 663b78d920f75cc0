#pragma once

#include <cstdint>
#include <utility>

#include "cow-store/format/superblock.h"
#include "cow-store/map/checkpoint_builder.h"
#include "cow-store/map/cluster_map.h"
#include "cow-store/map/unit_allocator.h"

namespace cowtgt {

/// Whether a unit may be claimed twice. Two maps have most of their units in common.
enum class Claims { exclusive, shared };

/// Finds out which units of a layer file are in use, and whether two things claim the same.
class SpaceCounter {
public:
    SpaceCounter(std::uint64_t file_bytes, Claims claims)
        : allocator_(file_bytes), claims_(claims) {}

    void claim(UnitRun run) {
        sound_ = sound_ && (claims_ == Claims::exclusive ? allocator_.mark_used(run)
                                                         : allocator_.mark_used_again(run));
    }
    void claim(const Leaf& leaf) {
        for (std::uint32_t at = 0; at < clusters_per_leaf;) {
            const Leaf::Piece piece = leaf.find(at, clusters_per_leaf - at);
            if (is_data(piece.value)) claim({piece.value, piece.count});
            at += piece.count;
        }
    }
    void claim_all(const Superblock& superblock, const MapOnDisk& on_disk, const ClusterMap& map) {
        claim({0, superblock_units});
        const RingOrigin& ring = superblock.ring;
        if (ring.unit != 0) claim({ring.unit, ring.units});
        for (const UnitNumber unit : on_disk.directory_units) {
            claim({unit, 1});
        }
        for (const PageEntry& entry : on_disk.pages) {
            claim({entry.page.unit, 1});
        }
        for (auto leaf = map.next_used_leaf(0); leaf && sound_;
             leaf = map.next_used_leaf(*leaf + 1)) {
            claim(*map.leaf(*leaf));
        }
    }
    bool sound() const { return sound_; }
    UnitAllocator take() { return std::move(allocator_); }

private:
    UnitAllocator allocator_;
    Claims claims_;
    bool sound_ = true;
};

}  // namespace cowtgt
