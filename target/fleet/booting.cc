#include <spdlog/spdlog.h>

#include <future>
#include <string>

#include "target/fleet/boot_cycle.h"
#include "target/fleet/fleet.h"

/// Ephemeral instances: the rules of boot_cycle.h, carried out before a login is answered.
namespace cowtgt::fleet {

namespace {

BootEvent event_of(net::LoginKind kind) {
    switch (kind) {
        case net::LoginKind::firmware:
            return BootEvent::firmware_login;
        case net::LoginKind::first:
            return BootEvent::first_login;
        case net::LoginKind::continued:
            return BootEvent::continued_login;
    }
    return BootEvent::continued_login;
}

}  // namespace

void Fleet::boot_login(net::RingWorker& ring, net::ConnectionId connection,
                       const std::string& instance, net::LoginKind kind) {
    executor_([this, &ring, connection, instance, kind] {
        iscsi::LoginStatus status = iscsi::LoginStatus::success;
        std::string reason;
        if (shutting_down_) {
            status = iscsi::LoginStatus::service_unavailable;
            reason = "cowtgtd stops just now";
        } else if (const Result<void> followed =
                       follow_boot(ring, connection, instance, event_of(kind));
                   !followed) {
            status = iscsi::LoginStatus::target_error;
            reason = "it cannot go back to its template: " + followed.error().message;
        }
        ring.post(
            [&ring, connection, status, reason] { ring.settle_login(connection, status, reason); });
    });
}

Result<void> Fleet::follow_boot(net::RingWorker& ring, net::ConnectionId connection,
                                const std::string& instance, BootEvent event) {
    const auto found = entries_.find(instance);
    if (found == entries_.end() || !found->second.machine.ephemeral) return {};
    const auto info = store_.find_instance(instance);
    if (!info) return info.error();
    const BootStep step = next_step(info->boot_phase, event);
    if (step.action == BootAction::keep) return store_.set_boot_phase(instance, step.next);
    // Whoever had a session is no more: its machine has just begun to boot.
    std::promise<void> promise;
    auto ended = promise.get_future();
    ring.post([&] {
        ring.end_other_sessions(instance, connection, [&promise] { promise.set_value(); });
    });
    ended.get();
    const Result<void> done =
        while_paused(instance, [&] { return store_.reset_for_boot(instance, step.next); });
    if (done)
        spdlog::info("reset for its boot instance={} template={}", instance, info->template_name);
    return done;
}

Result<void> Fleet::boot_script_asked(std::string_view name) {
    const auto found = entries_.find(name);
    if (found == entries_.end() || !found->second.machine.ephemeral) return {};
    const auto info = store_.find_instance(name);
    if (!info) return info.error();
    return store_.set_boot_phase(name, next_step(info->boot_phase, BootEvent::script_asked).next);
}

}  // namespace cowtgt::fleet
