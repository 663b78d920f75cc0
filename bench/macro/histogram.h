#pragma once

#include <array>
#include <bit>
#include <cstdint>

namespace cowtgt::bench {

/// Latencies in buckets whose width is at most 1/32 of their value; adding costs a few
/// instructions and no memory.
class Histogram {
public:
    void add(std::uint64_t ns) {
        ++buckets_[index_of(ns)];
        ++count_;
    }
    void add(const Histogram& other) {
        for (std::size_t i = 0; i < buckets_.size(); ++i) {
            buckets_[i] += other.buckets_[i];
        }
        count_ += other.count_;
    }
    void clear() { *this = {}; }
    std::uint64_t count() const { return count_; }

    /// The lowest value that at least `part` (0 to 1) of all do not exceed, in ns; 0 when empty.
    std::uint64_t quantile(double part) const {
        const auto wanted = static_cast<std::uint64_t>(part * static_cast<double>(count_));
        std::uint64_t seen = 0;
        for (std::size_t i = 0; i < buckets_.size(); ++i) {
            seen += buckets_[i];
            if (seen > wanted || (seen == count_ && seen != 0)) return value_of(i);
        }
        return 0;
    }

private:
    static constexpr unsigned fine_bits = 5;
    static constexpr std::uint64_t fine = 1U << fine_bits;

    static std::size_t index_of(std::uint64_t ns) {
        if (ns < fine) return ns;
        const auto shift = static_cast<unsigned>(std::bit_width(ns)) - fine_bits - 1;
        return (shift + 1) * fine + (ns >> shift) - fine;
    }
    static std::uint64_t value_of(std::size_t index) {
        if (index < fine) return index;
        const std::size_t shift = index / fine - 1;
        return (index % fine + fine) << shift;
    }

    std::array<std::uint64_t, 61 * fine> buckets_{};
    std::uint64_t count_ = 0;
};

}  // namespace cowtgt::bench
