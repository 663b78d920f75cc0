#include <algorithm>
#include <cstring>

#include "cow-store/base/bytes.h"
#include "cow-store/base/check.h"
#include "cow-store/volume/engine.h"
#include "cow-store/volume/planted_bugs.h"

namespace cowtgt {

namespace {

MutableBytes data_of(const Operation& operation, std::uint64_t from, std::uint64_t to) {
    return operation.request->data.subspan(from - operation.offset, to - from);
}

}  // namespace

/// Begins a write or deallocation that owns its range; also where one goes on that had to wait.
void Volume::Engine::start_change(Operation& operation) {
    if (fenced_) {
        give_up(operation, {BlockStatus::fenced, fence_errno_});
        return;
    }
    if (activity_ != Activity::active) {
        space_waiters_.push(operation);
        activate();
        return;
    }
    if (operation.fills) {
        start_fill(operation);
    } else if (operation.request->operation == BlockOperation::write) {
        start_write(operation);
    } else {
        start_deallocate(operation);
    }
}

void Volume::Engine::wait_for_space(Operation& operation) {
    space_waiters_.push(operation);
    want_space();
}

/// Ends an operation that waited; some of its file operations may still be under way.
void Volume::Engine::give_up(Operation& operation, const BlockOutcome& outcome) {
    operation.outcome = outcome;
    if (operation.pending > 0) --operation.pending;
    if (operation.pending == 0) finish_change(operation);
}

void Volume::Engine::start_write(Operation& operation) {
    if (wait_for_confirmation(operation, operation.first_cluster, operation.end_cluster)) return;
    const Need need = need_of(operation);
    if (need.units > 0 && !quota_allows(need.units)) {
        wait_for_quota(operation);
        return;
    }
    if (need.units > 0 && !can_grant(need, Purpose::new_data)) {
        wait_for_space(operation);
        return;
    }
    operation.planned_parts = static_cast<std::uint32_t>(need.parts);
    granted_parts_ += need.parts;
    operation.pending = 1;  // ours, until all parts are on their way
    for (std::uint64_t at = operation.first_cluster; at < operation.end_cluster;) {
        const Extent extent =
            state_->map.find(ClusterIndex{at}, ClusterCount{operation.end_cluster - at});
        if (const auto* in_layer = std::get_if<InLayer>(&extent.place)) {
            write_clusters(operation, at, extent.count.value, in_layer->unit, true);
        } else {
            write_new_clusters(operation, at, extent.count.value);
        }
        at += extent.count.value;
    }
    if (--operation.pending == 0) finish_change(operation);
}

Volume::Engine::Need Volume::Engine::need_of(const Operation& operation) const {
    Need need;
    for (std::uint64_t at = operation.first_cluster; at < operation.end_cluster;) {
        const Extent extent =
            state_->map.find(ClusterIndex{at}, ClusterCount{operation.end_cluster - at});
        if (!std::holds_alternative<InLayer>(extent.place)) need.units += extent.count.value;
        at += extent.count.value;
    }
    need.parts = need.units;  // should every unit come from another corner of the file
    return need;
}

void Volume::Engine::write_new_clusters(Operation& operation, std::uint64_t cluster,
                                        std::uint64_t count) {
    while (count > 0) {
        const auto run = state_->allocator.allocate_data(static_cast<std::uint32_t>(count));
        CHECK(run);  // can_grant() said so
        units_granted_ += run->count;
        operation.entries.push_back({static_cast<std::uint32_t>(cluster), run->count, run->first});
        write_clusters(operation, cluster, run->count, run->first, false);
        cluster += run->count;
        count -= run->count;
    }
}

/// Writes what the request has for these clusters to the units from `unit` on.
void Volume::Engine::write_clusters(Operation& operation, std::uint64_t cluster,
                                    std::uint64_t count, UnitNumber unit, bool in_place) {
    const std::uint64_t begin = cluster * cluster_size;
    const std::uint64_t from = std::max(operation.offset, begin);
    const std::uint64_t to =
        std::min(operation.offset + operation.length, begin + count * cluster_size);
    const auto memory_fits = [this, &operation, to](std::uint64_t at) {
        const auto address = reinterpret_cast<std::uintptr_t>(data_of(operation, at, to).data());
        return address % alignment_.memory == 0;
    };
    const bool part_fits = in_place && from % alignment_.offset == 0 && to % alignment_.offset == 0;
    if (part_fits && memory_fits(from)) {
        write_bytes(operation, byte_offset(unit) + (from - begin), data_of(operation, from, to));
        return;
    }
    std::uint64_t whole_from = round_up(from, cluster_size);
    std::uint64_t whole_to = round_down(to, cluster_size);
    // Memory that does not fit goes through a buffer, cluster by cluster.
    if (whole_from < whole_to && !memory_fits(whole_from)) whole_to = whole_from;
    if (whole_from < whole_to) {
        write_bytes(operation, byte_offset(unit) + (whole_from - begin),
                    data_of(operation, whole_from, whole_to));
    } else {
        whole_from = whole_to = to;
    }
    for (std::uint64_t at = from; at < to; at = round_down(at, cluster_size) + cluster_size) {
        if (at >= whole_from && at < whole_to) {
            at = whole_to - cluster_size;
            continue;
        }
        const std::uint64_t index = at / cluster_size;
        merge_cluster(operation, index, unit + static_cast<UnitNumber>(index - cluster));
    }
}

void Volume::Engine::write_bytes(Operation& operation, std::uint64_t file_offset,
                                 MutableBytes bytes) {
    Piece& piece = take_piece(operation);
    piece.io.kind = FileOperation::Kind::write;
    piece.io.offset = file_offset;
    piece.io.length = bytes.size();
    piece.io.data = bytes;
    piece.io.done = write_done;
    ++operation.pending;
    live_.submit(piece.io);
}

/// Reads the cluster from wherever it is, puts the request's bytes over it, writes it to `unit`.
void Volume::Engine::merge_cluster(Operation& operation, std::uint64_t cluster, UnitNumber unit) {
    const std::uint64_t begin = cluster * cluster_size;
    const std::uint64_t from = std::max(operation.offset, begin);
    const std::uint64_t to = std::min(operation.offset + operation.length, begin + cluster_size);
    Piece& merge = take_piece(operation);
    merge.buffer = &buffers_.take();
    merge.skip = static_cast<std::uint32_t>(from - begin);
    merge.source = operation.request->operation == BlockOperation::write
                       ? Bytes(data_of(operation, from, to))
                       : Bytes(static_cast<const std::byte*>(nullptr), to - from);
    merge.read_errno = 0;
    merge.reads_left = 1;  // ours, until all reads are on their way
    merge.io.kind = FileOperation::Kind::write;
    merge.io.offset = byte_offset(unit);
    merge.io.length = unit_size;
    merge.io.data = merge.buffer->bytes;
    merge.io.done = write_done;
    ++operation.pending;
    MutableBytes rest = merge.buffer->bytes;
    if (to - from == cluster_size) rest = {};
    for (std::uint64_t at = begin; !rest.empty();) {
        const ChainPiece where = chain_.find(at, rest.size());
        read_part(operation, &merge, where, rest.first(where.length));
        rest = rest.subspan(where.length);
        at += where.length;
    }
    if (--merge.reads_left == 0) merge_ready(merge);
}

void Volume::Engine::merge_ready(Piece& merge) {
    if (merge.read_errno != 0) {
        Operation& operation = *merge.operation;
        const int os_errno = merge.read_errno;
        buffers_.give_back(*merge.buffer);
        pieces_.give_back(merge);
        piece_done(operation, os_errno);
        return;
    }
    std::byte* into = merge.buffer->bytes.data() + merge.skip;
    if (merge.source.data() == nullptr) {
        std::memset(into, 0, merge.source.size());
    } else {
        std::memcpy(into, merge.source.data(), merge.source.size());
    }
    live_.submit(merge.io);
}

void Volume::Engine::write_done(FileOperation& io, int os_errno) {
    Piece& piece = piece_of(io);
    Engine& engine = *static_cast<Engine*>(piece.engine);
    Operation& operation = *piece.operation;
    if (piece.buffer != nullptr) engine.buffers_.give_back(*piece.buffer);
    engine.pieces_.give_back(piece);
    engine.piece_done(operation, os_errno);
}

void Volume::Engine::piece_done(Operation& operation, int os_errno) {
    if (os_errno != 0) operation.outcome = failure_of(os_errno);
    if (--operation.pending == 0) finish_change(operation);
}

/// All data is written (or not): the map follows, and the range is free for the next one. The
/// answer waits for the journal.
void Volume::Engine::finish_change(Operation& operation) {
    granted_parts_ -= operation.planned_parts;
    operation.planned_parts = 0;
    if (operation.outcome.status == BlockStatus::good && fenced_) {
        operation.outcome = {BlockStatus::fenced, fence_errno_};
    }
    const bool good = operation.outcome.status == BlockStatus::good;
    note_content(operation, good);
    for (const RecordEntry& entry : operation.entries) {
        if (good) {
            state_->map.assign(ClusterIndex{entry.first_cluster}, ClusterCount{entry.cluster_count},
                               entry.value);
            add_entry(entry);
        } else {
            // Nothing ever referred to them.
            state_->allocator.release({entry.value, entry.cluster_count});
        }
    }
    locks_.unlock(operation, runnable_);
    if (good && !planted.answer_before_record) {
        // Also what others changed before: this write may lie in a place that they were given.
        operation.record_mark = marks_queued_;
        unrecorded_.push(operation);
        raise();
    } else {
        answer(operation, operation.outcome);
    }
}

}  // namespace cowtgt
