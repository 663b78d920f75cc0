#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <vector>

#include "cow-store/format/units.h"
#include "cow-store/map/interval_set.h"

namespace cowtgt {

/// Segments that follow each other: 1 MiB of the file each.
struct SegmentRange {
    std::uint32_t first = 0;
    std::uint32_t count = 0;

    std::uint64_t offset() const { return first * segment_size; }
    std::uint64_t length() const { return count * segment_size; }
};

/// Which units of the layer file are in use. Nothing of it is on disk: it follows from the map.
///
/// A segment is a hole (the file has no space for it, or nobody knows), or reserved (the space is
/// there). Units are handed out of reserved segments only. Data and map pages come from different
/// segments as long as there is room, so that data stays in sequence. Of the unused segments those
/// come first that were written before: the file system need not convert their extents.
/// Memory: 4 bytes per segment, and 52 more while it is partly used.
class UnitAllocator {
public:
    /// All of a file of this size is unused; then mark_used() for what is, and start().
    explicit UnitAllocator(std::uint64_t file_bytes);
    /// False when a unit of it is marked already or lies beyond the file.
    bool mark_used(UnitRun run);
    /// The same for what may be marked already (a unit that was reused since the last checkpoint
    /// belongs to two clusters, one in the map on disk and one in the journal). False: beyond the
    /// file.
    bool mark_used_again(UnitRun run);
    void start();

    /// The beginning of a place for `wanted` clusters: units that follow each other, at least one,
    /// at most `wanted`. Nothing when no reserved unit is free.
    std::optional<UnitRun> allocate_data(std::uint32_t wanted);
    std::optional<UnitNumber> allocate_metadata();
    /// Units that follow each other, all of them; more than a segment comes in whole segments of
    /// which nothing is known to be written.
    std::optional<UnitRun> allocate_contiguous(std::uint32_t count);
    /// Requires: all of it is in use, and nothing durable refers to it any more.
    void release(UnitRun run);

    /// The space to reserve next, at most `most` segments: holes first, then the end of the file.
    SegmentRange next_reservation(std::uint32_t most) const;
    /// The file has this space now.
    void add_reserved(SegmentRange range);

    /// Takes an unused segment that may never have been written out of service, so that it can be
    /// filled with zeros; it is in no other state until zeroed() or zeroing_failed().
    std::optional<SegmentRange> begin_zeroing();
    void zeroed(SegmentRange range);
    void zeroing_failed(SegmentRange range);

    /// Takes unused segments out of service so that their space can be given back; they are in no
    /// other state until punched() or punch_failed(). The last ones of the file come first.
    std::optional<SegmentRange> begin_punch(std::uint32_t most);
    void punched(SegmentRange range) { holes_.insert(range.first, range.count); }
    void punch_failed(SegmentRange range);

    std::uint64_t free_units() const { return free_units_; }  ///< reserved and unused
    std::uint64_t used_units() const { return used_units_; }
    /// Reserved, wholly unused; and of these, known to be written.
    std::uint64_t empty_segments() const { return empty_.size() + written_.size(); }
    std::uint64_t written_segments() const { return written_.size(); }

private:
    static constexpr std::uint32_t none = 0xffffffffU;
    static constexpr std::uint32_t empty_segment = 0;  ///< in a set, being zeroed or punched
    static constexpr std::uint32_t full_segment = 1;
    static constexpr std::uint32_t first_partial = 2;  ///< then the index into partials_
    static constexpr std::size_t class_count = 8;

    /// The bitmap of a partly used segment; a member of the list of its class unless a cursor
    /// works on it.
    struct Partial {
        std::array<std::uint64_t, 4> used{};
        std::uint32_t segment = 0;
        std::uint32_t next = none, previous = none;
        bool listed = false;
        bool written = false;  ///< all of it, at some time
    };
    struct Cursor {
        std::uint32_t partial = none;
        std::uint32_t position = 0;  ///< units into the segment
    };

    static std::uint32_t free_in(const Partial& partial);
    static std::size_t class_of(const Partial& partial);
    std::uint32_t make_partial(std::uint32_t segment);
    void drop_partial(std::uint32_t index, std::uint32_t becomes);
    void list(std::uint32_t index);
    void unlist(std::uint32_t index);
    bool is_cursor(std::uint32_t index) const;
    void leave(Cursor& cursor);
    std::optional<std::uint32_t> best_empty() const;
    bool is_empty(std::uint32_t segment) const;
    void add_empty(const Partial& partial);
    bool enter_empty(Cursor& cursor, std::uint32_t segment);
    bool enter_partial(Cursor& cursor, std::uint32_t free_min);
    bool refill_data(std::uint32_t wanted);
    bool refill_metadata();
    std::optional<UnitRun> take(Cursor& cursor, std::uint32_t wanted, std::uint32_t least);
    void release_in_segment(std::uint32_t segment, std::uint32_t from, std::uint32_t count);

    std::vector<std::uint32_t> segments_;
    std::vector<Partial> partials_;
    std::vector<std::uint32_t> spare_partials_;
    std::array<std::uint32_t, class_count> classes_{};  ///< heads of the lists
    IntervalSet empty_;    ///< reserved and unused; nobody knows whether written
    IntervalSet written_;  ///< reserved and unused, but written
    IntervalSet holes_;
    std::uint64_t file_bytes_ = 0;
    std::uint32_t cut_segment_ = none;  ///< the last one, when the file ends inside it
    Cursor data_, metadata_;
    std::uint64_t free_units_ = 0;
    std::uint64_t used_units_ = 0;
};

}  // namespace cowtgt
