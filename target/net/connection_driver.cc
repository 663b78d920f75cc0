#include "target/net/connection_driver.h"

#include <spdlog/spdlog.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstring>
#include <utility>

#include "target/node/portals.h"

namespace cowtgt::net {

namespace {

/// A volume closes in seconds, and opens again at the next login.
constexpr const char* target_closing = "the target closes just now";

/// "10.0.0.7" of "10.0.0.7:51234"
std::string_view without_port(std::string_view peer) {
    return peer.substr(0, peer.rfind(':'));
}

LoginKind kind_of(const iscsi::LoginRequestInfo& info) {
    if (iscsi::is_ipxe(info.isid)) return LoginKind::firmware;
    return info.cmd_sn == 0 ? LoginKind::first : LoginKind::continued;
}

void random_bytes(MutableBytes into) {
    while (!into.empty()) {
        const ssize_t got = getrandom(into.data(), into.size(), 0);
        CHECK(got > 0 || errno == EINTR);
        if (got > 0) into = into.subspan(static_cast<std::size_t>(got));
    }
}

std::int64_t seconds_since_1970() {
    using namespace std::chrono;
    return duration_cast<seconds>(system_clock::now().time_since_epoch()).count();
}

}  // namespace

ConnectionDriver::ConnectionDriver(RingWorker& worker, ConnectionId id, int socket)
    : worker_(&worker),
      id_(id),
      socket_(socket),
      peer_(peer_address(socket)),
      peer_ip_(peer_ip(socket)),
      portal_(own_address(socket)),
      connection_(*this, worker.options().connection, random_bytes),
      began_(worker.now_seconds()),
      last_activity_(worker.now_seconds()) {
    receive_ = {[](ring::Completion& completion, const ring::Completion::Outcome& outcome) {
                    static_cast<ConnectionDriver*>(completion.owner)->received(outcome);
                },
                this};
    send_ = {[](ring::Completion& completion, const ring::Completion::Outcome& outcome) {
                 static_cast<ConnectionDriver*>(completion.owner)->was_sent(outcome);
             },
             this};
    writable_ = {[](ring::Completion& completion, const ring::Completion::Outcome& outcome) {
                     static_cast<ConnectionDriver*>(completion.owner)->became_writable(outcome);
                 },
                 this};
    pump_.run = [](ring::Deferred& deferred) {
        static_cast<ConnectionDriver*>(deferred.owner)->pump();
    };
    pump_.owner = this;
}

ConnectionDriver::~ConnectionDriver() {
    if (session_told_) worker_->broker().session_ended(instance_, facts());
    if (target_ != nullptr) target_->detach(connection_);
    close(socket_);
}

void ConnectionDriver::start() {
    wake();
}

void ConnectionDriver::move_to(RingWorker& worker, ConnectionId id) {
    CHECK(is_movable());
    worker_ = &worker;
    id_ = id;
    began_ = last_activity_ = worker.now_seconds();
}

void ConnectionDriver::wake() {
    worker_->ring().defer(pump_, ring::Ring::Order::late);
}

void ConnectionDriver::pump() {
    if (dropped_) {
        if (!receiving_ && !sending_) worker_->remove(*this);
        return;
    }
    const bool has_input = !backlog_.empty() || connection_.has_held_input();
    if (has_input && !closing_ && connection_.takes_input()) {
        const std::vector<std::byte> input = std::move(backlog_);
        backlog_.clear();
        feed(input);
    }
    if (!sending_ && connection_.has_output()) start_send();
    if (closing_ && !lingering_ && !sending_ && !connection_.has_output()) {
        // The answer must reach the peer although input of it may lie unread, which would turn
        // close() into a reset.
        lingering_ = true;
        linger_until_ = worker_->now_seconds() + linger_seconds;
        shutdown(socket_, SHUT_WR);
        if (std::exchange(asked_for_logout_, false)) worker_->tell_when_drained();
    }
    if (!receiving_ &&
        (lingering_ || (!closing_ && backlog_.empty() && connection_.takes_input()))) {
        start_receive();
    }
}

void ConnectionDriver::start_receive() {
    receiving_ = true;
    const MutableBytes window = closing_ ? MutableBytes{} : connection_.direct_receive_window();
    receiving_directly_ = window.size() >= direct_bytes_min;
    if (receiving_directly_) {
        worker_->ring().receive(socket_, window, receive_);
    } else {
        worker_->ring().receive_provided(socket_, receive_);
    }
}

void ConnectionDriver::received(const ring::Completion::Outcome& outcome) {
    receiving_ = false;
    if (outcome.result > 0) {
        last_activity_ = worker_->now_seconds();
        if (receiving_directly_) {
            if (!dropped_) connection_.received_directly(static_cast<std::size_t>(outcome.result));
        } else {
            if (!dropped_ && !closing_) feed(worker_->ring().provided_bytes(outcome));
            worker_->ring().recycle(outcome);
        }
    } else {
        worker_->ring().recycle(outcome);
        // No free buffer: others of this turn have them, and give them back before the next one.
        if (outcome.result != -ENOBUFS && outcome.result != -EINTR && !dropped_) {
            drop(lingering_ || outcome.result == 0 ? "closed by the initiator"
                                                   : std::strerror(-outcome.result));
        }
    }
    wake();
}

void ConnectionDriver::feed(Bytes bytes) {
    const std::size_t taken = connection_.receive(bytes);
    const Bytes rest = bytes.subspan(taken);
    backlog_.insert(backlog_.end(), rest.begin(), rest.end());
}

void ConnectionDriver::ask_for_logout(std::uint16_t seconds) {
    if (target_ == nullptr || dropped_ || closing_ || !connection_.in_full_feature_phase() ||
        iscsi::is_ipxe(connection_.login_info().isid)) {
        return;
    }
    asked_for_logout_ = true;
    connection_.send_async_message(iscsi::async_event_logout_request, 0, 0, seconds, {});
    wake();
}

void ConnectionDriver::drop(std::string_view reason) {
    if (dropped_) return;
    dropped_ = true;
    if (!closing_) log_end(spdlog::level::info, "connection ended", reason);  // else it is said
    shutdown(socket_, SHUT_RDWR);  // ends what is in the kernel
    wake();
}

void ConnectionDriver::tick() {
    const std::uint64_t now = worker_->now_seconds();
    const WorkerLimits& limits = worker_->options().limits;
    if (dropped_) return;
    if (lingering_) {
        if (now >= linger_until_) drop("closed");
        return;
    }
    if (!connection_.in_full_feature_phase()) {
        if (now - began_ > limits.login_seconds_max && !awaiting_target_) {
            drop("the login was not finished in time");
        }
        return;
    }
    if (iscsi::is_ipxe(connection_.login_info().isid)) return;  // it ignores pings
    if (ping_sent_ != 0) {
        if (last_activity_ > ping_sent_) {
            ping_sent_ = 0;
        } else if (now - ping_sent_ > limits.ping_seconds_max) {
            drop("no answer to a ping");
        }
    } else if (now - last_activity_ >= limits.ping_after_seconds) {
        ping_sent_ = now;
        connection_.send_ping();
        wake();
    }
}

// ---- login

void ConnectionDriver::login_requested(iscsi::Connection&, const iscsi::LoginRequestInfo& info) {
    if (worker_->refuses_logins()) {
        refuse(iscsi::LoginStatus::service_unavailable, "cowtgtd starts or stops just now");
        return;
    }
    if (is_one_too_many()) return;
    const node::Catalogue& catalogue = worker_->catalogue();
    if (info.session_type == iscsi::SessionType::discovery) {
        iscsi::LoginDecision decision;
        decision.chap = catalogue.discovery_chap();
        connection_.decide_login(decision);
        return;
    }
    const node::Catalogue::Found found = catalogue.find(info.target_name);
    if (found.entry == nullptr) {
        refuse(iscsi::LoginStatus::target_not_found,
               "no such target; cowtgt ls shows what there is");
        return;
    }
    const node::Refusal refusal = node::Catalogue::refusal(found, {info.initiator_name, peer_ip_});
    if (refusal != node::Refusal::none) {
        refuse_by(found, refusal);
        return;
    }
    awaiting_target_ = true;
    chap_ = found.entry->chap;
    worker_->broker().target_wanted(*worker_, id_, found.entry->instance);
}

bool ConnectionDriver::is_one_too_many() {
    const std::uint32_t limit = worker_->options().limits.connections_max;
    if (worker_->connection_count() <= limit) return false;
    refuse(iscsi::LoginStatus::out_of_resources,
           std::to_string(limit) + " connections are the limit");
    return true;
}

void ConnectionDriver::refuse_by(const node::Catalogue::Found& found, node::Refusal refusal) {
    std::string reason = refusal == node::Refusal::address
                             ? "this target does not admit the address; see from= of " +
                                   found.entry->instance + " in machines.toml"
                             : "this target admits " + found.entry->admitted_initiator +
                                   " only; set that initiator name on the machine";
    refuse(iscsi::LoginStatus::authorization_failure, std::move(reason));
}

void ConnectionDriver::refuse(iscsi::LoginStatus status, std::string reason) {
    awaiting_target_ = false;
    refusal_reason_ = std::move(reason);
    iscsi::LoginDecision decision;
    decision.status = status;
    connection_.decide_login(decision);
    wake();
}

void ConnectionDriver::target_ready(const std::string& instance) {
    awaiting_target_ = false;
    instance_ = instance;
    if (worker_->find_target(instance) == nullptr) {
        refuse(iscsi::LoginStatus::service_unavailable, target_closing);  // it will try again
        return;
    }
    if (is_one_too_many()) return;
    iscsi::LoginDecision decision;
    decision.target_alias = instance;
    decision.chap = std::exchange(chap_, std::nullopt);
    connection_.decide_login(decision);
    wake();
}

void ConnectionDriver::refuse_session(iscsi::LoginStatus status, std::string reason) {
    refusal_reason_ = std::move(reason);
    connection_.finish_login(status, 0);
    wake();
}

void ConnectionDriver::session_wanted(iscsi::Connection&, const iscsi::LoginRequestInfo& info) {
    if (info.session_type == iscsi::SessionType::discovery) {
        connection_.finish_login(iscsi::LoginStatus::success, 1);
        return;
    }
    const node::CatalogueEntry* entry = worker_->catalogue().of_instance(instance_);
    if (entry == nullptr || !entry->ephemeral) {
        join_session(info);
        return;
    }
    awaiting_target_ = true;
    worker_->broker().boot_login(*worker_, id_, instance_, kind_of(info));
}

void ConnectionDriver::settle_login(iscsi::LoginStatus status, std::string reason) {
    awaiting_target_ = false;
    if (dropped_) return;
    if (status == iscsi::LoginStatus::success) {
        join_session(connection_.login_info());
    } else {
        refuse_session(status, std::move(reason));
    }
    wake();
}

void ConnectionDriver::join_session(const iscsi::LoginRequestInfo& info) {
    node::Target* target = worker_->find_target(instance_);
    if (target == nullptr) {
        refuse_session(iscsi::LoginStatus::service_unavailable, target_closing);
        return;
    }
    if (is_kept_out(info)) return;
    const node::Target::Reinstatement reinstatement = target->reinstatement(info);
    if (reinstatement.status != iscsi::LoginStatus::success) {
        refuse_session(reinstatement.status,
                       reinstatement.status == iscsi::LoginStatus::session_does_not_exist
                           ? "its TSIH is of no session"
                           : "a session has one connection");
        return;
    }
    const std::size_t sessions_max = worker_->options().limits.sessions_per_target_max;
    if (target->session_count() - reinstatement.to_drop.size() >= sessions_max) {
        refuse_session(iscsi::LoginStatus::out_of_resources,
                       std::to_string(sessions_max) + " sessions of one target are the limit");
        return;
    }
    for (iscsi::Connection* old : reinstatement.to_drop) {
        worker_->find(*old)->drop("the initiator logged in again (session reinstatement)");
    }
    RingWorker* worker = worker_;
    target->when_drained(info, [worker, id = id_] {
        // The connection may be gone by now; its id is not used again.
        worker->post([worker, id] {
            if (ConnectionDriver* driver = worker->find(id); driver != nullptr) {
                driver->finish_attach();
            }
        });
    });
}

/// One machine at a time: see NameHolders. The status lets the initiator try again.
bool ConnectionDriver::is_kept_out(const iscsi::LoginRequestInfo& info) {
    const node::NameHolders* holders = worker_->find_name_holders(instance_);
    if (holders == nullptr) return false;
    const std::string holder(holders->held_against(info, without_port(peer_)));
    if (holder.empty()) return false;
    refuse_session(iscsi::LoginStatus::service_unavailable,
                   "another machine, at " + holder + ", has booted with this initiator name");
    worker_->broker().name_is_shared(instance_, facts(), holder);
    return true;
}

void ConnectionDriver::finish_attach() {
    node::Target* target = worker_->find_target(instance_);
    if (dropped_) {
        wake();
        return;
    }
    if (target == nullptr) {
        refuse_session(iscsi::LoginStatus::service_unavailable, target_closing);
        return;
    }
    target_ = target;
    session_since_ = seconds_since_1970();
    tsih_ =
        target->attach(connection_, {peer_, session_since_, peer_ip_},
                       {[](void* owner) { static_cast<ConnectionDriver*>(owner)->wake(); }, this});
    connection_.finish_login(iscsi::LoginStatus::success, tsih_);
    wake();
}

void ConnectionDriver::session_started(iscsi::Connection&) {
    const iscsi::LoginRequestInfo& info = connection_.login_info();
    if (info.session_type == iscsi::SessionType::discovery) return;
    spdlog::info("login peer={} initiator={} target={} ring={}{}", peer_, info.initiator_name,
                 info.target_name, worker_->index(),
                 iscsi::is_ipxe(info.isid) ? " firmware=iPXE" : "");
    if (node::NameHolders* holders = worker_->find_name_holders(instance_); holders != nullptr) {
        holders->take(info, without_port(peer_));
    }
    session_told_ = true;
    worker_->broker().session_began(instance_, facts());
}

node::SessionFacts ConnectionDriver::facts() const {
    const iscsi::LoginRequestInfo& info = connection_.login_info();
    node::SessionFacts facts;
    facts.initiator_name = info.initiator_name;
    facts.initiator_alias = info.initiator_alias;
    facts.isid = info.isid;
    facts.tsih = tsih_;
    facts.peer = peer_;
    facts.since = session_since_;
    facts.address = peer_ip_;
    facts.goes_on = info.cmd_sn != 0;
    return facts;
}

// ---- full feature phase

void ConnectionDriver::scsi_command_received(iscsi::Connection&, iscsi::ScsiTask& task) {
    target_->command_received(connection_, task);
}

void ConnectionDriver::data_out_received(iscsi::Connection&, iscsi::ScsiTask& task) {
    target_->data_out_received(connection_, task);
}

void ConnectionDriver::task_finished(iscsi::Connection&, iscsi::ScsiTask& task) {
    target_->task_finished(connection_, task);
}

void ConnectionDriver::task_management_received(iscsi::Connection&,
                                                const iscsi::TaskManagementRequest& request) {
    target_->task_management_received(connection_, request);
}

std::vector<iscsi::TargetRecord> ConnectionDriver::targets_wanted(iscsi::Connection&,
                                                                  std::string_view name) {
    const std::vector<std::string> addresses =
        node::target_addresses(portal_, worker_->options().portals);
    std::vector<iscsi::TargetRecord> records;
    const node::Catalogue& catalogue = worker_->catalogue();
    const node::Initiator initiator{connection_.login_info().initiator_name, peer_ip_};
    if (!name.empty()) {
        const node::Catalogue::Found found = catalogue.find(name);
        if (found.entry != nullptr && catalogue.shows(found, initiator)) {
            records.push_back({std::string(name), addresses});
        }
        return records;
    }
    for (const node::CatalogueEntry* entry : catalogue.visible_to(initiator)) {
        records.push_back({entry->target_name, addresses});
    }
    return records;
}

void ConnectionDriver::logout_received(iscsi::Connection&, std::uint8_t) {
    if (target_ == nullptr) {
        connection_.answer_logout();
    } else {
        target_->logout_received(connection_);
    }
}

void ConnectionDriver::ping_answered(iscsi::Connection&) {
    ping_sent_ = 0;
}

/// Each connection has one such line.
void ConnectionDriver::log_end(spdlog::level::level_enum level, std::string_view what,
                               std::string_view reason) {
    const iscsi::LoginRequestInfo& info = connection_.login_info();
    spdlog::log(level, "{} peer={} initiator={} target={} reason=\"{}\"", what, peer_,
                info.initiator_name, info.target_name, reason);
}

void ConnectionDriver::close_wanted(iscsi::Connection&, const iscsi::CloseReason& reason) {
    closing_ = true;
    switch (reason.kind) {
        case iscsi::CloseReason::Kind::login_refused: {
            const iscsi::LoginRequestInfo& info = connection_.login_info();
            spdlog::warn("login refused peer={} initiator={} target={} status={:04x} reason=\"{}\"",
                         peer_, info.initiator_name, info.target_name,
                         static_cast<unsigned>(reason.login_status),
                         refusal_reason_.empty() ? reason.text : refusal_reason_);
            break;
        }
        case iscsi::CloseReason::Kind::logout:
            log_end(spdlog::level::info, "connection ended", reason.text);
            break;
        case iscsi::CloseReason::Kind::protocol_error:
        case iscsi::CloseReason::Kind::digest_error:
            log_end(spdlog::level::warn, "connection ended", reason.text);
            break;
    }
    wake();
}

}  // namespace cowtgt::net
