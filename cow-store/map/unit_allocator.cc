#include "cow-store/map/unit_allocator.h"

#include <algorithm>
#include <bit>

#include "cow-store/base/check.h"

namespace cowtgt {

namespace {

using Bitmap = std::array<std::uint64_t, 4>;

bool is_used(const Bitmap& used, std::uint64_t unit) {
    return (used[unit / 64] >> (unit % 64) & 1) != 0;
}
void set_used(Bitmap& used, std::uint32_t unit) {
    used[unit / 64] |= std::uint64_t{1} << unit % 64;
}
void set_unused(Bitmap& used, std::uint32_t unit) {
    used[unit / 64] &= ~(std::uint64_t{1} << unit % 64);
}

/// The first unused unit from `from` on; units_per_segment when there is none.
std::uint32_t next_unused(const Bitmap& used, std::uint32_t from) {
    while (from < units_per_segment) {
        const std::uint64_t unused = ~used[from / 64] >> from % 64;
        if (unused != 0) return from + static_cast<std::uint32_t>(std::countr_zero(unused));
        from = (from / 64 + 1) * 64;
    }
    return units_per_segment;
}

std::uint32_t unused_run(const Bitmap& used, std::uint32_t from, std::uint32_t most) {
    std::uint32_t count = 0;
    while (count < most && from + count < units_per_segment && !is_used(used, from + count)) {
        ++count;
    }
    return count;
}

/// Requests from this size on rather begin a fresh segment than fill a gap.
constexpr std::uint32_t large_request = 16;
/// Gaps smaller than this in a segment are used when there is no other space.
constexpr std::uint32_t small_gap = 32;

}  // namespace

UnitAllocator::UnitAllocator(std::uint64_t file_bytes)
    : segments_((file_bytes + segment_size - 1) / segment_size, empty_segment),
      file_bytes_(file_bytes) {
    classes_.fill(none);
}

bool UnitAllocator::mark_used(UnitRun run) {
    if (byte_offset(run.first) + std::uint64_t{run.count} * unit_size > file_bytes_) return false;
    for (std::uint32_t i = 0; i < run.count; ++i) {
        const UnitNumber unit = run.first + i;
        const std::uint32_t segment = unit / units_per_segment;
        if (segments_[segment] == full_segment) return false;
        if (segments_[segment] == empty_segment) make_partial(segment);
        const std::uint32_t index = segments_[segment] - first_partial;
        Partial& partial = partials_[index];
        if (is_used(partial.used, unit % units_per_segment)) return false;
        set_used(partial.used, unit % units_per_segment);
        if (free_in(partial) == 0) drop_partial(index, full_segment);
    }
    used_units_ += run.count;
    return true;
}

bool UnitAllocator::mark_used_again(UnitRun run) {
    for (std::uint32_t i = 0; i < run.count; ++i) {
        const std::uint64_t unit = std::uint64_t{run.first} + i;
        if ((unit + 1) * unit_size > file_bytes_) return false;
        const std::uint32_t state = segments_[unit / units_per_segment];
        const bool marked = state == full_segment || (state >= first_partial &&
                                                      is_used(partials_[state - first_partial].used,
                                                              unit % units_per_segment));
        if (!marked) mark_used({static_cast<UnitNumber>(unit), 1});
    }
    return true;
}

void UnitAllocator::start() {
    for (std::uint32_t segment = 0; segment < segments_.size(); ++segment) {
        const std::uint32_t state = segments_[segment];
        const bool cut = (segment + std::uint64_t{1}) * segment_size > file_bytes_;
        if (state == empty_segment) {
            holes_.insert(segment, 1);
        } else if (state >= first_partial && cut) {
            cut_segment_ = segment;
        } else if (state >= first_partial) {
            list(state - first_partial);
            free_units_ += free_in(partials_[state - first_partial]);
        }
    }
}

std::optional<UnitRun> UnitAllocator::allocate_data(std::uint32_t wanted) {
    CHECK(wanted > 0);
    const std::uint32_t good = std::min(wanted, large_request);
    if (data_.partial != none) {
        if (auto run = take(data_, wanted, good)) return run;
    }
    if (refill_data(wanted)) return take(data_, wanted, 1);
    if (data_.partial != none) {
        if (auto run = take(data_, wanted, 1)) return run;
    }
    if (metadata_.partial != none) return take(metadata_, wanted, 1);
    return std::nullopt;
}

std::optional<UnitNumber> UnitAllocator::allocate_metadata() {
    if (metadata_.partial == none && !refill_metadata()) {
        if (data_.partial == none) return std::nullopt;
        const auto run = take(data_, 1, 1);
        return run ? std::optional(run->first) : std::nullopt;
    }
    const auto run = take(metadata_, 1, 1);
    CHECK(run);
    return run->first;
}

std::optional<UnitRun> UnitAllocator::allocate_contiguous(std::uint32_t count) {
    if (count >= units_per_segment) {
        CHECK(count % units_per_segment == 0);
        const std::uint32_t needed = count / units_per_segment;
        const auto found = empty_.lowest(needed);
        if (!found) return std::nullopt;
        empty_.erase(found->first, needed);
        for (std::uint32_t i = 0; i < needed; ++i) {
            segments_[found->first + i] = full_segment;
        }
        free_units_ -= count;
        used_units_ += count;
        return UnitRun{found->first * units_per_segment, count};
    }
    if (metadata_.partial != none || refill_metadata()) {
        if (auto run = take(metadata_, count, count)) return run;
    }
    leave(metadata_);
    const auto found = best_empty();
    if (!found || !enter_empty(metadata_, *found)) return std::nullopt;
    return take(metadata_, count, count);
}

void UnitAllocator::release(UnitRun run) {
    while (run.count > 0) {
        const std::uint32_t from = run.first % units_per_segment;
        const std::uint32_t part = std::min(run.count, units_per_segment - from);
        release_in_segment(run.first / units_per_segment, from, part);
        run.first += part;
        run.count -= part;
    }
}

SegmentRange UnitAllocator::next_reservation(std::uint32_t most) const {
    if (cut_segment_ != none) return {cut_segment_, 1};
    if (const auto hole = holes_.lowest_up_to(most)) return {hole->first, hole->count};
    return {static_cast<std::uint32_t>(segments_.size()), most};
}

void UnitAllocator::add_reserved(SegmentRange range) {
    if (range.first == cut_segment_) {
        const std::uint32_t index = segments_[cut_segment_] - first_partial;
        free_units_ += free_in(partials_[index]);
        list(index);
        cut_segment_ = none;
        file_bytes_ = range.offset() + range.length();
        return;
    }
    for (std::uint32_t i = 0; i < range.count; ++i) {
        if (range.first + i == segments_.size()) {
            segments_.push_back(empty_segment);
        } else {
            holes_.erase(range.first + i, 1);
        }
    }
    file_bytes_ = std::max(file_bytes_, range.offset() + range.length());
    empty_.insert(range.first, range.count);
    free_units_ += std::uint64_t{range.count} * units_per_segment;
}

std::optional<SegmentRange> UnitAllocator::begin_zeroing() {
    const auto first = empty_.lowest(1);
    if (!first) return std::nullopt;
    empty_.erase(first->first, 1);
    free_units_ -= units_per_segment;
    return SegmentRange{first->first, 1};
}

void UnitAllocator::zeroed(SegmentRange range) {
    written_.insert(range.first, range.count);
    free_units_ += std::uint64_t{range.count} * units_per_segment;
}

void UnitAllocator::zeroing_failed(SegmentRange range) {
    empty_.insert(range.first, range.count);
    free_units_ += std::uint64_t{range.count} * units_per_segment;
}

std::optional<SegmentRange> UnitAllocator::begin_punch(std::uint32_t most) {
    IntervalSet& from = empty_.size() > 0 ? empty_ : written_;
    const auto last = from.highest_up_to(most);
    if (!last) return std::nullopt;
    from.erase(last->first, last->count);
    free_units_ -= std::uint64_t{last->count} * units_per_segment;
    return SegmentRange{last->first, last->count};
}

void UnitAllocator::punch_failed(SegmentRange range) {
    empty_.insert(range.first, range.count);
    free_units_ += std::uint64_t{range.count} * units_per_segment;
}

std::uint32_t UnitAllocator::free_in(const Partial& partial) {
    int used = 0;
    for (const std::uint64_t word : partial.used) {
        used += std::popcount(word);
    }
    return units_per_segment - static_cast<std::uint32_t>(used);
}

std::size_t UnitAllocator::class_of(const Partial& partial) {
    const std::uint32_t unused = std::max(free_in(partial), 1U);
    return std::min<std::size_t>(static_cast<std::size_t>(std::bit_width(unused)) - 1,
                                 class_count - 1);
}

std::uint32_t UnitAllocator::make_partial(std::uint32_t segment) {
    std::uint32_t index = 0;
    if (spare_partials_.empty()) {
        index = static_cast<std::uint32_t>(partials_.size());
        partials_.emplace_back();
    } else {
        index = spare_partials_.back();
        spare_partials_.pop_back();
        partials_[index] = Partial{};
    }
    partials_[index].segment = segment;
    segments_[segment] = first_partial + index;
    return index;
}

void UnitAllocator::drop_partial(std::uint32_t index, std::uint32_t becomes) {
    segments_[partials_[index].segment] = becomes;
    spare_partials_.push_back(index);
}

void UnitAllocator::list(std::uint32_t index) {
    Partial& partial = partials_[index];
    CHECK(!partial.listed);
    std::uint32_t& head = classes_[class_of(partial)];
    partial.next = head;
    partial.previous = none;
    if (head != none) partials_[head].previous = index;
    head = index;
    partial.listed = true;
}

/// Requires: called before the bitmap changes, so that the class is still that of the list.
void UnitAllocator::unlist(std::uint32_t index) {
    Partial& partial = partials_[index];
    CHECK(partial.listed);
    if (partial.previous != none) {
        partials_[partial.previous].next = partial.next;
    } else {
        classes_[class_of(partial)] = partial.next;
    }
    if (partial.next != none) partials_[partial.next].previous = partial.previous;
    partial.listed = false;
}

bool UnitAllocator::is_cursor(std::uint32_t index) const {
    return index == data_.partial || index == metadata_.partial;
}

/// Puts the cursor's segment back among the others.
void UnitAllocator::leave(Cursor& cursor) {
    if (cursor.partial == none) return;
    const std::uint32_t index = cursor.partial;
    cursor = {};
    if (free_in(partials_[index]) == units_per_segment) {
        add_empty(partials_[index]);
        drop_partial(index, empty_segment);
    } else {
        list(index);
    }
}

std::optional<std::uint32_t> UnitAllocator::best_empty() const {
    const IntervalSet& from = written_.size() > 0 ? written_ : empty_;
    const auto found = from.lowest(1);
    return found ? std::optional(found->first) : std::nullopt;
}

bool UnitAllocator::is_empty(std::uint32_t segment) const {
    return empty_.contains(segment) || written_.contains(segment);
}

void UnitAllocator::add_empty(const Partial& partial) {
    (partial.written ? written_ : empty_).insert(partial.segment, 1);
}

bool UnitAllocator::enter_empty(Cursor& cursor, std::uint32_t segment) {
    CHECK(cursor.partial == none);
    const bool written = written_.contains(segment);
    (written ? written_ : empty_).erase(segment, 1);
    cursor = {make_partial(segment), 0};
    partials_[cursor.partial].written = written;
    return true;
}

bool UnitAllocator::enter_partial(Cursor& cursor, std::uint32_t free_min) {
    CHECK(cursor.partial == none);
    for (std::size_t each = class_count; each-- > 0;) {
        if ((std::uint32_t{1} << each) < free_min) return false;
        if (classes_[each] == none) continue;
        cursor = {classes_[each], 0};
        unlist(cursor.partial);
        return true;
    }
    return false;
}

/// Moves the data cursor to where `wanted` units fit better. False: there is nothing else.
bool UnitAllocator::refill_data(std::uint32_t wanted) {
    const std::uint32_t after = data_.partial == none ? none : partials_[data_.partial].segment + 1;
    if (wanted >= large_request && empty_segments() > 0) {
        leave(data_);
        const bool next_is_empty = after != none && is_empty(after);
        return enter_empty(data_, next_is_empty ? after : *best_empty());
    }
    if (data_.partial != none) return false;
    if (enter_partial(data_, small_gap)) return true;
    if (const auto found = best_empty()) return enter_empty(data_, *found);
    return enter_partial(data_, 1);
}

bool UnitAllocator::refill_metadata() {
    CHECK(metadata_.partial == none);
    if (!segments_.empty() && segments_[0] >= first_partial &&
        partials_[segments_[0] - first_partial].listed) {
        metadata_ = {segments_[0] - first_partial, 0};
        unlist(metadata_.partial);
        return true;
    }
    if (enter_partial(metadata_, small_gap)) return true;
    if (const auto found = best_empty()) return enter_empty(metadata_, *found);
    return enter_partial(metadata_, 1);
}

/// Takes the next free run at the cursor: at least `least` and at most `wanted` units. A cursor
/// whose segment has become full stands nowhere afterwards.
std::optional<UnitRun> UnitAllocator::take(Cursor& cursor, std::uint32_t wanted,
                                           std::uint32_t least) {
    Partial& partial = partials_[cursor.partial];
    std::uint32_t at = next_unused(partial.used, cursor.position);
    std::uint32_t count = at < units_per_segment ? unused_run(partial.used, at, wanted) : 0;
    for (at = count >= least ? at : 0; count < least; at += std::max(count, 1U)) {
        at = next_unused(partial.used, at);
        if (at >= units_per_segment) return std::nullopt;
        count = unused_run(partial.used, at, wanted);
        if (count >= least) break;
    }
    for (std::uint32_t i = 0; i < count; ++i) {
        set_used(partial.used, at + i);
    }
    cursor.position = at + count;
    free_units_ -= count;
    used_units_ += count;
    const UnitRun run{partial.segment * units_per_segment + at, count};
    if (free_in(partial) == 0) {
        drop_partial(cursor.partial, full_segment);
        cursor = {};
    }
    return run;
}

void UnitAllocator::release_in_segment(std::uint32_t segment, std::uint32_t from,
                                       std::uint32_t count) {
    std::uint32_t index = 0;
    if (segments_[segment] == full_segment) {
        index = make_partial(segment);
        partials_[index].used.fill(~std::uint64_t{0});
        partials_[index].written = true;
    } else {
        CHECK(segments_[segment] >= first_partial);
        index = segments_[segment] - first_partial;
        if (partials_[index].listed) unlist(index);
    }
    Partial& partial = partials_[index];
    for (std::uint32_t i = 0; i < count; ++i) {
        CHECK(is_used(partial.used, from + i));
        set_unused(partial.used, from + i);
    }
    used_units_ -= count;
    if (segment == cut_segment_) return;  // counted when the rest of it is reserved
    free_units_ += count;
    if (is_cursor(index)) return;
    if (free_in(partial) == units_per_segment) {
        add_empty(partial);
        drop_partial(index, empty_segment);
    } else {
        list(index);
    }
}

}  // namespace cowtgt
