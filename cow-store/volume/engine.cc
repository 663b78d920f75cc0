#include "cow-store/volume/engine.h"

#include <algorithm>
#include <cerrno>
#include <utility>

#include "cow-store/base/check.h"
#include "cow-store/volume/page_batch.h"
#include "cow-store/volume/planted_bugs.h"

namespace cowtgt {

BlockOutcome failure_of(int os_errno) {
    switch (os_errno) {
        case ENOSPC:
        case EDQUOT:
            return {BlockStatus::out_of_space, os_errno};
        case EBADMSG:  // VerifyingFile
            return {BlockStatus::corrupt, os_errno};
        default:
            return {BlockStatus::io_error, os_errno};
    }
}

Volume::Engine::Engine(Volume& volume, RecoveredLayer layer, AsyncFile& live, SealedLayers below,
                       BaseImage base, const VolumeOptions& options)
    : volume_(volume),
      state_(std::move(layer).take_state()),
      live_(live),
      below_(std::move(below)),
      base_(base),
      options_(options),
      alignment_(live.alignment()) {
    CHECK(state_->superblock.phase == LayerPhase::clean);
    chain_.levels.push_back({&state_->map, state_->superblock.overlap_limit});
    for (const SealedLayer& sealed : below_.layers) {
        chain_.levels.push_back({sealed.map.get(), sealed.overlap_limit});
    }
    chain_.merged = below_.merged.get();
    chain_.base_size = base_.file == nullptr ? 0 : base_.size_bytes;
}

Volume::Engine::~Engine() = default;

Geometry Volume::Engine::geometry() const {
    const Superblock& superblock = state_->superblock;
    return {superblock.block_size, unit_size,
            BlockCount{superblock.virtual_size / superblock.block_size}};
}

void Volume::Engine::submit(BlockRequest& request, WriteKind kind) {
    const std::uint64_t block_size = state_->superblock.block_size;
    Operation& operation = operations_.take();
    operation.request = &request;
    request.device_slot.state = &operation;
    operation.offset = request.first_block.value * block_size;
    operation.length = request.block_count.value * block_size;
    CHECK(operation.length <= state_->superblock.virtual_size &&
          operation.offset <= state_->superblock.virtual_size - operation.length);
    operation.first_cluster = operation.offset / cluster_size;
    operation.end_cluster = (operation.offset + operation.length + cluster_size - 1) / cluster_size;
    operation.next_cluster = Operation::not_begun;
    operation.fills = kind == WriteKind::where_inherited;
    operation.pending = 0;
    operation.planned_parts = 0;
    operation.record_mark = 0;
    operation.outcome = {};
    operation.entries.clear();
    ++active_;
    retry_pages();
    if (closing_) {
        answer(operation, {BlockStatus::io_error, 0});
        return;
    }
    begin(operation);
}

void Volume::Engine::begin(Operation& operation) {
    const BlockRequest& request = *operation.request;
    if (request.operation != BlockOperation::flush && operation.length == 0) {
        answer(operation, {});
        return;
    }
    if (request.operation == BlockOperation::read) {
        start_read(operation);
        return;
    }
    if (fenced_) {
        answer(operation, {BlockStatus::fenced, fence_errno_});
        return;
    }
    if (request.operation == BlockOperation::flush) {
        if (activity_ != Activity::active) {
            // Nothing was written by us, and what was recovered is durable.
            answer(operation, {});
            return;
        }
        flush_waiters_.push(operation);
        raise();
        return;
    }
    if (locks_.lock(operation)) start_change(operation);
}

/// Asks the loop for a call of run_ready().
void Volume::Engine::raise() {
    if (raised_) return;
    raised_ = true;
    if (options_.ready.raise != nullptr) options_.ready.raise(options_.ready.owner, volume_);
}

void Volume::Engine::answer(Operation& operation, const BlockOutcome& outcome) {
    operation.outcome = outcome;
    ready_.push(operation);
    raise();
}

void Volume::Engine::answer_all(OperationQueue& queue, const BlockOutcome& outcome) {
    OperationQueue all = queue.take_all();
    while (!all.empty()) {
        answer(all.pop(), outcome);
    }
}

bool Volume::Engine::run_ready() {
    raised_ = false;
    release_quarantine();
    OperationQueue runnable = runnable_.take_all();
    while (!runnable.empty()) {
        start_change(runnable.pop());
    }
    OperationQueue stepping = stepping_.take_all();
    while (!stepping.empty()) {
        deallocate_step(stepping.pop());
    }
    if (planted.answer_before_record) give_answers();
    record_pending();
    sort_recorded();
    start_commit();
    consider_checkpoint();
    reserve_ahead();
    zero_ahead();
    punch_spare();
    give_answers();
    consider_close();
    return raised_ || !ready_.empty() || !runnable_.empty() || !stepping_.empty();
}

void Volume::Engine::give_answers() {
    OperationQueue ready = ready_.take_all();
    while (!ready.empty()) {
        Operation& operation = ready.pop();
        BlockRequest& request = *operation.request;
        const BlockOutcome outcome = operation.outcome;
        count(operation);
        request.device_slot.state = nullptr;
        operations_.give_back(operation);
        --active_;
        request.done(request, outcome);
    }
}

void Volume::Engine::count(const Operation& operation) {
    if (operation.outcome.status != BlockStatus::good) {
        ++statistics_.failed;
        return;
    }
    switch (operation.request->operation) {
        case BlockOperation::read:
            ++statistics_.reads;
            statistics_.read_bytes += operation.length;
            break;
        case BlockOperation::write:
            ++statistics_.writes;
            statistics_.written_bytes += operation.length;
            break;
        case BlockOperation::deallocate:
            ++statistics_.deallocates;
            break;
        case BlockOperation::flush:
            ++statistics_.flushes;
            break;
    }
}

VolumeStatistics Volume::Engine::statistics() const {
    VolumeStatistics statistics = statistics_;
    statistics.quarantined_bytes = quarantine_.units() * unit_size;
    statistics.allocated_bytes = allocated_bytes();
    statistics.reserved_bytes = state_->allocator.free_units() * unit_size;
    statistics.generation = state_->superblock.generation;
    statistics.map_memory_bytes = state_->map.memory_bytes();
    statistics.fenced = fenced_;
    return statistics;
}

std::uint64_t Volume::Engine::allocated_bytes() const {
    return (state_->allocator.used_units() - quarantine_.units()) * unit_size;
}

std::optional<std::uint64_t> Volume::Engine::available_bytes() const {
    if (options_.space_max_bytes == no_space_limit) return std::nullopt;
    return options_.space_max_bytes - std::min(options_.space_max_bytes, allocated_bytes());
}

ProvisioningRun Volume::Engine::provisioning(Lba first, BlockCount wanted) const {
    const std::uint64_t block_size = state_->superblock.block_size;
    const ChainPiece piece = chain_.find(first.value * block_size, wanted.value * block_size);
    // A block that is partly there counts as there.
    const bool zeros = piece.source == ChainSource::zeros && piece.length >= block_size;
    return {BlockCount{std::max<std::uint64_t>(1, piece.length / block_size)},
            zeros ? Provisioning::deallocated : Provisioning::mapped};
}

void Volume::Engine::sync_live(FileOperation& io, void (*done)(FileOperation&, int)) {
    io = FileOperation{};
    io.kind = FileOperation::Kind::sync_data;
    io.owner = this;
    io.done = done;
    live_.submit(io);
}

}  // namespace cowtgt
