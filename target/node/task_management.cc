#include "target/node/target_internal.h"

#include <algorithm>
#include <utility>

#include "cow-store/base/check.h"

namespace cowtgt::node {

// Task management, SAM-5 section 7.

std::vector<Target::Execution*> Target::executions_to_abort(
    const iscsi::TaskManagementRequest& request, const Session& issuer) {
    std::vector<Execution*> chosen;
    for (const auto& execution : executions_) {
        const auto stage = execution->stage;
        if (stage == Execution::Stage::free || stage == Execution::Stage::answered) continue;
        const bool own = execution->session == &issuer;
        const bool same_unit =
            execution->task == nullptr || is_lun_0(execution->task->lun) == is_lun_0(request.lun);
        switch (request.function) {
            case iscsi::TaskFunction::abort_task:
                if (own && execution->task == request.referenced_task) break;
                continue;
            case iscsi::TaskFunction::abort_task_set:
                if (own && same_unit) break;
                continue;
            case iscsi::TaskFunction::clear_task_set:
            case iscsi::TaskFunction::logical_unit_reset:
                if (same_unit) break;
                continue;
            default:
                break;  // target resets: every task
        }
        chosen.push_back(execution.get());
    }
    return chosen;
}

void Target::task_management_received(iscsi::Connection& connection,
                                      const iscsi::TaskManagementRequest& request) {
    using Response = iscsi::TaskFunctionResponse;
    Session* session = session_of(connection);
    CHECK(session != nullptr);
    switch (request.function) {
        case iscsi::TaskFunction::task_reassign:
            connection.answer_task_management(request, Response::reassign_not_supported);
            return;
        case iscsi::TaskFunction::clear_aca:
            connection.answer_task_management(request, Response::not_supported);
            return;
        case iscsi::TaskFunction::abort_task: {
            const bool there =
                request.referenced_task != nullptr &&
                static_cast<Execution*>(request.referenced_task->owner_state)->stage !=
                    Execution::Stage::answered;
            if (!there) {
                connection.answer_task_management(request, Response::task_does_not_exist);
                return;
            }
            break;
        }
        case iscsi::TaskFunction::target_warm_reset:
        case iscsi::TaskFunction::target_cold_reset:
            break;
        default:
            if (!is_lun_0(request.lun)) {
                connection.answer_task_management(request, Response::lun_does_not_exist);
                return;
            }
    }
    auto function = std::make_unique<PendingFunction>();
    function->session = session;
    function->request = request;
    function->request.referenced_task = nullptr;
    function->waits_for = executions_to_abort(request, *session);
    const std::vector<Execution*> aborting = function->waits_for;
    if (aborting.empty()) {
        finish_function(*function);
        return;
    }
    functions_.push_back(std::move(function));
    for (Execution* execution : aborting) {
        abort(*execution);
    }
}

void Target::abort(Execution& execution) {
    execution.aborted = true;
    if (execution.task != nullptr) execution.task->aborted = true;
    switch (execution.stage) {
        case Execution::Stage::wants_memory:
            buffers_.leave(execution.waiter);
            drop_unanswered(execution);
            return;
        case Execution::Stage::dormant:
        case Execution::Stage::blocked:
        case Execution::Stage::aborting:
        case Execution::Stage::waiting:
            forget_waiting(execution);
            drop_unanswered(execution);
            return;
        case Execution::Stage::receiving:
            drop_unanswered(execution);
            return;
        case Execution::Stage::in_device:  // request_done ends it
        case Execution::Stage::keeping:    // state_kept does
        case Execution::Stage::running:
        case Execution::Stage::answered:
        case Execution::Stage::free:
            return;
    }
}

void Target::finish_function(const PendingFunction& function) {
    if (function.command != nullptr) {
        resume(*function.command, {});
        return;
    }
    Session& session = *function.session;
    switch (function.request.function) {
        case iscsi::TaskFunction::clear_task_set:
            unit_.commands_cleared(session.nexus);
            break;
        case iscsi::TaskFunction::logical_unit_reset:
        case iscsi::TaskFunction::target_warm_reset:
        case iscsi::TaskFunction::target_cold_reset:
            apply_reset(function.request.function, session);
            break;
        default:
            break;
    }
    if (session.connection == nullptr) return;
    session.connection->answer_task_management(function.request,
                                               iscsi::TaskFunctionResponse::complete);
    session.waker.wake(session.waker.owner);
}

void Target::apply_reset(iscsi::TaskFunction function, const Session& issuer) {
    const scsi::ResetKind kind =
        function == iscsi::TaskFunction::logical_unit_reset  ? scsi::ResetKind::logical_unit
        : function == iscsi::TaskFunction::target_warm_reset ? scsi::ResetKind::target_warm
                                                             : scsi::ResetKind::target_cold;
    unit_.reset(kind, issuer.nexus);
}

/// PREEMPT AND ABORT ends the tasks of the nexuses that lost their registration.
void Target::abort_preempted(Execution& execution) {
    const std::vector<scsi::NexusId> nexuses = unit_.take_preempted();
    auto function = std::make_unique<PendingFunction>();
    function->session = execution.session;
    function->command = &execution;
    execution.stage = Execution::Stage::aborting;
    for (const auto& other : executions_) {
        const auto stage = other->stage;
        if (stage == Execution::Stage::free || stage == Execution::Stage::answered) continue;
        const bool preempted =
            std::find(nexuses.begin(), nexuses.end(), other->session->nexus) != nexuses.end();
        if (preempted && other.get() != &execution) function->waits_for.push_back(other.get());
    }
    const std::vector<Execution*> aborting = function->waits_for;
    if (aborting.empty()) {
        resume(execution, {});
        return;
    }
    functions_.push_back(std::move(function));
    for (Execution* victim : aborting) {
        abort(*victim);
    }
}

}  // namespace cowtgt::node
