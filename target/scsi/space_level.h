#pragma once

#include <cstdint>
#include <optional>

namespace cowtgt::scsi {

/// What is left of something that comes to an end: the store's file system, or a quota.
struct SpaceLeft {
    std::uint64_t available_bytes = 0;
    std::uint64_t threshold_bytes = 0;  ///< below it space is low; 0: it is never called low

    friend bool operator==(const SpaceLeft&, const SpaceLeft&) = default;
};

/// Whether space is low. Hysteresis: it is enough again only once an eighth more than the threshold
/// is free, so that what swings around the threshold is told once. Pure.
class SpaceLevel {
public:
    /// True: it has just become low. What was low when it was first looked at did not become so.
    bool see(const SpaceLeft& space) {
        const std::uint64_t enough = space.threshold_bytes + space.threshold_bytes / 8;
        const bool was_low = is_low_.value_or(false);
        const bool is_low = space.available_bytes < (was_low ? enough : space.threshold_bytes);
        const bool became_low = is_low_.has_value() && is_low && !was_low;
        is_low_ = is_low;
        return became_low;
    }
    bool is_low() const { return is_low_.value_or(false); }

private:
    std::optional<bool> is_low_;  ///< nothing: nobody has looked
};

}  // namespace cowtgt::scsi
