#include <algorithm>
#include <utility>

#include "cow-store/base/check.h"
#include "target/iscsi/connection_internal.h"

/// NOP, Text, Logout and Asynchronous Message.
namespace cowtgt::iscsi {

void Connection::State::end_nop_out() {
    const auto request = reader_.header_as<NopOut>();
    if (request.initiator_task_tag.get() == reserved_tag) {
        // Section 11.18: the answer to our ping, or only news about ExpStatSN.
        if (request.target_transfer_tag.get() != reserved_tag) owner_->ping_answered(self_);
        return;
    }
    NopIn answer{};
    answer.opcode = opcode::nop_in;
    answer.flags = flag_final;
    answer.lun = request.lun;
    answer.initiator_task_tag = request.initiator_task_tag;
    answer.target_transfer_tag = reserved_tag;
    std::vector<std::byte> data = take_segment();
    data.resize(
        std::min<std::size_t>(data.size(), parameters_.initiator_max_recv_data_segment_length));
    output_.push(answer, std::move(data), StatSnUse::uses_up);
}

void Connection::send_ping() {
    State& state = *state_;
    if (state.closed_) return;
    NopIn pdu{};
    pdu.opcode = opcode::nop_in;
    pdu.flags = flag_final;
    pdu.initiator_task_tag = reserved_tag;
    pdu.target_transfer_tag = state.next_target_transfer_tag_++ & 0x7fffffff;
    state.output_.push(pdu, {}, StatSnUse::carries);
}

void Connection::send_async_message(std::uint8_t event, std::uint16_t parameter1,
                                    std::uint16_t parameter2, std::uint16_t parameter3,
                                    Bytes sense) {
    State& state = *state_;
    if (state.closed_) return;
    if (event == AsyncMessage::event_logout_request) {
        state.enter(ConnectionEvent::logout_requested);
    }
    AsyncMessage pdu{};
    pdu.opcode = opcode::async_message;
    pdu.flags = flag_final;
    pdu.initiator_task_tag = reserved_tag;
    pdu.async_event = event;
    pdu.parameter1 = parameter1;
    pdu.parameter2 = parameter2;
    pdu.parameter3 = parameter3;
    std::vector<std::byte> data;
    if (!sense.empty()) {
        const be16 length(static_cast<std::uint16_t>(sense.size()));
        const Bytes length_bytes = bytes_of_struct(length);
        data.assign(length_bytes.begin(), length_bytes.end());
        data.insert(data.end(), sense.begin(), sense.end());
    }
    state.output_.push(pdu, std::move(data), StatSnUse::uses_up);
}

void Connection::State::end_text_request() {
    const auto pdu = reader_.header_as<TextRequest>();
    const bool continues = (pdu.flags & TextRequest::flag_continue) != 0;
    const std::uint32_t transfer_tag = pdu.target_transfer_tag.get();
    if (transfer_tag == reserved_tag) {
        // Section 11.10.4: without a Target Transfer Tag a new exchange begins.
        text_ = std::make_unique<TextExchange>(limits_.login_text_max);
        text_->initiator_task_tag = pdu.initiator_task_tag.get();
        text_->target_transfer_tag = next_target_transfer_tag_++ & 0x7fffffff;
    }
    const bool belongs_to_exchange =
        text_ != nullptr && text_->initiator_task_tag == pdu.initiator_task_tag.get() &&
        (transfer_tag == reserved_tag || transfer_tag == text_->target_transfer_tag);
    const bool final_and_continued = continues && (pdu.flags & flag_final) != 0;
    if (!belongs_to_exchange || final_and_continued || !text_->request.append(segment_)) {
        reject(RejectReason::protocol_error);
        text_.reset();
        return;
    }
    if (continues) {
        send_text_response(pdu);
    } else {
        answer_text(pdu);
    }
}

void Connection::State::answer_text(const TextRequest& pdu) {
    const std::string text = text_->request.take();
    const auto pairs = parse_text(text);
    if (!pairs || (!text.empty() && !text_->answer.empty())) {
        reject(RejectReason::protocol_error);
        text_.reset();
        return;
    }
    for (const TextPair& pair : *pairs)
        answer_text_pair(pair);
    text_->answer.append(std::exchange(text_->answer_text, {}));
    send_text_response(pdu);
}

/// Keys of full feature phase (section 13, "Use: FFPO" and "ALL"); all others ended with login.
void Connection::State::answer_text_pair(const TextPair& pair) {
    std::string& answer = text_->answer_text;
    const KeyRow* row = find_key(pair.key);
    if (row == nullptr) {
        append_pair(answer, pair.key, "NotUnderstood");
    } else if (row->result == ResultFunction::send_targets) {
        answer_send_targets(pair.value);
    } else if (row->key == Key::max_recv_data_segment_length) {
        const auto length = parse_number(pair.value);
        if (!length || *length < row->lowest || *length > row->highest) {
            append_pair(answer, pair.key, "Reject");
            return;
        }
        parameters_.initiator_max_recv_data_segment_length = *length;
        output_.set_parameters(parameters_);
    } else if (row->key == Key::initiator_alias && pair.value.size() <= text_value_length_max) {
        info_.initiator_alias = pair.value;
    } else {
        append_pair(answer, pair.key, "Reject");
    }
}

/// Section 13.3 and appendix C. In a normal session an initiator may only ask for its own target;
/// "All" is answered with just that, because initiators ask so.
void Connection::State::answer_send_targets(std::string_view value) {
    std::string& answer = text_->answer_text;
    const bool is_discovery = info_.session_type == SessionType::discovery;
    const bool is_own = value == "All" || value.empty() || value == info_.target_name;
    if (is_discovery ? value.empty() : !is_own) {
        append_pair(answer, row_of(Key::send_targets).name, "Reject");
        return;
    }
    std::string_view wanted = info_.target_name;
    if (is_discovery) wanted = value == "All" ? std::string_view() : value;
    for (const TargetRecord& record : owner_->targets_wanted(self_, wanted)) {
        append_pair(answer, row_of(Key::target_name).name, record.name);
        for (const std::string& address : record.addresses) {
            append_pair(answer, row_of(Key::target_address).name, address);
        }
    }
}

void Connection::State::send_text_response(const TextRequest& pdu) {
    const std::string_view piece =
        text_->answer.take(parameters_.initiator_max_recv_data_segment_length);
    TextResponse answer{};
    answer.opcode = opcode::text_response;
    answer.lun = pdu.lun;
    answer.initiator_task_tag = pdu.initiator_task_tag;
    answer.target_transfer_tag = text_->target_transfer_tag;
    const bool is_over = text_->answer.empty() && (pdu.flags & flag_final) != 0;
    if (!text_->answer.empty()) answer.flags = TextRequest::flag_continue;
    if (is_over) {
        answer.flags = flag_final;
        answer.target_transfer_tag = reserved_tag;
    }
    const Bytes data = bytes_of(piece);
    output_.push(answer, {data.begin(), data.end()}, StatSnUse::uses_up);
    if (is_over) text_.reset();
}

void Connection::State::end_logout_request() {
    const auto pdu = reader_.header_as<LogoutRequest>();
    const std::uint8_t reason = pdu.reason & LogoutRequest::reason_mask;
    const std::uint32_t tag = pdu.initiator_task_tag.get();
    if (reason > LogoutRequest::remove_for_recovery) {
        reject(RejectReason::invalid_pdu_field);
        return;
    }
    if (reason == LogoutRequest::remove_for_recovery) {  // ErrorRecoveryLevel 2
        send_logout_response(tag, LogoutResponse::recovery_not_supported);
        return;
    }
    if (reason == LogoutRequest::close_connection && pdu.cid.get() != info_.cid) {
        send_logout_response(tag, LogoutResponse::cid_not_found);
        return;
    }
    enter(ConnectionEvent::logout_received);
    logout_task_tag_ = tag;
    owner_->logout_received(self_, reason);
}

void Connection::State::send_logout_response(std::uint32_t initiator_task_tag,
                                             std::uint8_t response) {
    LogoutResponse pdu{};
    pdu.opcode = opcode::logout_response;
    pdu.flags = flag_final;
    pdu.response = response;
    pdu.initiator_task_tag = initiator_task_tag;
    // Time2Retain stays 0: a task does not outlive its connection at ErrorRecoveryLevel 0.
    pdu.time2wait = static_cast<std::uint16_t>(parameters_.default_time2wait);
    output_.push(pdu, {}, StatSnUse::uses_up);
}

void Connection::answer_logout() {
    State& state = *state_;
    if (state.closed_) return;
    state.send_logout_response(state.logout_task_tag_, LogoutResponse::closed);
    state.enter(ConnectionEvent::logout_finished);
    state.close({CloseReason::Kind::logout, "logout"});
}

}  // namespace cowtgt::iscsi
