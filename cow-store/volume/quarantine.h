#pragma once

#include <array>
#include <cstdint>
#include <deque>
#include <vector>

#include "cow-store/format/units.h"

namespace cowtgt {

/// Units that the map no longer names but that must not be used again yet: first because an older
/// map that names them may be the durable one, then because reads that looked them up may still be
/// on their way.
class Quarantine {
public:
    /// The entry that frees the units is number `mark` of all entries ever queued for the journal.
    void add(UnitRun run, std::uint64_t mark);
    /// Entries up to `mark` lie in records up to `sequence` now.
    void recorded(std::uint64_t mark, std::uint64_t sequence);
    /// Records up to `sequence` are durable.
    void committed(std::uint64_t sequence);

    /// A read takes the number of the current epoch when it begins and gives it back at its end.
    std::uint32_t begin_read();
    void end_read(std::uint32_t epoch);

    /// Units that may be used again now.
    std::vector<UnitRun> take_released();

    std::uint64_t units() const { return units_; }
    bool waits_for_commit() const { return !freed_.empty(); }

private:
    struct Freed {
        UnitRun run;
        std::uint64_t mark = 0;
        std::uint64_t sequence = 0;  ///< 0: not in a record yet
    };

    void turn_epoch();

    std::deque<Freed> freed_;            ///< in the order of marks and sequences
    std::size_t recorded_ = 0;           ///< the first so many have a sequence
    std::vector<UnitRun> committed_;     ///< wait for the next turn of the epoch
    std::vector<UnitRun> before_epoch_;  ///< wait for the readers of the old epoch
    std::vector<UnitRun> released_;
    std::array<std::uint64_t, 2> readers_{};
    std::uint32_t epoch_ = 0;  ///< 0 or 1
    std::uint64_t units_ = 0;
};

}  // namespace cowtgt
