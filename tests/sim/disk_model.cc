#include "tests/sim/disk_model.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "cow-store/base/check.h"

namespace cowtgt::sim {

void fill_sector(MutableBytes sector, Value value, std::uint64_t offset) {
    for (std::size_t at = 0; at < sector.size(); at += 16) {
        const std::uint64_t words[2] = {value, value == 0 ? 0 : offset ^ (at << 48)};
        std::memcpy(sector.data() + at, words, sizeof words);
    }
}

std::optional<Value> value_in(Bytes sector, std::uint64_t offset) {
    Value value = 0;
    std::memcpy(&value, sector.data(), sizeof value);
    std::array<std::byte, sector_size> expected{};
    fill_sector(expected, value, offset);
    if (std::memcmp(expected.data(), sector.data(), sector_size) != 0) return std::nullopt;
    return value;
}

DiskModel::DiskModel(std::vector<Window> windows) : windows_(std::move(windows)) {
    for (const Window& window : windows_) {
        for (std::uint64_t at = 0; at < window.length; at += sector_size) {
            set(window.offset + at, 0);
        }
    }
}

void DiskModel::begin_write(const Window& range, Value value) {
    for (std::uint64_t at = 0; at < range.length; at += sector_size) {
        sectors_.at(range.offset + at).push_back({value, false});
    }
}

void DiskModel::answered(const Window& range, Value value) {
    for (std::uint64_t at = 0; at < range.length; at += sector_size) {
        for (Written& written : sectors_.at(range.offset + at)) {
            if (written.value == value) written.answered = true;
        }
    }
}

void DiskModel::durable(const Window& range, Value value) {
    for (std::uint64_t at = 0; at < range.length; at += sector_size) {
        forget_before(range.offset + at, value);
    }
}

DiskModel::FlushPoint DiskModel::flush_begins() const {
    FlushPoint point;
    for (const auto& [offset, history] : sectors_) {
        for (const Written& written : history) {
            if (written.answered) point[offset] = written.value;
        }
    }
    return point;
}

void DiskModel::flush_answered(const FlushPoint& point) {
    for (const auto& [offset, value] : point) {
        forget_before(offset, value);
    }
}

void DiskModel::forget_before(std::uint64_t offset, Value value) {
    std::vector<Written>& history = sectors_.at(offset);
    const auto at = std::find_if(history.rbegin(), history.rend(), [value](const Written& written) {
        return written.value == value;
    });
    if (at != history.rend()) history.erase(history.begin(), std::prev(at.base()));
}

bool DiskModel::may_hold(std::uint64_t offset, Value value, CutKind kind) const {
    const std::vector<Written>& history = sectors_.at(offset);
    for (auto written = history.rbegin(); written != history.rend(); ++written) {
        const Value reads_as = (written->value & zeros_mark) != 0 ? 0 : written->value;
        if (reads_as == value) return true;
        if (kind == CutKind::process_death && written->answered) return false;
    }
    return false;
}

std::string DiskModel::describe(std::uint64_t offset) const {
    std::string text = "allowed:";
    for (const Written& written : sectors_.at(offset)) {
        text += " " + std::to_string(written.value) + (written.answered ? "" : "?");
    }
    return text;
}

}  // namespace cowtgt::sim
