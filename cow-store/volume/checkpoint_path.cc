#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "cow-store/base/check.h"
#include "cow-store/volume/engine.h"
#include "cow-store/volume/page_batch.h"
#include "cow-store/volume/planted_bugs.h"

namespace cowtgt {

namespace {

/// The ring by the size of the disk: 1 MiB up to 64 GiB, then doubling, at most 16 MiB.
std::uint32_t ring_units_for(std::uint64_t virtual_size, std::uint32_t wanted_bytes) {
    if (wanted_bytes != 0) return std::max(1U, wanted_bytes / unit_size);
    std::uint32_t units = units_per_segment;
    for (std::uint64_t size = std::uint64_t{64} << 30;
         size < virtual_size && units < 16 * units_per_segment; size *= 2) {
        units *= 2;
    }
    return units;
}

}  // namespace

/// The first write opens the layer: it gets a ring if it has none, and its superblock says `open`
/// with a new epoch before anything else is written.
void Volume::Engine::activate() {
    if (activity_ != Activity::dormant) return;
    if (!batch_) batch_ = std::make_unique<PageBatch>();
    if (state_->superblock.ring.unit != 0) {
        open_superblock();
        return;
    }
    activity_ = Activity::making_ring;
    make_ring();
}

void Volume::Engine::make_ring() {
    const std::uint32_t units =
        ring_units_for(state_->superblock.virtual_size, options_.ring_bytes);
    const auto run = state_->allocator.allocate_contiguous(units);
    if (!run) {
        reserve(units / units_per_segment + 1);
        return;
    }
    new_ring_ = *run;
    activity_ = Activity::zeroing_ring;
    ring_bytes_zeroed_ = 0;
    batch_->bytes.fill(std::byte{0});
    zero_ring();
}

/// Overwrites what the units held before, so that appending to the ring changes no extent of the
/// file. These direct writes are over before the first record is appended.
void Volume::Engine::zero_ring() {
    const std::uint64_t left = std::uint64_t{new_ring_.count} * unit_size - ring_bytes_zeroed_;
    if (left == 0) {
        // The file must have grown for good before a superblock names what lies there.
        sync_live(checkpoint_io_, ring_synced);
        return;
    }
    const auto part = std::min<std::uint64_t>(left, batch_->bytes.size());
    checkpoint_io_ = FileOperation{};
    checkpoint_io_.kind = FileOperation::Kind::write;
    checkpoint_io_.offset = byte_offset(new_ring_.first) + ring_bytes_zeroed_;
    checkpoint_io_.length = part;
    checkpoint_io_.data = MutableBytes(batch_->bytes).first(part);
    checkpoint_io_.owner = this;
    checkpoint_io_.done = ring_zeroed;
    ring_bytes_zeroed_ += part;
    live_.submit(checkpoint_io_);
}

void Volume::Engine::ring_zeroed(FileOperation& io, int os_errno) {
    Engine& engine = engine_of(io);
    if (os_errno == 0) {
        engine.zero_ring();
        return;
    }
    engine.state_->allocator.release(engine.new_ring_);
    const bool full = os_errno == ENOSPC || os_errno == EDQUOT;
    engine.activation_failed({full ? BlockStatus::out_of_space : BlockStatus::io_error, os_errno});
}

void Volume::Engine::ring_synced(FileOperation& io, int os_errno) {
    Engine& engine = engine_of(io);
    if (os_errno != 0) {
        engine.fence(os_errno);
        return;
    }
    engine.open_superblock();
}

void Volume::Engine::open_superblock() {
    activity_ = Activity::flipping;
    Superblock next = state_->superblock;
    ++next.generation;
    next.phase = LayerPhase::open;
    next.incompatible_features |= feature_hashed_commits;
    next.boot_id = state_->boot_id;
    next.inode = state_->inode;
    if (next.ring.unit == 0) {
        next.ring.unit = new_ring_.first;
        next.ring.units = new_ring_.count;
    }
    ++next.ring.epoch;
    next.ring.head = 0;
    next.ring.previous_checksum = 0;
    write_superblock(next);
}

void Volume::Engine::finish_activation() {
    state_->superblock = next_superblock_;
    const RingOrigin& ring = state_->superblock.ring;
    ring_.emplace(ring, state_->superblock.layer_uuid);
    committed_ = last_tentative_ = ring.first_sequence - 1;
    assignments_at_cut_ = state_->map.assignments();
    activity_ = Activity::active;
    space_arrived();
}

void Volume::Engine::activation_failed(const BlockOutcome& outcome) {
    activity_ = Activity::dormant;
    OperationQueue waiters = space_waiters_.take_all();
    while (!waiters.empty()) {
        give_up(waiters.pop(), outcome);
    }
}

void Volume::Engine::consider_checkpoint() {
    if (activity_ != Activity::active || fenced_) return;
    if (checkpoint_stage_ == CheckpointStage::needs_units && state_->allocator.free_units() > 0) {
        write_pages();
        return;
    }
    if (checkpoint_stage_ != CheckpointStage::idle) return;
    const bool filling = ring_->used_bytes() >= ring_->size_bytes() / 4 * 3;
    if (checkpoint_wanted_ || filling) start_checkpoint();
}

void Volume::Engine::start_checkpoint() {
    checkpoint_wanted_ = false;
    cut_ = ring_->cut();
    cut_sequence_ = ring_->last_sequence();
    builder_budget_ = kept_units(0);
    assignments_at_cut_ = state_->map.assignments();
    builder_.emplace(state_->map, state_->on_disk, state_->superblock.generation + 1);
    checkpoint_stage_ = CheckpointStage::building;
    write_pages();
}

void Volume::Engine::write_pages() {
    const CheckpointBuilder::Progress progress =
        builder_->next(batch_->bytes, batch_->units, state_->allocator);
    switch (progress.step) {
        case CheckpointBuilder::Step::pages:
            checkpoint_stage_ = CheckpointStage::building;
            batch_->count = progress.count;
            submit_pages();
            return;
        case CheckpointBuilder::Step::needs_units:
            checkpoint_stage_ = CheckpointStage::needs_units;
            want_space();
            return;
        case CheckpointBuilder::Step::finished:
            break;
    }
    if (planted.release_pages_before_flip) release_replaced();
    if (planted.checkpoint_without_sync) {
        flip_to_new_map();
        return;
    }
    checkpoint_stage_ = CheckpointStage::syncing;
    sync_live(checkpoint_io_, pages_synced);
}

/// Pages in units that follow each other go out in one write.
void Volume::Engine::submit_pages() {
    PageBatch& batch = *batch_;
    batch.os_errno = 0;
    batch.pending = 1;  // ours, until all are on their way
    for (std::uint32_t first = 0; first < batch.count;) {
        std::uint32_t count = 1;
        while (first + count < batch.count &&
               batch.units[first + count] == batch.units[first] + count) {
            ++count;
        }
        FileOperation& io = batch.io[first];
        io = FileOperation{};
        io.kind = FileOperation::Kind::write;
        io.offset = byte_offset(batch.units[first]);
        io.length = std::uint64_t{count} * unit_size;
        io.data = MutableBytes(batch.bytes).subspan(std::size_t{first} * unit_size, io.length);
        io.owner = this;
        io.done = pages_written;
        ++batch.pending;
        live_.submit(io);
        first += count;
    }
    --batch.pending;
}

void Volume::Engine::pages_written(FileOperation& io, int os_errno) {
    Engine& engine = engine_of(io);
    PageBatch& batch = *engine.batch_;
    if (os_errno != 0) batch.os_errno = os_errno;
    if (--batch.pending > 0) return;
    if (engine.fenced_) {
        engine.abandon_checkpoint();
    } else if (batch.os_errno == ENOSPC || batch.os_errno == EDQUOT) {
        // A file system that moves what it overwrites. The next request tries again.
        engine.checkpoint_stage_ = CheckpointStage::page_retry;
        engine.raise();
    } else if (batch.os_errno != 0) {
        engine.abandon_checkpoint();
        engine.fence(batch.os_errno);
    } else {
        engine.write_pages();
    }
}

void Volume::Engine::retry_pages() {
    if (checkpoint_stage_ != CheckpointStage::page_retry || fenced_) return;
    checkpoint_stage_ = CheckpointStage::building;
    submit_pages();
}

void Volume::Engine::pages_synced(FileOperation& io, int os_errno) {
    Engine& engine = engine_of(io);
    if (os_errno != 0 || engine.fenced_) {
        if (planted.fence_names_aborted_pages) {
            engine.state_->superblock.directory = engine.builder_->take_result().directory;
        }
        engine.abandon_checkpoint();
        engine.fence(os_errno);
        return;
    }
    engine.flip_to_new_map();
}

void Volume::Engine::flip_to_new_map() {
    checkpoint_stage_ = CheckpointStage::flipping;
    new_map_ = builder_->take_result();
    Superblock next = state_->superblock;
    ++next.generation;
    next.directory = new_map_.directory;
    next.ring = ring_->origin_at(cut_);
    if (closing_checkpoint_) {
        next.phase = LayerPhase::clean;
        next.incompatible_features &= ~feature_hashed_commits;  // no journal counts any more
    }
    write_superblock(next);
}

/// Copy A, sync, copy B, sync. Until all four are done nothing that the old superblock names may
/// be used again: then either copy alone is enough, whatever happens to the other one.
void Volume::Engine::write_superblock(const Superblock& superblock) {
    next_superblock_ = superblock;
    const DiskSuperblock disk = encode_superblock(superblock);
    std::memcpy(flip_buffer_->bytes.data(), &disk, sizeof disk);
    flip_steps_done_ = 0;
    flip_running_ = true;
    flip_step();
}

void Volume::Engine::flip_step() {
    if (flip_steps_done_ % 2 == 1) {
        sync_live(flip_io_, flip_done);
        return;
    }
    flip_io_ = FileOperation{};
    flip_io_.kind = FileOperation::Kind::write;
    flip_io_.offset = byte_offset(flip_steps_done_ / 2);
    flip_io_.length = unit_size;
    flip_io_.data = flip_buffer_->bytes;
    flip_io_.owner = this;
    flip_io_.done = flip_done;
    live_.submit(flip_io_);
}

void Volume::Engine::flip_done(FileOperation& io, int os_errno) {
    Engine& engine = engine_of(io);
    if (engine.fence_mark_written_) {
        engine.flip_running_ = false;
        engine.raise();
        return;
    }
    if (os_errno != 0 || engine.fenced_) {
        engine.flip_running_ = false;
        engine.abandon_checkpoint();
        engine.fence(os_errno);
        engine.mark_fenced();
        return;
    }
    engine.flip_steps_done_ += planted.one_superblock_copy ? flip_steps : 1;
    if (engine.flip_steps_done_ < flip_steps) {
        engine.flip_step();
        return;
    }
    engine.flip_running_ = false;
    if (engine.activity_ == Activity::flipping) {
        engine.finish_activation();
    } else {
        engine.finish_checkpoint();
    }
    engine.raise();
}

void Volume::Engine::finish_checkpoint() {
    if (!planted.release_pages_before_flip) release_replaced();
    state_->superblock = next_superblock_;
    state_->on_disk = std::move(new_map_);
    builder_.reset();
    checkpoint_stage_ = CheckpointStage::idle;
    ++statistics_.checkpoints;
    ring_->release(cut_);
    committed_ = std::max(committed_, cut_sequence_);
    confirm(cut_sequence_);
    quarantine_.committed(committed_);
    if (closing_checkpoint_) {
        activity_ = Activity::dormant;
        ring_.reset();
    }
    space_arrived();
}

void Volume::Engine::release_replaced() {
    for (const UnitNumber unit : builder_->replaced()) {
        state_->allocator.release({unit, 1});
    }
}

/// Fenced: what was written so far is named by nobody and nothing will be written any more.
void Volume::Engine::abandon_checkpoint() {
    builder_.reset();
    checkpoint_stage_ = CheckpointStage::idle;
}

void Volume::Engine::close(CloseDone done) {
    CHECK(!closing_);
    closing_ = true;
    close_done_ = std::move(done);
    retry_pages();
    raise();
}

void Volume::Engine::consider_close() {
    if (!closing_ || active_ > 0 || !close_done_) return;
    const bool quiet = commit_stage_ == CommitStage::idle && !reserve_running_ && !punch_running_ &&
                       zeros_ == nullptr && !flip_running_;
    if (!quiet) return;
    BlockOutcome outcome;
    if (fenced_) {
        outcome = {BlockStatus::fenced, fence_errno_};
        if (checkpoint_stage_ != CheckpointStage::idle) return;
    } else if (checkpoint_stage_ == CheckpointStage::needs_units ||
               checkpoint_stage_ == CheckpointStage::page_retry) {
        outcome = {BlockStatus::out_of_space, ENOSPC};
    } else if (activity_ == Activity::active) {
        if (checkpoint_stage_ != CheckpointStage::idle || !pending_entries_.empty()) return;
        closing_checkpoint_ = true;
        start_checkpoint();
        return;
    }
    std::exchange(close_done_, nullptr)(outcome);
}

}  // namespace cowtgt
