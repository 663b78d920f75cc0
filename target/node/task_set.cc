#include "target/node/target_internal.h"

#include <algorithm>

namespace cowtgt::node {

// Task attributes, SAM-5 section 8.8.
//
// One task set for all nexuses. A dormant task has its memory and its Data-Out already: it never
// keeps a connection from delivering what an older task waits for.

/// HEAD OF QUEUE never waits; ORDERED waits for all older tasks; SIMPLE for the older ones of the
/// two other attributes.
bool Target::must_stay_dormant(const Execution& execution) const {
    const std::uint8_t attribute = execution.command.attribute;
    if (attribute == head_of_queue) return false;
    return std::any_of(executions_.begin(), executions_.end(), [&](const auto& other) {
        return other->in_task_set && other->sequence < execution.sequence &&
               (attribute == ordered || orders(other->command.attribute));
    });
}

/// Starts the task, or lets it wait for its turn.
void Target::enable(Execution& execution) {
    if (ordering_count_ != 0 && must_stay_dormant(execution)) {
        execution.stage = Execution::Stage::dormant;
        dormant_.push_back(&execution);
        return;
    }
    start(execution);
}

void Target::wake_dormant() {
    for (std::size_t i = 0; i < dormant_.size();) {
        Execution& execution = *dormant_[i];
        if (must_stay_dormant(execution)) {
            ++i;
            continue;
        }
        dormant_.erase(dormant_.begin() + static_cast<std::ptrdiff_t>(i));
        const Waker waker = execution.session->waker;
        start(execution);
        if (waker.wake != nullptr) waker.wake(waker.owner);
        i = 0;  // start() may have changed the list
    }
}

/// The task has ended as far as the order of others goes.
void Target::task_ended(Execution& execution) {
    if (!execution.in_task_set) return;
    execution.in_task_set = false;
    if (orders(execution.command.attribute)) --ordering_count_;
    if (!dormant_.empty()) wake_dormant();
}

}  // namespace cowtgt::node
