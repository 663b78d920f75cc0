#pragma once

#include <cstdint>
#include <map>
#include <optional>

namespace cowtgt {

/// Numbers kept as intervals: [first, first + count).
class IntervalSet {
public:
    struct Interval {
        std::uint32_t first = 0;
        std::uint32_t count = 0;
    };

    /// Requires: nothing of it is in the set.
    void insert(std::uint32_t first, std::uint32_t count);
    /// Requires: all of it is in the set.
    void erase(std::uint32_t first, std::uint32_t count);
    bool contains(std::uint32_t number) const;
    /// The lowest interval of at least `count` numbers, cut to `count`.
    std::optional<Interval> lowest(std::uint32_t count) const;
    /// The lowest interval, cut to `most`.
    std::optional<Interval> lowest_up_to(std::uint32_t most) const;
    std::optional<Interval> highest_up_to(std::uint32_t most) const;
    std::uint64_t size() const { return size_; }

private:
    std::map<std::uint32_t, std::uint32_t> intervals_;  ///< first -> count
    std::uint64_t size_ = 0;
};

}  // namespace cowtgt
