#include "cow-store/map/interval_set.h"

#include <algorithm>
#include <iterator>

#include "cow-store/base/check.h"

namespace cowtgt {

void IntervalSet::insert(std::uint32_t first, std::uint32_t count) {
    CHECK(count > 0);
    size_ += count;
    auto after = intervals_.upper_bound(first);
    if (after != intervals_.begin()) {
        const auto before = std::prev(after);
        CHECK(before->first + before->second <= first);
        if (before->first + before->second == first) {
            first = before->first;
            count += before->second;
            intervals_.erase(before);
        }
    }
    if (after != intervals_.end()) {
        CHECK(first + count <= after->first);
        if (first + count == after->first) {
            count += after->second;
            intervals_.erase(after);
        }
    }
    intervals_.emplace(first, count);
}

void IntervalSet::erase(std::uint32_t first, std::uint32_t count) {
    auto at = intervals_.upper_bound(first);
    CHECK(count > 0 && at != intervals_.begin());
    at = std::prev(at);
    const std::uint32_t begin = at->first;
    const std::uint32_t end = begin + at->second;
    CHECK(first >= begin && first + count <= end);
    intervals_.erase(at);
    if (begin < first) intervals_.emplace(begin, first - begin);
    if (first + count < end) intervals_.emplace(first + count, end - first - count);
    size_ -= count;
}

bool IntervalSet::contains(std::uint32_t number) const {
    const auto after = intervals_.upper_bound(number);
    if (after == intervals_.begin()) return false;
    const auto at = std::prev(after);
    return number < at->first + at->second;
}

std::optional<IntervalSet::Interval> IntervalSet::lowest(std::uint32_t count) const {
    for (const auto& [first, length] : intervals_) {
        if (length >= count) return Interval{first, count};
    }
    return std::nullopt;
}

std::optional<IntervalSet::Interval> IntervalSet::lowest_up_to(std::uint32_t most) const {
    if (intervals_.empty()) return std::nullopt;
    const auto& [first, length] = *intervals_.begin();
    return Interval{first, std::min(length, most)};
}

std::optional<IntervalSet::Interval> IntervalSet::highest_up_to(std::uint32_t most) const {
    if (intervals_.empty()) return std::nullopt;
    const auto& [first, length] = *intervals_.rbegin();
    const std::uint32_t count = std::min(length, most);
    return Interval{first + length - count, count};
}

}  // namespace cowtgt
