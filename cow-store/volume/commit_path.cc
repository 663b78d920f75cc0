#include <algorithm>
#include <cstring>
#include <utility>

#include "cow-store/volume/engine.h"
#include "cow-store/volume/planted_bugs.h"

namespace cowtgt {

/// Appends what is pending; this is what makes answered writes survive the death of the process.
void Volume::Engine::record_pending() {
    if (!ring_ || fenced_) return;
    std::size_t done = 0;
    while (done < pending_entries_.size()) {
        const std::uint32_t room = ring_->room_for_entries();
        if (room == 0) {
            checkpoint_wanted_ = true;
            break;
        }
        const auto entries =
            std::span<const RecordEntry>(pending_entries_)
                .subspan(done, std::min<std::size_t>(room, pending_entries_.size() - done));
        if (!append_record(ring_->tentative(entries))) return;
        done += entries.size();
        last_tentative_ = ring_->last_sequence();
        marks_recorded_ += entries.size();
        quarantine_.recorded(marks_recorded_, last_tentative_);
    }
    pending_entries_.erase(pending_entries_.begin(),
                           pending_entries_.begin() + static_cast<std::ptrdiff_t>(done));
}

bool Volume::Engine::append_record(const RingPieces& pieces) {
    for (std::uint32_t i = 0; i < pieces.count; ++i) {
        const RingPieces::Piece& piece = pieces.pieces[i];
        const std::uint64_t offset = byte_offset(state_->superblock.ring.unit) + piece.offset;
        if (const int os_errno = live_.append_now(offset, piece.bytes); os_errno != 0) {
            fence(os_errno);
            return false;
        }
    }
    return true;
}

/// Answers the writes whose changes are in the journal; those with FUA go on to the next commit.
void Volume::Engine::sort_recorded() {
    while (!unrecorded_.empty() && unrecorded_.first()->record_mark <= marks_recorded_) {
        Operation& operation = unrecorded_.pop();
        if (operation.request->force_unit_access) {
            flush_waiters_.push(operation);
        } else {
            answer(operation, {});
        }
    }
}

/// One commit at a time; all who come while it runs share the next one.
void Volume::Engine::start_commit() {
    if (!ring_ || fenced_ || commit_stage_ != CommitStage::idle) return;
    if (flush_waiters_.empty() && !commit_wanted_ && confirm_waiters_.empty()) return;
    committing_ = flush_waiters_.take_all();
    commit_wanted_ = false;
    note_commit_size();
    // Only what was complete before the sync began may be named after it.
    naming_ = last_tentative_;
    const bool names = naming_ > committed_;
    if (names && can_commit_with_hashes()) {
        write_hashed_commit();
        return;
    }
    forget_named(names);
    if (!names && !confirm_waiters_.empty() && ring_->stated() < committed_) {
        naming_ = committed_;  // again: this time it needs no hashes
        write_commit_record();
        return;
    }
    if (planted.commit_before_data_sync && names) {
        write_commit_record();
        return;
    }
    sync_commit(CommitStage::syncing_data, data_synced);
}

void Volume::Engine::sync_commit(CommitStage stage, void (*done)(FileOperation&, int)) {
    commit_stage_ = stage;
    proving_ = ring_->stated();
    sync_live(commit_io_, done);
}

void Volume::Engine::data_synced(FileOperation& io, int os_errno) {
    Engine& engine = engine_of(io);
    if (os_errno != 0 || engine.fenced_) {
        engine.commit_stage_ = CommitStage::idle;
        engine.fence(os_errno);
        return;
    }
    engine.confirm(engine.proving_);
    const bool for_fua = !engine.committing_.empty() &&
                         engine.committing_.first()->request->operation == BlockOperation::write;
    if (planted.name_records_after_sync || (planted.fua_commits_neighbours && for_fua)) {
        engine.naming_ = engine.last_tentative_;
    }
    if (engine.naming_ > engine.committed_) {
        engine.write_commit_record();
    } else {
        engine.finish_commit();
    }
}

void Volume::Engine::write_commit_record() {
    commit_stage_ = CommitStage::idle;
    if (!append_record(ring_->commit(naming_))) return;
    sync_commit(CommitStage::syncing_record, commit_synced);
}

void Volume::Engine::commit_synced(FileOperation& io, int os_errno) {
    Engine& engine = engine_of(io);
    if (os_errno != 0 || engine.fenced_) {
        engine.commit_stage_ = CommitStage::idle;
        engine.fence(os_errno);
        return;
    }
    engine.committed_ = std::max(engine.committed_, engine.naming_);
    engine.ring_->confirm(engine.committed_);
    engine.confirm(engine.proving_);
    engine.finish_commit();
}

void Volume::Engine::finish_commit() {
    commit_stage_ = CommitStage::idle;
    ++statistics_.commits;
    quarantine_.committed(committed_);
    answer_all(committing_, {});
    raise();
}

/// A sync (or a write that only the volume knows of) failed: what the kernel held may be lost, and
/// asking again would not tell. Everything that waits for durability fails; reads go on.
void Volume::Engine::fence(int os_errno) {
    if (fenced_) {
        raise();
        return;
    }
    fenced_ = true;
    fence_errno_ = os_errno;
    const BlockOutcome outcome{BlockStatus::fenced, os_errno};
    answer_all(committing_, outcome);
    answer_all(flush_waiters_, outcome);
    answer_all(unrecorded_, outcome);
    for (OperationQueue* queue : {&space_waiters_, &confirm_waiters_}) {
        OperationQueue waiters = queue->take_all();
        while (!waiters.empty()) {
            give_up(waiters.pop(), outcome);
        }
    }
    mark_fenced();
    raise();
}

/// Says in the superblock that the layer is in doubt, as well as it still goes. It keeps naming the
/// last durable map, of which nothing was released. A flip that was interrupted left the copy that
/// it was at in doubt; the other one must stay, since this write may be torn too.
void Volume::Engine::mark_fenced() {
    if (flip_running_ || fence_mark_written_) return;
    fence_mark_written_ = true;
    Superblock marked = state_->superblock;
    marked.phase = LayerPhase::fenced;
    marked.generation = std::max(marked.generation, next_superblock_.generation) + 1;
    const DiskSuperblock disk = encode_superblock(marked);
    std::memcpy(flip_buffer_->bytes.data(), &disk, sizeof disk);
    flip_running_ = true;
    flip_io_ = FileOperation{};
    flip_io_.kind = FileOperation::Kind::write;
    flip_io_.offset = byte_offset(flip_steps_done_ < flip_steps ? flip_steps_done_ / 2 : 0);
    flip_io_.length = unit_size;
    flip_io_.data = flip_buffer_->bytes;
    flip_io_.owner = this;
    flip_io_.done = flip_done;
    live_.submit(flip_io_);
}

}  // namespace cowtgt
