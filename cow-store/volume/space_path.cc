#include <algorithm>
#include <cerrno>

#include "cow-store/volume/engine.h"

namespace cowtgt {

namespace {

/// One punch gives back at most so many segments.
constexpr std::uint32_t punch_segments_max = 64;
/// Segments beyond the journal that a quota never takes away.
constexpr std::uint64_t freeing_segments = 2;
/// Unused segments that are kept, beside the next batch, before space is given back.
constexpr std::uint64_t spare_segments = 16;

}  // namespace

/// What the checkpoint under way and the next one may need, if the map changes in `parts` more
/// places.
std::uint64_t Volume::Engine::kept_units(std::uint64_t parts) const {
    const std::uint64_t planned = granted_parts_ + parts;
    std::uint64_t units = checkpoint_units_needed(
        state_->on_disk.pages.size(), state_->map.dirty_leaf_count() + planned,
        state_->map.assignments() - assignments_at_cut_ + planned);
    if (builder_ && builder_budget_ > builder_->units_taken()) {
        units += builder_budget_ - builder_->units_taken();
    }
    return units;
}

/// A unit for data is granted only together with the space to describe it.
bool Volume::Engine::can_grant(const Need& need, Purpose purpose) const {
    const std::uint64_t slack = purpose == Purpose::new_data ? slack_units : 0;
    return state_->allocator.free_units() >= need.units + kept_units(need.parts) + slack;
}

bool Volume::Engine::quota_allows(std::uint64_t units) const {
    return state_->allocator.used_units() + units <= options_.space_max_bytes / unit_size;
}

/// Segments that may still be reserved. The journal, and some room for what frees space, are not
/// counted: both are there under every quota.
std::uint32_t Volume::Engine::quota_segments() const {
    if (options_.space_max_bytes == no_space_limit) return options_.batch_segments_max;
    const std::uint64_t quota_units = std::max<std::uint64_t>(
        options_.space_max_bytes / unit_size,
        state_->superblock.ring.units + freeing_segments * units_per_segment);
    const std::uint64_t reserved = state_->allocator.used_units() + state_->allocator.free_units();
    const std::uint64_t room = quota_units - std::min(quota_units, reserved);
    return static_cast<std::uint32_t>(
        std::min<std::uint64_t>(room / units_per_segment, options_.batch_segments_max));
}

/// Units that were freed count until the record that frees them is durable: they are waited for.
void Volume::Engine::wait_for_quota(Operation& operation) {
    if (quarantine_.units() == 0) {
        give_up(operation, {BlockStatus::out_of_space, EDQUOT});
        return;
    }
    space_waiters_.push(operation);
    commit_wanted_ = commit_wanted_ || quarantine_.waits_for_commit();
    raise();
}

void Volume::Engine::set_space_max(std::uint64_t bytes) {
    options_.space_max_bytes = bytes;
    reserve_failed_ = false;
}

std::uint32_t Volume::Engine::batch_segments() const {
    const std::uint64_t used_segments = state_->allocator.used_units() / units_per_segment;
    return static_cast<std::uint32_t>(
        std::clamp<std::uint64_t>(used_segments / 64, 1, options_.batch_segments_max));
}

/// Somebody waits for space: freed units by a commit, new ones by a reservation.
void Volume::Engine::want_space() {
    if (quarantine_.waits_for_commit()) commit_wanted_ = true;
    reserve(batch_segments());
    raise();
}

/// Reserves before anybody has to wait.
void Volume::Engine::reserve_ahead() {
    if (activity_ != Activity::active || fenced_ || reserve_failed_) return;
    const std::uint64_t batch = std::uint64_t{batch_segments()} * units_per_segment;
    if (state_->allocator.free_units() < kept_units(0) + slack_units + window_units() + batch / 2) {
        reserve(batch_segments());
    }
}

void Volume::Engine::reserve(std::uint32_t segments) {
    if (reserve_running_) return;
    const bool for_map =
        activity_ != Activity::active || checkpoint_stage_ == CheckpointStage::needs_units;
    if (!for_map) {
        segments = std::min(segments, quota_segments());
        if (segments == 0) {
            space_failed(EDQUOT);
            return;
        }
    }
    reserve_running_ = true;
    reserving_ = state_->allocator.next_reservation(reserve_failed_ ? 1 : segments);
    reserve_io_ = FileOperation{};
    reserve_io_.kind = FileOperation::Kind::allocate;
    reserve_io_.offset = reserving_.offset();
    reserve_io_.length = reserving_.length();
    reserve_io_.owner = this;
    reserve_io_.done = reserved;
    live_.submit(reserve_io_);
}

void Volume::Engine::reserved(FileOperation& io, int os_errno) {
    Engine& engine = engine_of(io);
    engine.reserve_running_ = false;
    engine.raise();
    if (os_errno == 0) {
        engine.reserve_failed_ = false;
        engine.state_->allocator.add_reserved(engine.reserving_);
        engine.space_arrived();
        return;
    }
    const bool was_large = engine.reserving_.count > 1;
    engine.reserve_failed_ = true;
    if (was_large) {
        engine.reserve(1);
    } else {
        engine.space_failed(os_errno);
    }
}

void Volume::Engine::space_arrived() {
    if (activity_ == Activity::making_ring) make_ring();
    if (checkpoint_stage_ == CheckpointStage::needs_units) write_pages();
    if (activity_ != Activity::active) return;
    OperationQueue waiters = space_waiters_.take_all();
    while (!waiters.empty()) {
        runnable_.push(waiters.pop());
    }
    raise();
}

/// The file cannot grow. What is freed but not yet usable is still worth waiting for.
void Volume::Engine::space_failed(int os_errno) {
    if (activity_ == Activity::making_ring) {
        activation_failed({BlockStatus::out_of_space, os_errno});
        return;
    }
    if (space_waiters_.empty()) return;
    const bool checkpoint_runs = checkpoint_stage_ == CheckpointStage::building ||
                                 checkpoint_stage_ == CheckpointStage::syncing ||
                                 checkpoint_stage_ == CheckpointStage::flipping;
    if (quarantine_.units() > 0) {
        commit_wanted_ = commit_wanted_ || quarantine_.waits_for_commit();
        return;
    }
    if (checkpoint_runs || punch_running_ || zeros_) return;  // its end brings some
    OperationQueue waiters = space_waiters_.take_all();
    while (!waiters.empty()) {
        give_up(waiters.pop(), {BlockStatus::out_of_space, os_errno});
    }
}

void Volume::Engine::release_quarantine() {
    const std::vector<UnitRun> released = quarantine_.take_released();
    if (released.empty()) return;
    for (const UnitRun& run : released) {
        state_->allocator.release(run);
    }
    reserve_failed_ = false;
    space_arrived();
}

/// Gives the space of unused segments back to the host. They are free in every durable state, and
/// out of service until the hole is punched. Some are kept while the layer is in use.
void Volume::Engine::punch_spare() {
    const bool closed = closing_ && activity_ == Activity::dormant;
    if (activity_ != Activity::active && !closed) return;
    if (fenced_ || punch_running_ || !punch_works_) return;
    const std::uint64_t kept = closed ? 0
                                      : kept_units(0) / units_per_segment +
                                            2 * std::uint64_t{batch_segments()} + spare_segments;
    const std::uint64_t unused = state_->allocator.empty_segments();
    if (unused <= kept || !space_waiters_.empty()) return;
    const auto range = state_->allocator.begin_punch(
        static_cast<std::uint32_t>(std::min<std::uint64_t>(unused - kept, punch_segments_max)));
    if (!range) return;
    punching_ = *range;
    punch_running_ = true;
    punch_io_ = FileOperation{};
    punch_io_.kind = FileOperation::Kind::punch_hole;
    punch_io_.offset = punching_.offset();
    punch_io_.length = punching_.length();
    punch_io_.owner = this;
    punch_io_.done = punch_done;
    live_.submit(punch_io_);
}

void Volume::Engine::punch_done(FileOperation& io, int os_errno) {
    Engine& engine = engine_of(io);
    engine.punch_running_ = false;
    if (os_errno == 0) {
        engine.state_->allocator.punched(engine.punching_);
    } else {
        // A file system without holes: the space stays ours.
        engine.state_->allocator.punch_failed(engine.punching_);
        engine.punch_works_ = false;
    }
    engine.raise();
    if (!engine.space_waiters_.empty()) engine.want_space();
}

}  // namespace cowtgt
