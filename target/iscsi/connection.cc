#include "target/iscsi/connection.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <utility>

#include "cow-store/base/check.h"
#include "target/iscsi/connection_internal.h"

namespace cowtgt::iscsi {

namespace {

/// A segment's memory that is worth keeping between two PDUs.
constexpr std::size_t segment_kept_max = 512;

}  // namespace

Connection::State::State(Connection& self, ConnectionOwner& owner, const ConnectionLimits& limits,
                         void (*random)(MutableBytes))
    : self_(self),
      owner_(&owner),
      limits_(limits),
      numbering_(limits.command_window),
      tasks_(limits.command_window + immediate_tasks_max),
      output_(
          numbering_, [](void* context, Task& task) { static_cast<State*>(context)->finish(task); },
          this),
      login_(std::make_unique<Login>(limits, random)) {
    CHECK(limits.command_window > 0);
    enter(ConnectionEvent::transport_accepted);
}

void Connection::State::enter(ConnectionEvent event) {
    const std::optional<ConnectionState> next = next_state(state_, event);
    CHECK(next);
    state_ = *next;
}

bool Connection::State::takes_input() const {
    return !closed_ && !waits_for_owner_ && waits_for_buffer_ == nullptr &&
           output_.control_count() < control_count_max &&
           output_.control_bytes() < control_bytes_max;
}

void Connection::State::read(Bytes& in) {
    while (takes_input()) {
        Bytes held = held_input();
        Bytes& source = held.empty() ? in : held;
        const PduReader::Step step = reader_.feed(source);
        if (&source == &held) held_input_read_ = held_input_.size() - held.size();
        if (step == PduReader::Step::need_more) return;
        take(step);
        forget_held_input();
    }
}

/// What comes before the next byte of the stream: PDUs of commands that waited for an older one.
Bytes Connection::State::held_input() {
    if (!has_held_input()) return {};
    if (held_input_read_ == held_input_.size()) {
        held_input_ = held_commands_.take(numbering_.exp_cmd_sn());
    }
    return Bytes(held_input_).subspan(held_input_read_);
}

/// Gives the memory back once all is read; there may be none again for a long time.
void Connection::State::forget_held_input() {
    if (held_input_.empty() || held_input_read_ < held_input_.size()) return;
    held_input_ = {};
    held_input_read_ = 0;
}

bool Connection::State::has_held_input() const {
    if (held_input_read_ < held_input_.size()) return true;
    return reader_.between_pdus() && held_commands_.contains(numbering_.exp_cmd_sn());
}

void Connection::State::take(PduReader::Step step) {
    switch (step) {
        case PduReader::Step::need_more:
            return;
        case PduReader::Step::header:
            begin_pdu();
            return;
        case PduReader::Step::payload:
            take_payload(reader_.payload());
            return;
        case PduReader::Step::end:
            end_pdu();
            return;
        case PduReader::Step::header_digest_error:
            // RFC 7143 section 7.8: without the header nothing can be told about the PDU.
            close({CloseReason::Kind::digest_error, "header digest is wrong"});
            return;
        case PduReader::Step::too_long:
            close({CloseReason::Kind::protocol_error,
                   "DataSegmentLength " +
                       std::to_string(reader_.header().data_segment_length.get()) +
                       " is beyond MaxRecvDataSegmentLength"});
            return;
    }
}

void Connection::State::begin_pdu() {
    sink_ = {};
    ignored_ = held_ = false;
    if (login_ == nullptr) {
        begin_full_feature_pdu();
        return;
    }
    if (reader_.header().opcode() != opcode::login_request) {
        close({CloseReason::Kind::protocol_error, "a PDU other than Login Request before login"});
        return;
    }
    sink_.kind = Sink::Kind::collect;
}

void Connection::State::take_payload(Bytes payload) {
    switch (sink_.kind) {
        case Sink::Kind::discard:
            return;
        case Sink::Kind::collect:
            segment_.insert(segment_.end(), payload.begin(), payload.end());
            return;
        case Sink::Kind::task: {
            const MutableBytes buffer = sink_.task->buffer;
            if (sink_.offset < buffer.size()) {
                const std::size_t fits =
                    std::min<std::size_t>(payload.size(), buffer.size() - sink_.offset);
                std::memcpy(buffer.data() + sink_.offset, payload.data(), fits);
            }
            sink_.offset += static_cast<std::uint32_t>(payload.size());
            return;
        }
    }
}

void Connection::State::end_pdu() {
    if (login_ != nullptr) {
        receive_login_request();
    } else if (held_) {
        hold_pdu();
    } else if (!ignored_) {
        end_full_feature_pdu();
    }
    segment_.clear();
    if (segment_.capacity() > segment_kept_max) segment_ = {};
}

std::vector<std::byte> Connection::State::take_segment() {
    return std::exchange(segment_, {});
}

namespace {

/// PDUs of an initiator in full feature phase (RFC 7143 section 11).
struct RequestRow {
    std::uint8_t opcode;
    bool has_cmd_sn;
    bool in_discovery;
};
constexpr std::array request_rows = {
    RequestRow{opcode::nop_out, true, true},
    RequestRow{opcode::scsi_command, true, false},
    RequestRow{opcode::task_management_request, true, false},
    RequestRow{opcode::text_request, true, true},
    RequestRow{opcode::data_out, false, false},
    RequestRow{opcode::logout_request, true, true},
};

const RequestRow* find_request(std::uint8_t opcode) {
    const auto* row = std::ranges::find(request_rows, opcode, &RequestRow::opcode);
    return row == request_rows.end() ? nullptr : row;
}

RejectReason reason_to_reject(std::uint8_t opcode) {
    // SNACK needs ErrorRecoveryLevel 1; a Login Request has its place before this phase only.
    if (opcode == opcode::snack_request) return RejectReason::snack_reject;
    if (opcode == opcode::login_request) return RejectReason::protocol_error;
    return RejectReason::command_not_supported;
}

}  // namespace

void Connection::State::begin_full_feature_pdu() {
    const std::uint8_t opcode = reader_.header().opcode();
    if (state_ == ConnectionState::in_logout && opcode != opcode::data_out) {
        ignored_ = true;  // section 11.14: nothing but the data of old commands may follow
        return;
    }
    const RequestRow* row = find_request(opcode);
    if (row == nullptr) {
        reject(reason_to_reject(opcode));
        return;
    }
    if (row->has_cmd_sn && !reader_.header().immediate()) {
        if (!comes_in_order()) return;
        numbering_.command_received();
    }
    if (!row->in_discovery && info_.session_type == SessionType::discovery) {
        reject(RejectReason::protocol_error);
        return;
    }
    dispatch();
}

/// Section 4.2.2.1: what lies outside of the window "MUST be silently ignored", what comes too
/// early waits. The one that is missing may still be given up by an ABORT TASK.
bool Connection::State::comes_in_order() {
    const SerialNumber32 cmd_sn{reader_.header_as<CommandNumbers>().cmd_sn.get()};
    if (!numbering_.window_contains(cmd_sn) || numbering_.is_given_up(cmd_sn) ||
        held_commands_.contains(cmd_sn)) {
        ignored_ = true;
        return false;
    }
    if (cmd_sn == numbering_.exp_cmd_sn()) return true;
    held_ = true;
    sink_.kind = Sink::Kind::collect;
    return false;
}

/// The PDU in progress is complete, but an older command is missing.
void Connection::State::hold_pdu() {
    const std::vector<std::byte> pdu = wire_of(reader_, segment_);
    if (held_commands_.byte_count() + pdu.size() > HeldCommands::byte_count_max) {
        close({CloseReason::Kind::protocol_error,
               "CmdSN leaves a gap, and what waits behind it is too long"});
        return;
    }
    const std::uint32_t tag = reader_.header().initiator_task_tag.get();
    if (reader_.header().opcode() == opcode::data_out) {
        held_commands_.add_data_out(tag, pdu);
    } else {
        held_commands_.add({reader_.header_as<CommandNumbers>().cmd_sn.get()}, tag, pdu);
    }
}

void Connection::State::dispatch() {
    switch (reader_.header().opcode()) {
        case opcode::scsi_command:
            begin_scsi_command();
            return;
        case opcode::data_out:
            begin_data_out();
            return;
        case opcode::nop_out:
        case opcode::text_request:
            sink_.kind = Sink::Kind::collect;
            return;
        default:
            return;
    }
}

void Connection::State::end_full_feature_pdu() {
    if (!reader_.data_digest_is_right()) {
        // Section 7.8: Reject, and the command ends when all its data have come.
        reject(RejectReason::data_digest_error);
        if (sink_.task == nullptr) return;
        sink_.task->failure = TransportFailure::protocol_service_crc_error;
    }
    switch (reader_.header().opcode()) {
        case opcode::scsi_command:
            end_scsi_command();
            return;
        case opcode::data_out:
            end_data_out();
            return;
        case opcode::nop_out:
            end_nop_out();
            return;
        case opcode::text_request:
            end_text_request();
            return;
        case opcode::task_management_request:
            end_task_management();
            return;
        case opcode::logout_request:
            end_logout_request();
            return;
        default:
            CHECK(false);  // begin_full_feature_pdu has rejected it
    }
}

void Connection::State::reject(RejectReason reason) {
    ignored_ = true;
    Reject pdu{};
    pdu.opcode = opcode::reject;
    pdu.flags = flag_final;
    pdu.reason = static_cast<std::uint8_t>(reason);
    pdu.initiator_task_tag = reserved_tag;
    const Bytes header = bytes_of_struct(reader_.header());
    output_.push(pdu, {header.begin(), header.end()}, StatSnUse::uses_up);
}

void Connection::State::close(CloseReason reason) {
    if (closed_) return;
    closed_ = true;
    if (state_ != ConnectionState::free) enter(ConnectionEvent::transport_lost);
    owner_->close_wanted(self_, reason);
}

Connection::Connection(ConnectionOwner& owner, const ConnectionLimits& limits,
                       void (*random)(MutableBytes))
    : state_(std::make_unique<State>(*this, owner, limits, random)) {}

Connection::~Connection() = default;

void Connection::set_owner(ConnectionOwner& owner) {
    state_->owner_ = &owner;
}

std::size_t Connection::receive(Bytes in) {
    Bytes rest = in;
    state_->end_direct_receive();
    state_->read(rest);
    return in.size() - rest.size();
}

bool Connection::takes_input() const {
    return state_->takes_input();
}
bool Connection::has_held_input() const {
    return state_->has_held_input();
}

MutableBytes Connection::direct_receive_window() {
    State& state = *state_;
    state.end_direct_receive();
    if (!state.takes_input() || state.sink_.kind != State::Sink::Kind::task) return {};
    if (state.has_held_input()) return {};  // the stream is not what is read next
    const MutableBytes buffer = state.sink_.task->buffer;
    if (state.sink_.offset >= buffer.size()) return {};
    const std::size_t fits =
        std::min<std::size_t>(state.reader_.payload_left(), buffer.size() - state.sink_.offset);
    if (fits == 0) return {};
    state.direct_task_ = state.sink_.task;
    state.direct_window_ = buffer.subspan(state.sink_.offset, fits);
    return state.direct_window_;
}

void Connection::received_directly(std::size_t byte_count) {
    State& state = *state_;
    CHECK(byte_count <= state.direct_window_.size());
    // The digest needs the bytes even if the task has ended meanwhile.
    if (byte_count > 0) state.reader_.take_payload(state.direct_window_.first(byte_count));
    if (state.sink_.kind == State::Sink::Kind::task) {
        state.sink_.offset += static_cast<std::uint32_t>(byte_count);
    }
    state.end_direct_receive();
    Bytes nothing;
    state.read(nothing);  // the PDU may be complete by now
}

bool Connection::can_send_lent_bytes() const {
    return !state_->parameters_.digests.data;
}

std::size_t Connection::gather(std::span<OutputPiece> out) {
    return state_->output_.gather(out);
}
void Connection::sent(std::size_t byte_count) {
    state_->output_.sent(byte_count);
}
bool Connection::has_output() const {
    return !state_->output_.empty();
}
std::size_t Connection::output_bytes() const {
    return state_->output_.bytes();
}

void Connection::transport_lost() {
    State& state = *state_;
    state.closed_ = true;
    state.output_.clear();
    state.end_direct_receive();
    if (state.state_ != ConnectionState::free && state.state_ != ConnectionState::cleanup_wait) {
        state.enter(ConnectionEvent::transport_lost);
    }
    for (std::size_t i = 0; i < state.tasks_.index_end(); ++i) {
        if (Task* task = state.tasks_.at(i)) state.finish(*task);
    }
    if (state.state_ == ConnectionState::cleanup_wait) state.enter(ConnectionEvent::cleaned_up);
}

void Connection::for_each_task(void (*visit)(void* context, ScsiTask&), void* context) {
    State& state = *state_;
    TaskTable& tasks = state.tasks_;
    for (std::size_t i = 0; i < tasks.index_end(); ++i) {
        Task* task = tasks.at(i);
        if (task == nullptr || !task->known_to_owner) continue;
        const bool has_ended = state.direct_task_finished_ && task == state.direct_task_;
        if (!has_ended) visit(context, *task);
    }
}

bool Connection::in_full_feature_phase() const {
    return state_->state_ == ConnectionState::logged_in ||
           state_->state_ == ConnectionState::logout_requested ||
           state_->state_ == ConnectionState::in_logout;
}

const LoginRequestInfo& Connection::login_info() const {
    return state_->login_ ? state_->login_->info() : state_->info_;
}

std::uint16_t Connection::tsih() const {
    return state_->tsih_;
}

}  // namespace cowtgt::iscsi
