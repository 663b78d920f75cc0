#include <spdlog/spdlog.h>

#include <cerrno>
#include <future>
#include <string>
#include <utility>

#include "target/fleet/fleet.h"

/// Instances that become independent of what lies below them, while they are served.
namespace cowtgt::fleet {

using control::FlattenProgress;

Result<void> Fleet::begin_flatten(std::string_view name, control::FlattenEnd end) {
    const auto found = entries_.find(name);
    if (found == entries_.end()) {
        return Error{ErrorCode::not_found, "there is no instance " + std::string(name)};
    }
    Entry& entry = found->second;
    if (auto opened = open(found->first, entry); !opened) return opened;
    entry.flattening = Entry::FlattenJob{{.state = FlattenProgress::State::running,
                                          .done_bytes = 0,
                                          .total_bytes = entry.size_bytes,
                                          .reason = ""},
                                         std::move(end)};
    entry.ring->post([this, ring = entry.ring, instance = found->first] {
        ring->begin_flatten(instance, [this, instance](const BlockOutcome& outcome) {
            executor_([this, instance, outcome] { flatten_ended(instance, outcome); });
        });
    });
    spdlog::info("flattening instance={}", name);
    return {};
}

bool Fleet::is_flattening(const Entry& entry) {
    return entry.flattening && entry.flattening->progress.state == FlattenProgress::State::running;
}

Result<void> Fleet::cancel_flatten(std::string_view name) {
    const auto found = entries_.find(name);
    if (found == entries_.end() || !is_flattening(found->second)) {
        return Error{ErrorCode::refused, std::string(name) + " is not being flattened"};
    }
    Entry& entry = found->second;
    entry.ring->post(
        [ring = entry.ring, instance = found->first] { ring->stop_flatten(instance); });
    entry.flattening->progress.state = FlattenProgress::State::cancelled;
    std::exchange(entry.flattening->end, {}).give_up();
    spdlog::info("flattening cancelled instance={}", name);
    return {};
}

std::optional<FlattenProgress> Fleet::flatten_progress(std::string_view name) const {
    const auto found = entries_.find(name);
    if (found == entries_.end() || !found->second.flattening) return std::nullopt;
    const Entry& entry = found->second;
    FlattenProgress progress = entry.flattening->progress;
    if (!is_flattening(entry)) return progress;
    std::promise<std::uint64_t> promise;
    auto position = promise.get_future();
    entry.ring->post([ring = entry.ring, &instance = found->first, &promise] {
        promise.set_value(ring->flatten_position(instance));
    });
    progress.total_bytes = entry.size_bytes;
    progress.done_bytes = position.get();
    return progress;
}

/// Nothing is read from below any more, or it has failed.
void Fleet::flatten_ended(const std::string& instance, const BlockOutcome& outcome) {
    const auto found = entries_.find(instance);
    if (shutting_down_ || found == entries_.end() || !is_flattening(found->second)) return;
    const control::FlattenEnd end = std::exchange(found->second.flattening->end, {});
    Result<void> done;
    if (outcome.status == BlockStatus::good) {
        done = while_paused(instance, end.finish);
    } else {
        done = system_error("cannot flatten " + instance,
                            outcome.os_errno == 0 ? EIO : outcome.os_errno);
    }
    FlattenProgress& progress = found->second.flattening->progress;
    progress.state = done ? FlattenProgress::State::done : FlattenProgress::State::failed;
    if (done) {
        progress.done_bytes = progress.total_bytes = found->second.size_bytes;
        spdlog::info("flattened instance={}", instance);
        // What it boots with lies elsewhere now.
        if (observer_ != nullptr) observer_->instance_served(instance, found->second.machine);
        return;
    }
    progress.reason = done.error().message;
    end.give_up();
    spdlog::error("flattening failed instance={} reason=\"{}\"", instance, progress.reason);
}

}  // namespace cowtgt::fleet
