#include "target/node/target.h"

#include <algorithm>
#include <utility>

#include "cow-store/base/check.h"
#include "target/node/target_internal.h"

namespace cowtgt::node {

namespace {

constexpr std::uint32_t buffer_bytes_without_unit = 4096;

bool overlaps(Lba a, BlockCount a_count, Lba b, BlockCount b_count) {
    return a.value < b.value + b_count.value && b.value < a.value + a_count.value;
}

bool changes_blocks(BlockOperation operation) {
    return operation == BlockOperation::write || operation == BlockOperation::deallocate;
}

}  // namespace

Target::Target(Config config, BlockDevice& device, BufferPool& buffers)
    : config_(std::move(config)),
      device_(device),
      buffers_(buffers),
      unit_(config_.logical_unit, device),
      background_(std::make_unique<Background>()) {}

Target::~Target() {
    CHECK(is_idle());
}

// ---- sessions

Target::Reinstatement Target::reinstatement(const iscsi::LoginRequestInfo& info) const {
    Reinstatement result;
    const bool names_session = info.tsih != 0;
    bool found = false;
    for (const auto& session : sessions_) {
        const bool same =
            session->info.initiator_name == info.initiator_name && session->info.isid == info.isid;
        if (!same || session->connection == nullptr) continue;
        if (names_session && session->tsih != info.tsih) continue;
        if (names_session && session->info.cid != info.cid) {
            // A second connection of a session; we offer MaxConnections=1.
            result.status = iscsi::LoginStatus::too_many_connections;
            return result;
        }
        found = true;
        result.to_drop.push_back(session->connection);
    }
    if (names_session && !found) result.status = iscsi::LoginStatus::session_does_not_exist;
    return result;
}

void Target::when_drained(const iscsi::LoginRequestInfo& info, std::function<void()> drained) {
    const bool busy = std::any_of(sessions_.begin(), sessions_.end(), [&](const auto& session) {
        return session->info.initiator_name == info.initiator_name &&
               session->info.isid == info.isid;
    });
    if (!busy) {
        drained();
        return;
    }
    drains_.push_back({info.initiator_name, info.isid, std::move(drained)});
}

std::uint16_t Target::attach(iscsi::Connection& connection, Origin origin, Waker waker) {
    auto session = std::make_unique<Session>();
    session->connection = &connection;
    session->waker = waker;
    session->info = connection.login_info();
    session->origin = std::move(origin);
    session->tsih = session->info.tsih != 0 ? session->info.tsih : next_tsih();
    constexpr std::string_view digits = "0123456789abcdef";
    std::string port = session->info.initiator_name + ",i,0x";
    for (const std::uint8_t byte : session->info.isid) {
        port += digits[byte >> 4];
        port += digits[byte & 15];
    }
    session->nexus =
        unit_.add_nexus({std::move(port), config_.logical_unit.target_port_name, std::uint16_t{1}});
    sessions_.push_back(std::move(session));
    return sessions_.back()->tsih;
}

/// Nonzero and not in use.
std::uint16_t Target::next_tsih() {
    while (true) {
        ++last_tsih_;
        const bool taken =
            std::any_of(sessions_.begin(), sessions_.end(),
                        [&](const auto& session) { return session->tsih == last_tsih_; });
        if (last_tsih_ != 0 && !taken) return last_tsih_;
    }
}

Target::Session* Target::session_of(const iscsi::Connection& connection) {
    const auto found = std::find_if(sessions_.begin(), sessions_.end(), [&](const auto& session) {
        return session->connection == &connection;
    });
    return found == sessions_.end() ? nullptr : found->get();
}

void Target::detach(iscsi::Connection& connection) {
    Session* session = session_of(connection);
    if (session == nullptr) return;
    std::erase_if(functions_, [&](const auto& function) { return function->session == session; });
    session->connection = nullptr;
    session->waker = {};
    ++session->executions;  // keeps the session while its tasks end
    connection.transport_lost();
    if (--session->executions == 0) session_drained(*session);
}

void Target::session_drained(Session& session) {
    unit_.remove_nexus(session.nexus);
    const std::string name = session.info.initiator_name;
    const iscsi::Isid isid = session.info.isid;
    std::erase_if(sessions_, [&](const auto& each) { return each.get() == &session; });
    for (std::size_t i = 0; i < drains_.size();) {
        if (drains_[i].initiator_name != name || drains_[i].isid != isid) {
            ++i;
            continue;
        }
        const auto drained = std::move(drains_[i].drained);
        drains_.erase(drains_.begin() + static_cast<std::ptrdiff_t>(i));
        drained();
    }
}

std::vector<SessionFacts> Target::sessions() const {
    std::vector<SessionFacts> facts;
    for (const auto& session : sessions_) {
        if (session->connection == nullptr) continue;
        facts.push_back({session->info.initiator_name, session->info.initiator_alias,
                         session->info.isid, session->tsih, session->origin.peer,
                         session->origin.since, session->commands, session->origin.address,
                         session->info.cmd_sn != 0});
    }
    return facts;
}

std::size_t Target::session_count() const {
    return static_cast<std::size_t>(
        std::count_if(sessions_.begin(), sessions_.end(),
                      [](const auto& session) { return session->connection != nullptr; }));
}

bool Target::has_session(std::string_view initiator_name, const iscsi::Isid& isid) const {
    return std::any_of(sessions_.begin(), sessions_.end(), [&](const auto& session) {
        return session->connection != nullptr && session->info.initiator_name == initiator_name &&
               session->info.isid == isid;
    });
}

bool Target::is_at_rest() const {
    return sessions_.empty() && free_.size() == executions_.size();
}

bool Target::is_idle() const {
    return is_at_rest() && !background_->in_device;
}

bool Target::has_background_work() const {
    return background_->in_device || unit_.has_background_work();
}

void Target::capacity_changed() {
    unit_.capacity_changed();
}

void Target::luns_changed() {
    unit_.luns_changed();
}

bool Target::see_space(const scsi::SpaceLeft& pool, const std::optional<scsi::SpaceLeft>& quota) {
    return unit_.see_space(pool, quota);
}

void Target::reconfigure(const scsi::LogicalUnitConfig& config) {
    unit_.reconfigure(config);
    run_background();
}

// ---- commands

Target::Execution& Target::take_execution(Session& session, iscsi::ScsiTask& task) {
    if (free_.empty()) {
        executions_.push_back(std::make_unique<Execution>());
        free_.push_back(executions_.back().get());
    }
    Execution& execution = *free_.back();
    free_.pop_back();
    execution.target = this;
    execution.session = &session;
    execution.task = &task;
    execution.aborted = false;
    execution.sequence = ++last_sequence_;
    execution.in_task_set = true;
    if (orders(task.attribute)) ++ordering_count_;
    execution.admitted = {};
    execution.buffer = {};
    execution.wants_exclusive = execution.holds_exclusive = false;
    execution.command.cdb = task.cdb;
    execution.command.nexus = session.nexus;
    execution.command.attribute = task.attribute;
    execution.command.expected_data_out = task.write ? task.expected_data_transfer_length : 0;
    execution.command.buffer = {};
    execution.command.data_out_received = 0;
    execution.stage = Execution::Stage::wants_memory;
    task.owner_state = &execution;
    ++session.executions;
    ++session.commands;
    return execution;
}

void Target::command_received(iscsi::Connection& connection, iscsi::ScsiTask& task) {
    Session* session = session_of(connection);
    CHECK(session != nullptr);
    admit(take_execution(*session, task));
}

void Target::admit(Execution& execution) {
    if (!is_lun_0(execution.task->lun)) {
        execution.admitted.buffer_bytes = buffer_bytes_without_unit;
    } else {
        const scsi::Admission admission = unit_.admit(execution.command);
        if (const auto* refused = std::get_if<scsi::Done>(&admission)) {
            answer(execution, *refused);
            return;
        }
        execution.admitted = *std::get_if<scsi::Admitted>(&admission);
    }
    if (execution.admitted.buffer_bytes == 0) {
        memory_granted(execution, {});
        return;
    }
    const MutableBytes buffer = buffers_.take(execution.admitted.buffer_bytes);
    if (!buffer.empty()) {
        memory_granted(execution, buffer);
        return;
    }
    execution.waiter = {execution.admitted.buffer_bytes,
                        [](BufferPool::Waiter& waiter, MutableBytes granted) {
                            Execution& waiting = *static_cast<Execution*>(waiter.owner);
                            const Waker waker = waiting.session->waker;
                            waiting.target->memory_granted(waiting, granted);
                            if (waker.wake != nullptr) waker.wake(waker.owner);
                        },
                        &execution};
    buffers_.wait(execution.waiter);
}

void Target::memory_granted(Execution& execution, MutableBytes buffer) {
    execution.buffer = buffer;
    execution.command.buffer = buffer;
    const std::uint32_t wanted =
        std::min(execution.admitted.data_out_bytes, execution.command.expected_data_out);
    execution.command.data_out_received = wanted;
    if (execution.task->write && execution.command.expected_data_out != 0) {
        execution.stage = Execution::Stage::receiving;
        execution.session->connection->receive_data_out(*execution.task, buffer.first(wanted));
        if (wanted != 0) return;  // otherwise the connection drops what comes and says no more
    }
    enable(execution);
}

void Target::data_out_received(iscsi::Connection&, iscsi::ScsiTask& task) {
    Execution& execution = *static_cast<Execution*>(task.owner_state);
    CHECK(execution.stage == Execution::Stage::receiving);
    enable(execution);
}

void Target::start(Execution& execution) {
    if (!is_lun_0(execution.task->lun)) {
        answer(execution,
               scsi::answer_without_logical_unit(execution.task->cdb, execution.command.buffer));
        return;
    }
    run(execution, unit_.start(execution.command));
}

void Target::run(Execution& execution, const scsi::Step& step) {
    if (const auto* block = std::get_if<scsi::BlockStep>(&step)) {
        run_block_step(execution, *block);
    } else if (const auto* exclusive = std::get_if<scsi::ExclusiveStep>(&step)) {
        execution.exclusive = *exclusive;
        execution.wants_exclusive = true;
        ++exclusive_count_;
        execution.stage = Execution::Stage::blocked;
        blocked_.push_back(&execution);
        serve_blocked();
    } else if (std::holds_alternative<scsi::KeepStep>(step)) {
        keep_state(execution);
    } else if (std::holds_alternative<scsi::AbortStep>(step)) {
        abort_preempted(execution);
    } else if (std::holds_alternative<scsi::BackgroundStep>(step)) {
        execution.stage = Execution::Stage::waiting;
        background_waiters_.push_back(&execution);
    } else {
        answer(execution, *std::get_if<scsi::Done>(&step));
    }
    if (unit_.has_background_work()) run_background();
}

void Target::run_block_step(Execution& execution, const scsi::BlockStep& step) {
    BlockRequest& request = execution.request;
    request.operation = step.operation;
    request.force_unit_access = step.force_unit_access;
    request.first_block = step.first_block;
    request.block_count = step.block_count;
    const bool has_data =
        step.operation == BlockOperation::read || step.operation == BlockOperation::write;
    const std::uint64_t bytes = step.block_count.value * config_.logical_unit.geometry.block_size;
    request.data =
        has_data ? execution.command.buffer.subspan(step.buffer_offset, bytes) : MutableBytes{};
    request.lent = {};
    request.may_be_lent = step.is_answer && execution.session->connection != nullptr &&
                          execution.session->connection->can_send_lent_bytes();
    request.owner = &execution;
    request.done = [](BlockRequest& done, const BlockOutcome& outcome) {
        Execution& waiting = *static_cast<Execution*>(done.owner);
        waiting.target->request_done(waiting, outcome);
    };
    if (exclusive_count_ != 0 && must_wait(execution)) {
        execution.stage = Execution::Stage::blocked;
        blocked_.push_back(&execution);
        return;
    }
    submit(execution);
}

void Target::submit(Execution& execution) {
    execution.stage = Execution::Stage::in_device;
    device_.submit(execution.request);
}

/// Whether somebody who came first stands in the way: for a writer, an exclusive range; for one
/// who wants a range to itself, also writes in the device.
bool Target::must_wait(const Execution& execution) const {
    const bool wants_range = execution.wants_exclusive && !execution.holds_exclusive;
    const Lba first = wants_range ? execution.exclusive.first_block : execution.request.first_block;
    const BlockCount count =
        wants_range ? execution.exclusive.block_count : execution.request.block_count;
    if (!wants_range && !changes_blocks(execution.request.operation)) return false;
    return std::any_of(executions_.begin(), executions_.end(), [&](const auto& other) {
        if (other.get() == &execution || other->stage == Execution::Stage::free) return false;
        if (other->holds_exclusive &&
            overlaps(first, count, other->exclusive.first_block, other->exclusive.block_count)) {
            return true;
        }
        return wants_range && other->stage == Execution::Stage::in_device &&
               changes_blocks(other->request.operation) &&
               overlaps(first, count, other->request.first_block, other->request.block_count);
    });
}

void Target::serve_blocked() {
    for (std::size_t i = 0; i < blocked_.size();) {
        Execution& execution = *blocked_[i];
        if (must_wait(execution)) {
            ++i;
            continue;
        }
        blocked_.erase(blocked_.begin() + static_cast<std::ptrdiff_t>(i));
        if (execution.wants_exclusive && !execution.holds_exclusive) {
            execution.holds_exclusive = true;
            run(execution, unit_.resume(execution.command, BlockOutcome{}));
            i = 0;  // run() may have changed the list
        } else {
            submit(execution);
        }
    }
}

void Target::release_range(Execution& execution) {
    if (!execution.wants_exclusive) return;
    execution.wants_exclusive = execution.holds_exclusive = false;
    --exclusive_count_;
    serve_blocked();
}

void Target::request_done(Execution& execution, const BlockOutcome& outcome) {
    const Waker waker = execution.session->waker;
    if (execution.task == nullptr || execution.aborted) {
        drop_unanswered(execution);
    } else {
        execution.stage = Execution::Stage::running;
        run(execution, unit_.resume(execution.command, outcome));
    }
    if (!blocked_.empty()) serve_blocked();
    if (waker.wake != nullptr) waker.wake(waker.owner);
}

void Target::answer(Execution& execution, const scsi::Done& done) {
    execution.stage = Execution::Stage::answered;
    iscsi::ScsiResponse response;
    response.status = done.status;
    response.sense = std::as_bytes(std::span(done.sense).first(done.sense_length));
    response.data_in =
        Bytes(execution.command.buffer).subspan(done.data_in_offset, done.data_in_length);
    response.lent_data_in = std::exchange(execution.request.lent, {});
    response.data_in_length = done.data_in_total;
    response.data_out_length = done.data_out_total;
    execution.session->connection->complete(*execution.task, response);
    release_range(execution);
    task_ended(execution);
}

void Target::task_finished(iscsi::Connection&, iscsi::ScsiTask& task) {
    Execution& execution = *static_cast<Execution*>(task.owner_state);
    execution.task = nullptr;
    switch (execution.stage) {
        case Execution::Stage::in_device:  // request_done ends it
        case Execution::Stage::keeping:    // state_kept does
            return;
        case Execution::Stage::wants_memory:
            buffers_.leave(execution.waiter);
            break;
        case Execution::Stage::dormant:
        case Execution::Stage::blocked:
        case Execution::Stage::aborting:
        case Execution::Stage::waiting:
            forget_waiting(execution);
            break;
        case Execution::Stage::free:
        case Execution::Stage::receiving:
        case Execution::Stage::running:
        case Execution::Stage::answered:
            break;
    }
    retire(execution);
}

/// Takes it off the lists of those who wait for something else than the device.
void Target::forget_waiting(Execution& execution) {
    std::erase(dormant_, &execution);
    std::erase(blocked_, &execution);
    std::erase(background_waiters_, &execution);
    std::erase_if(functions_,
                  [&](const auto& function) { return function->command == &execution; });
}

/// Ends an execution whose answer nobody wants.
void Target::drop_unanswered(Execution& execution) {
    execution.stage = Execution::Stage::answered;
    if (execution.task == nullptr) {
        retire(execution);
        return;
    }
    execution.task->aborted = true;
    execution.session->connection->complete(*execution.task, {});
}

void Target::retire(Execution& execution) {
    Session& session = *execution.session;
    const MutableBytes buffer = execution.buffer;
    execution.buffer = {};
    execution.stage = Execution::Stage::free;
    free_.push_back(&execution);
    release_range(execution);
    task_ended(execution);
    for (const auto& function : functions_) {
        std::erase(function->waits_for, &execution);
    }
    while (true) {
        const auto ended =
            std::find_if(functions_.begin(), functions_.end(),
                         [](const auto& function) { return function->waits_for.empty(); });
        if (ended == functions_.end()) break;
        const std::unique_ptr<PendingFunction> function = std::move(*ended);
        functions_.erase(ended);
        finish_function(*function);
    }
    --session.executions;
    if (session.executions == 0 && session.logout_wanted && session.connection != nullptr) {
        session.logout_wanted = false;
        session.connection->answer_logout();
        session.waker.wake(session.waker.owner);
    }
    if (session.executions == 0 && session.connection == nullptr) session_drained(session);
    if (!buffer.empty()) buffers_.give_back(buffer);
}

void Target::logout_received(iscsi::Connection& connection) {
    Session* session = session_of(connection);
    CHECK(session != nullptr);
    if (session->executions == 0) {
        connection.answer_logout();
    } else {
        session->logout_wanted = true;
    }
}

/// Goes on with a command that waited for something else than the device.
void Target::resume(Execution& execution, const BlockOutcome& outcome) {
    const Waker waker = execution.session->waker;
    execution.stage = Execution::Stage::running;
    run(execution, unit_.resume(execution.command, outcome));
    if (waker.wake != nullptr) waker.wake(waker.owner);
}

/// Nobody may forget the execution before the store has answered; like a request in the device.
void Target::keep_state(Execution& execution) {
    execution.stage = Execution::Stage::keeping;
    (void)unit_.take_state_changed();
    config_.keep(unit_.state_to_keep(), [this, &execution](const BlockOutcome& outcome) {
        state_kept(execution, outcome);
    });
}

void Target::state_kept(Execution& execution, const BlockOutcome& outcome) {
    if (execution.task == nullptr || execution.aborted) {
        drop_unanswered(execution);
    } else {
        resume(execution, outcome);
    }
}

}  // namespace cowtgt::node
