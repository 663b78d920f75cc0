#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "cow-store/base/bytes.h"
#include "tests/sim/sim_file.h"

namespace cowtgt::sim {

/// A stretch of the disk that a history works in.
struct Window {
    std::uint64_t offset = 0;  ///< bytes, a multiple of sector_size
    std::uint64_t length = 0;  ///< bytes, a multiple of sector_size
};

using Value = std::uint64_t;  ///< what one write put into a sector; 0: zeros
/// Tells one deallocation from another; what is read is 0.
inline constexpr Value zeros_mark = Value{1} << 62;

/// Fills the sector that lies at `offset` of the disk so that value_in() finds the value again.
void fill_sector(MutableBytes sector, Value value, std::uint64_t offset);
/// Nothing when the bytes are no such sector: torn, or from somewhere else.
std::optional<Value> value_in(Bytes sector, std::uint64_t offset);

/// What each sector may hold after a cut: its last durable value or that of a later write to it
/// (promise 3); after the death of the process alone, its last answered value or that of a write
/// that was still under way (promise 1).
class DiskModel {
public:
    explicit DiskModel(std::vector<Window> windows);

    const std::vector<Window>& windows() const { return windows_; }
    void set(std::uint64_t offset, Value value) { sectors_[offset] = {{value, true}}; }

    void begin_write(const Window& range, Value value);
    void answered(const Window& range, Value value);
    void durable(const Window& range, Value value);
    /// By sector: the value that a flush submitted now makes durable.
    using FlushPoint = std::map<std::uint64_t, Value>;
    FlushPoint flush_begins() const;
    void flush_answered(const FlushPoint& point);

    bool may_hold(std::uint64_t offset, Value value, CutKind kind) const;
    std::string describe(std::uint64_t offset) const;

private:
    struct Written {
        Value value = 0;
        bool answered = false;
    };
    void forget_before(std::uint64_t offset, Value value);

    std::vector<Window> windows_;
    std::map<std::uint64_t, std::vector<Written>> sectors_;  ///< by disk offset, oldest first
};

}  // namespace cowtgt::sim
