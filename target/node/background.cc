#include "target/node/target_internal.h"

#include <algorithm>
#include <utility>

namespace cowtgt::node {

void Target::run_background() {
    Background& work = *background_;
    if (unit_.take_state_changed() && config_.keep) {
        config_.keep(unit_.state_to_keep(), [](const BlockOutcome&) {});
    }
    if (work.in_device || work.waits_for_memory || work.stopped) return;
    if (!unit_.has_background_work() || work.budget == 0) return;
    if (work.buffer.empty()) {
        work.buffer = buffers_.take(scsi::LogicalUnit::background_buffer_bytes);
    }
    if (work.buffer.empty()) {
        work.waits_for_memory = true;
        work.waiter = {scsi::LogicalUnit::background_buffer_bytes,
                       [](BufferPool::Waiter& waiter, MutableBytes granted) {
                           Target& target = *static_cast<Target*>(waiter.owner);
                           target.background_->waits_for_memory = false;
                           target.background_->buffer = granted;
                           target.run_background();
                       },
                       this};
        buffers_.wait(work.waiter);
        return;
    }
    const scsi::BlockStep step = unit_.next_background_step(work.buffer);
    work.request.operation = step.operation;
    work.request.force_unit_access = step.force_unit_access;
    work.request.first_block = step.first_block;
    work.request.block_count = step.block_count;
    work.request.data = {};
    if (step.operation == BlockOperation::write) {
        work.request.data =
            work.buffer.first(step.block_count.value * config_.logical_unit.geometry.block_size);
    }
    work.budget -= std::min<std::uint64_t>(work.budget, work.request.data.size());
    work.request.owner = this;
    work.request.done = [](BlockRequest& done, const BlockOutcome& outcome) {
        static_cast<Target*>(done.owner)->background_done(outcome);
    };
    work.in_device = true;
    device_.submit(work.request);
}

void Target::background_done(const BlockOutcome& outcome) {
    Background& work = *background_;
    work.in_device = false;
    // After stop_background_work the device may refuse because it closes, which is no failure.
    if (!work.stopped) unit_.background_done(outcome);
    if (unit_.has_background_work() && !work.stopped) {
        run_background();
        return;
    }
    run_background();
    buffers_.give_back(std::exchange(work.buffer, {}));
    const std::vector<Execution*> waiters = std::exchange(background_waiters_, {});
    for (Execution* execution : waiters) {
        resume(*execution,
               work.stopped ? BlockOutcome{BlockStatus::io_error, 0} : unit_.background_outcome());
    }
}

void Target::second_passed() {
    background_->budget = background_bytes_per_second;
    if (unit_.has_background_work()) run_background();
}

void Target::stop_background_work() {
    Background& work = *background_;
    work.stopped = true;
    if (work.waits_for_memory) buffers_.leave(work.waiter);
    work.waits_for_memory = false;
    const bool holds_buffer = !work.in_device && !work.buffer.empty();
    if (holds_buffer) buffers_.give_back(std::exchange(work.buffer, {}));
}

}  // namespace cowtgt::node
