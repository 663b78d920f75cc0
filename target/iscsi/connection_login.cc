#include "cow-store/base/check.h"
#include "target/iscsi/connection_internal.h"

/// The login phase of a connection: what Login decides, told to the owner and to the initiator.
namespace cowtgt::iscsi {

void Connection::State::receive_login_request() {
    const auto request = reader_.header_as<LoginRequest>();
    if (state_ == ConnectionState::xpt_up) {
        enter(ConnectionEvent::login_received);
        // Section 11.12.8: the first command has the number of the Login Request, whatever it is.
        numbering_.start({request.cmd_sn.get()});
    }
    perform(login_->receive(request, segment_));
}

void Connection::State::perform(LoginStep step) {
    if (const auto* answer = std::get_if<LoginAnswer>(&step)) {
        send_login_response(*answer, LoginStatus::success, 0);
    } else if (std::holds_alternative<LoginNeedsDecision>(step)) {
        waits_for_owner_ = true;
        owner_->login_requested(self_, login_->info());
    } else if (std::holds_alternative<LoginNeedsSession>(step)) {
        waits_for_owner_ = true;
        owner_->session_wanted(self_, login_->info());
    } else if (const auto* refused = std::get_if<LoginRefused>(&step)) {
        refuse_login(refused->status, refused->reason);
    }
}

void Connection::State::send_login_response(const LoginAnswer& answer, LoginStatus status,
                                            std::uint16_t tsih) {
    const auto request = reader_.header_as<LoginRequest>();
    LoginResponse pdu{};
    pdu.opcode = opcode::login_response;
    pdu.flags = answer.flags;
    pdu.isid = request.isid;
    pdu.tsih = tsih;
    pdu.initiator_task_tag = request.initiator_task_tag;
    pdu.status = static_cast<std::uint16_t>(status);
    const Bytes text = bytes_of(answer.text);
    output_.push(pdu, {text.begin(), text.end()}, StatSnUse::uses_up);
}

void Connection::State::refuse_login(LoginStatus status, const std::string& reason) {
    send_login_response({}, status, 0);
    enter(ConnectionEvent::login_failed);
    close({CloseReason::Kind::login_refused, reason, status});
}

void Connection::State::finish_login(LoginStatus status, std::uint16_t tsih) {
    if (status != LoginStatus::success) {
        refuse_login(status, "refused by the target");
        return;
    }
    CHECK(tsih != 0);  // section 11.13.3: 0 means that there is no session yet
    tsih_ = tsih;
    send_login_response(login_->finish(), LoginStatus::success, tsih);
    parameters_ = login_->parameters();
    info_ = login_->info();
    login_.reset();
    // From the next PDU on: section 13.1 for the digests, 13.12 for the lengths.
    output_.set_parameters(parameters_);
    reader_.set_digests(parameters_.digests);
    reader_.set_data_segment_length_max(limits_.max_recv_data_segment_length);
    enter(ConnectionEvent::login_finished);
    owner_->session_started(self_);
}

void Connection::decide_login(const LoginDecision& decision) {
    State& state = *state_;
    if (state.closed_) return;
    CHECK(state.waits_for_owner_);
    state.waits_for_owner_ = false;
    state.perform(state.login_->decide(decision));
}

void Connection::finish_login(LoginStatus status, std::uint16_t tsih) {
    State& state = *state_;
    if (state.closed_) return;
    CHECK(state.waits_for_owner_);
    state.waits_for_owner_ = false;
    state.finish_login(status, tsih);
}

}  // namespace cowtgt::iscsi
