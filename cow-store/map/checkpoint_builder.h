#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "cow-store/base/bytes.h"
#include "cow-store/format/directory_page.h"
#include "cow-store/map/cluster_map.h"
#include "cow-store/map/unit_allocator.h"

namespace cowtgt {

/// Where the map lies on disk.
struct MapOnDisk {
    std::vector<PageEntry> pages;  ///< in the order of their leaves
    PagePointer directory;         ///< the first directory page
    std::vector<UnitNumber> directory_units;
};

/// Encodes the leaves that changed into new pages and then a new directory, a few pages at a time.
/// Nothing that is in use is overwritten: each page goes to a unit of its own.
///
/// The map may change between two steps. What is encoded is then younger than the cut of the
/// checkpoint; that is sound because the caller syncs after the last step, so that all data that
/// any page names is durable before a superblock names the page, and because replaying the records
/// after the cut a second time gives the same map.
class CheckpointBuilder {
public:
    /// `before` and `map` outlive the builder. `generation`: of the superblock that will name it.
    CheckpointBuilder(ClusterMap& map, const MapOnDisk& before, std::uint64_t generation);

    enum class Step {
        pages,        ///< `count` pages are ready to be written
        needs_units,  ///< the allocator has none; call again when it has
        finished,
    };
    struct Progress {
        Step step = Step::finished;
        std::uint32_t count = 0;
    };
    /// Fills pages into `buffer`, one after the other, and their places into `units`.
    /// Requires: buffer.size() == units.size() * unit_size; units is not empty.
    Progress next(MutableBytes buffer, std::span<UnitNumber> units, UnitAllocator& allocator);

    std::uint64_t units_taken() const { return units_taken_; }
    /// Requires: finished. Valid once.
    MapOnDisk take_result() { return std::move(after_); }
    /// Units that nothing refers to once the new superblock is durable.
    const std::vector<UnitNumber>& replaced() const { return replaced_; }

private:
    bool begin_streak();
    void encode_page(MutableBytes page, UnitNumber unit);
    void encode_packed(MutableBytes page, PageEntry& entry);
    bool encode_directory(MutableBytes page, UnitNumber unit);
    void keep_pages_before(std::size_t page);
    std::size_t page_of(std::uint32_t leaf) const;
    std::uint32_t end_of_page(std::size_t page) const;
    std::uint32_t next_leaf_in_streak();

    ClusterMap& map_;
    const MapOnDisk& before_;
    std::uint64_t generation_;
    MapOnDisk after_;
    std::vector<UnitNumber> replaced_;
    std::uint64_t units_taken_ = 0;

    std::size_t next_old_page_ = 0;  ///< not yet kept or replaced
    std::uint32_t cursor_ = 0;       ///< the next leaf to look at
    std::uint32_t streak_end_ = 0;   ///< leaves before it are being encoded
    std::uint32_t fill_target_ = 0;  ///< bytes that a packed page of the streak should have
    bool pages_done_ = false;
    std::size_t entries_left_ = 0;  ///< entries not yet in a directory page, from the front
};

/// Free units that must be left so that the next checkpoint can surely be written.
std::uint64_t checkpoint_units_needed(std::uint64_t pages, std::uint64_t dirty_leaves,
                                      std::uint64_t assignments);

}  // namespace cowtgt
