#include "cow-store/volume/quarantine.h"

#include <utility>

namespace cowtgt {

void Quarantine::add(UnitRun run, std::uint64_t mark) {
    freed_.push_back({run, mark, 0});
    units_ += run.count;
}

void Quarantine::recorded(std::uint64_t mark, std::uint64_t sequence) {
    while (recorded_ < freed_.size() && freed_[recorded_].mark <= mark) {
        freed_[recorded_++].sequence = sequence;
    }
}

void Quarantine::committed(std::uint64_t sequence) {
    while (recorded_ > 0 && freed_.front().sequence <= sequence) {
        committed_.push_back(freed_.front().run);
        freed_.pop_front();
        --recorded_;
    }
    turn_epoch();
}

std::uint32_t Quarantine::begin_read() {
    ++readers_[epoch_];
    return epoch_;
}

void Quarantine::end_read(std::uint32_t epoch) {
    --readers_[epoch];
    turn_epoch();
}

/// Reads that begin from now on cannot see what was committed before; those of the other epoch
/// may, and while there are any the epoch stays.
void Quarantine::turn_epoch() {
    if (readers_[epoch_ ^ 1] != 0) return;
    released_.insert(released_.end(), before_epoch_.begin(), before_epoch_.end());
    before_epoch_.clear();
    if (committed_.empty()) return;
    std::swap(before_epoch_, committed_);
    epoch_ ^= 1;
    if (readers_[epoch_ ^ 1] == 0) turn_epoch();
}

std::vector<UnitRun> Quarantine::take_released() {
    for (const UnitRun& run : released_) {
        units_ -= run.count;
    }
    return std::exchange(released_, {});
}

}  // namespace cowtgt
