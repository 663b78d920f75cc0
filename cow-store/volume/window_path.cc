#include <algorithm>
#include <memory>

#include "cow-store/volume/engine.h"

namespace cowtgt {

namespace {

/// A commit of at most so many new units is small. A flush after each of them makes the file system
/// commit that their extents are written now: 16 KiB and a wait on ext4, whatever they hold. With
/// fewer units than this, zeros cost less.
constexpr std::uint64_t small_commit_units = 8;
/// So many small commits in a row open the window.
constexpr std::uint32_t commits_to_open = 4;
constexpr std::uint32_t commits_remembered = 16;

}  // namespace

/// Counts small commits; a large one takes away half of the count. Commits that allocated nothing
/// say nothing.
void Volume::Engine::note_commit_size() {
    const std::uint64_t units = units_granted_ - units_at_commit_;
    units_at_commit_ = units_granted_;
    if (units == 0) return;
    small_commits_ = units <= small_commit_units ? std::min(small_commits_ + 1, commits_remembered)
                                                 : small_commits_ / 2;
}

bool Volume::Engine::commits_are_small() const {
    return small_commits_ >= commits_to_open && zeroing_works_;
}

/// Free units that there should be besides, so that there is a segment to zero.
std::uint64_t Volume::Engine::window_units() const {
    return commits_are_small() ? units_per_segment : 0;
}

/// Keeps one unused segment that was written before at hand while commits are small. Its writes are
/// over before a unit of it is handed out, so they cannot fall on data.
void Volume::Engine::zero_ahead() {
    if (activity_ != Activity::active || fenced_ || closing_ || zeros_ || !commits_are_small()) {
        return;
    }
    const UnitAllocator& allocator = state_->allocator;
    if (allocator.written_segments() > 0 || !space_waiters_.empty()) return;
    if (allocator.free_units() < kept_units(0) + slack_units + units_per_segment) return;
    const auto segment = state_->allocator.begin_zeroing();
    if (!segment) return;
    zeroing_ = *segment;
    zeroed_bytes_ = 0;
    zeros_ = std::make_unique<ZeroBuffer>();
    zero_next_part();
}

void Volume::Engine::zero_next_part() {
    zeroing_io_ = FileOperation{};
    zeroing_io_.kind = FileOperation::Kind::write;
    zeroing_io_.offset = zeroing_.offset() + zeroed_bytes_;
    zeroing_io_.length = zeroing_part;
    zeroing_io_.data = zeros_->bytes;
    zeroing_io_.owner = this;
    zeroing_io_.done = part_zeroed;
    zeroed_bytes_ += zeroing_part;
    live_.submit(zeroing_io_);
}

void Volume::Engine::part_zeroed(FileOperation& io, int os_errno) {
    Engine& engine = engine_of(io);
    if (os_errno == 0) {
        engine.statistics_.zeroed_bytes += zeroing_part;
        if (engine.zeroed_bytes_ < engine.zeroing_.length()) {
            engine.zero_next_part();
            return;
        }
        engine.state_->allocator.zeroed(engine.zeroing_);
    } else {
        // Whatever is wrong, those who write data there will hear of it.
        engine.state_->allocator.zeroing_failed(engine.zeroing_);
        engine.zeroing_works_ = false;
    }
    engine.zeros_.reset();
    engine.space_arrived();
}

}  // namespace cowtgt
