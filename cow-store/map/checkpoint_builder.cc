#include "cow-store/map/checkpoint_builder.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include "cow-store/base/check.h"
#include "cow-store/base/checksum.h"

namespace cowtgt {

namespace {

/// Old pages whose leaves are laid out anew together.
constexpr std::size_t streak_pages_max = 64;

std::uint32_t size_of(const Leaf& leaf) {
    return leaf.is_dense() ? 0 : packed_leaf_size(leaf.runs().size());
}

}  // namespace

CheckpointBuilder::CheckpointBuilder(ClusterMap& map, const MapOnDisk& before,
                                     std::uint64_t generation)
    : map_(map), before_(before), generation_(generation) {
    after_.pages.reserve(before.pages.size());
}

CheckpointBuilder::Progress CheckpointBuilder::next(MutableBytes buffer,
                                                    std::span<UnitNumber> units,
                                                    UnitAllocator& allocator) {
    CHECK(!units.empty() && buffer.size() == units.size() * unit_size);
    std::uint32_t count = 0;
    while (count < units.size()) {
        const bool more_pages =
            !pages_done_ && (next_leaf_in_streak() < streak_end_ || begin_streak());
        if (!more_pages && entries_left_ == 0) break;
        const auto unit = allocator.allocate_metadata();
        if (!unit) {
            return count > 0 ? Progress{Step::pages, count} : Progress{Step::needs_units, 0};
        }
        const MutableBytes page = buffer.subspan(count * std::size_t{unit_size}, unit_size);
        ++units_taken_;
        units[count++] = *unit;
        if (more_pages) {
            encode_page(page, *unit);
        } else {
            encode_directory(page, *unit);
        }
    }
    return count > 0 ? Progress{Step::pages, count} : Progress{Step::finished, 0};
}

/// Finds the next old pages with dirty leaves. False: there are no more, and the directory is next.
/// On true there is at least one leaf to encode.
bool CheckpointBuilder::begin_streak() {
    while (true) {
        const auto dirty = map_.next_dirty_leaf(cursor_);
        if (!dirty) break;
        std::size_t end = 0;
        std::uint32_t start_leaf = 0;
        streak_end_ = map_.leaf_count();
        if (!before_.pages.empty()) {
            const std::size_t first = page_of(*dirty);
            keep_pages_before(first);
            start_leaf = first == 0 ? 0 : before_.pages[first].first_leaf;
            end = first + 1;
            for (auto more = map_.next_dirty_leaf(end_of_page(end - 1));
                 more && end < before_.pages.size() && page_of(*more) == end &&
                 end - first < streak_pages_max;
                 more = map_.next_dirty_leaf(end_of_page(end - 1))) {
                ++end;
            }
            streak_end_ = end_of_page(end - 1);
            for (; next_old_page_ < end; ++next_old_page_) {
                replaced_.push_back(before_.pages[next_old_page_].page.unit);
            }
        }
        cursor_ = std::max(cursor_, start_leaf);
        std::uint64_t packed_bytes = 0;
        for (auto leaf = map_.next_used_leaf(cursor_); leaf && *leaf < streak_end_;
             leaf = map_.next_used_leaf(*leaf + 1)) {
            packed_bytes += size_of(*map_.leaf(*leaf));
        }
        const std::uint64_t pages = std::max<std::uint64_t>(
            1, (packed_bytes + packed_page_capacity - 1) / packed_page_capacity);
        fill_target_ = static_cast<std::uint32_t>((packed_bytes + pages - 1) / pages);
        if (next_leaf_in_streak() < streak_end_) return true;
    }
    keep_pages_before(before_.pages.size());
    pages_done_ = true;
    entries_left_ = after_.pages.size();
    replaced_.insert(replaced_.end(), before_.directory_units.begin(),
                     before_.directory_units.end());
    return false;
}

/// Moves the cursor to the next leaf that maps something; empty ones on the way become clean.
std::uint32_t CheckpointBuilder::next_leaf_in_streak() {
    const std::uint32_t used = map_.next_used_leaf(cursor_).value_or(streak_end_);
    const std::uint32_t stop = std::min(used, streak_end_);
    for (auto dirty = map_.next_dirty_leaf(cursor_); dirty && *dirty < stop;
         dirty = map_.next_dirty_leaf(*dirty + 1)) {
        map_.clean_leaf(*dirty);
    }
    cursor_ = stop;
    return cursor_;
}

void CheckpointBuilder::encode_page(MutableBytes page, UnitNumber unit) {
    PageEntry entry{cursor_, PageForm::packed, {unit, 0}};
    map_.clean_leaf(cursor_);
    if (map_.leaf(cursor_)->is_dense()) {
        entry.form = PageForm::dense;
        encode_dense_page(page, map_.leaf(cursor_)->values());
        ++cursor_;
        next_leaf_in_streak();
    } else {
        encode_packed(page, entry);
    }
    entry.page.checksum = xxh3_64(page);
    after_.pages.push_back(entry);
}

void CheckpointBuilder::encode_packed(MutableBytes page, PageEntry& entry) {
    PackedPageWriter writer(page, generation_);
    do {
        map_.clean_leaf(cursor_);
        const Leaf& leaf = *map_.leaf(cursor_);
        if (leaf.is_dense() || writer.used_bytes() + size_of(leaf) > unit_size) break;
        writer.add(cursor_, leaf.runs());
        ++cursor_;
        next_leaf_in_streak();
    } while (cursor_ < streak_end_ && writer.used_bytes() < fill_target_ + sizeof(DiskPackedPage));
    writer.finish();
    CHECK(writer.used_bytes() > sizeof(DiskPackedPage) && entry.first_leaf < cursor_);
}

bool CheckpointBuilder::encode_directory(MutableBytes page, UnitNumber unit) {
    // From the last to the first, since each page names the one after it.
    const std::size_t first =
        (entries_left_ - 1) / entries_per_directory_page * entries_per_directory_page;
    encode_directory_page(
        page, generation_,
        std::span<const PageEntry>(after_.pages).subspan(first, entries_left_ - first),
        after_.directory);
    after_.directory = {unit, xxh3_64(page)};
    after_.directory_units.push_back(unit);
    entries_left_ = first;
    return entries_left_ > 0;
}

void CheckpointBuilder::keep_pages_before(std::size_t page) {
    for (; next_old_page_ < page; ++next_old_page_) {
        after_.pages.push_back(before_.pages[next_old_page_]);
    }
}

std::size_t CheckpointBuilder::page_of(std::uint32_t leaf) const {
    const auto after = std::upper_bound(
        before_.pages.begin(), before_.pages.end(), leaf,
        [](std::uint32_t at, const PageEntry& entry) { return at < entry.first_leaf; });
    const auto index = static_cast<std::size_t>(std::distance(before_.pages.begin(), after));
    return index == 0 ? 0 : index - 1;
}

std::uint32_t CheckpointBuilder::end_of_page(std::size_t page) const {
    return page + 1 < before_.pages.size() ? before_.pages[page + 1].first_leaf : map_.leaf_count();
}

std::uint64_t checkpoint_units_needed(std::uint64_t pages, std::uint64_t dirty_leaves,
                                      std::uint64_t assignments) {
    // A page that is laid out anew may come out as a few half full ones and dense leaves may break
    // the packed pages between them: four pages for each page full of content is an upper bound.
    const std::uint64_t dirty_pages = std::min(pages, dirty_leaves);
    const std::uint64_t growth = assignments * (2 * sizeof(DiskRun) + sizeof(DiskLeaf));
    const std::uint64_t new_pages = 4 * (dirty_pages + growth / packed_page_capacity + 1);
    return new_pages + directory_pages_for(pages + new_pages);
}

}  // namespace cowtgt
