#include <algorithm>
#include <array>
#include <cstring>
#include <utility>

#include "cow-store/base/check.h"
#include "target/iscsi/connection_internal.h"

/// SCSI Commands from their arrival to their status, and task management.
namespace cowtgt::iscsi {

namespace {

constexpr std::uint8_t status_check_condition = 0x02;

/// Fixed format sense data (SPC-4 section 4.5.3), sense key ABORTED COMMAND.
std::array<std::uint8_t, 18> sense_of(TransportFailure failure) {
    const auto code = static_cast<std::uint16_t>(failure);
    std::array<std::uint8_t, 18> sense{};
    sense[0] = 0x70;
    sense[2] = 0x0b;
    sense[7] = 10;
    sense[12] = static_cast<std::uint8_t>(code >> 8);
    sense[13] = static_cast<std::uint8_t>(code & 0xff);
    return sense;
}

/// Status and sense as the data segment of a SCSI Response (RFC 7143 section 11.4.7).
void set_sense_segment(std::vector<std::byte>& segment, Bytes sense) {
    segment.clear();
    if (sense.empty()) return;
    const be16 length(static_cast<std::uint16_t>(sense.size()));
    const Bytes length_bytes = bytes_of_struct(length);
    segment.insert(segment.end(), length_bytes.begin(), length_bytes.end());
    segment.insert(segment.end(), sense.begin(), sense.end());
}

struct Residual {
    std::uint32_t count = 0;  ///< bytes
    bool overflow = false, underflow = false;
};

/// Section 11.4.5: what the command would have moved against what the initiator expected.
Residual residual_of(std::uint64_t moved, std::uint32_t expected) {
    if (moved > expected) {
        const std::uint64_t beyond = std::min<std::uint64_t>(moved - expected, 0xffffffff);
        return {static_cast<std::uint32_t>(beyond), true, false};
    }
    const auto missing = static_cast<std::uint32_t>(expected - moved);
    return {missing, false, missing > 0};
}

void set_residuals(Task& task, const ScsiResponse& response) {
    const bool bidirectional = task.read && task.write;
    const std::uint64_t moved = task.write ? response.data_out_length : response.data_in_length;
    const Residual residual = residual_of(moved, task.expected_data_transfer_length);
    task.residual_count = residual.count;
    if (residual.overflow) task.residual_flags |= ScsiResponsePdu::flag_overflow;
    if (residual.underflow) task.residual_flags |= ScsiResponsePdu::flag_underflow;
    if (!bidirectional) return;
    const Residual read = residual_of(response.data_in_length, task.bidirectional_read_length);
    task.bidirectional_read_residual_count = read.count;
    if (read.overflow) task.residual_flags |= ScsiResponsePdu::flag_bidirectional_overflow;
    if (read.underflow) task.residual_flags |= ScsiResponsePdu::flag_bidirectional_underflow;
}

/// Bytes that may be sent as Data-In.
std::uint32_t data_in_max(const Task& task) {
    if (!task.read) return 0;
    return task.write ? task.bidirectional_read_length : task.expected_data_transfer_length;
}

}  // namespace

void Connection::State::begin_scsi_command() {
    const auto pdu = reader_.header_as<ScsiCommand>();
    const std::uint32_t tag = pdu.initiator_task_tag.get();
    if (tag == reserved_tag) {
        reject(RejectReason::invalid_pdu_field);
        return;
    }
    if (tasks_.find(tag) != nullptr) {
        reject(RejectReason::task_in_progress);
        return;
    }
    Task* task = tasks_.create(tag);
    if (task == nullptr) {
        reject(RejectReason::too_many_immediate_commands);
        return;
    }
    fill_task(*task, pdu);
    if (!read_additional_headers(*task)) {
        reject(RejectReason::invalid_pdu_field);
        finish(*task);
        return;
    }
    if (!task->immediate) {
        numbering_.take_slot();
        task->has_window_slot = true;
    }
    const bool has_data = pdu.data_segment_length.get() > 0;
    const bool is_final = (pdu.flags & flag_final) != 0;
    task->unsolicited_open = task->write && (has_data || !is_final);
    task->failure = check_unsolicited(*task, pdu);
    if (task->failure) {
        sink_.task = task;  // end_scsi_command answers, the owner never hears of it
        return;
    }
    if (task->unsolicited_open) {
        sink_ = {Sink::Kind::task, task, 0};
        waits_for_buffer_ = task;
    }
    task->known_to_owner = true;
    owner_->scsi_command_received(self_, *task);
}

void Connection::State::fill_task(Task& task, const ScsiCommand& pdu) {
    task.lun = pdu.lun.get();
    task.cdb = pdu.cdb;
    task.expected_data_transfer_length = pdu.expected_data_transfer_length.get();
    task.read = (pdu.flags & ScsiCommand::flag_read) != 0;
    task.write = (pdu.flags & ScsiCommand::flag_write) != 0;
    task.immediate = (pdu.opcode & opcode::immediate) != 0;
    task.attribute = pdu.flags & ScsiCommand::attribute_mask;
    task.transfer_tag_prefix = next_transfer_tag_prefix_++ & 0x7fff;
}

/// Additional header segments of section 11.2.2: length, type, then a reserved byte and the rest.
bool Connection::State::read_additional_headers(Task& task) {
    Bytes left = reader_.additional_headers();
    while (!left.empty()) {
        be16 length_field;
        if (left.size() < 4) return false;
        std::memcpy(&length_field, left.data(), sizeof length_field);
        const std::size_t length = length_field.get();  // without the length and type fields
        const auto type = std::to_integer<std::uint8_t>(left[2]);
        if (length == 0 || 3 + length > left.size()) return false;
        const Bytes content = left.subspan(4, length - 1);
        if (type == ahs_type::extended_cdb) {
            task.extended_cdb.assign(task.cdb.begin(), task.cdb.end());
            for (const std::byte b : content) {
                task.extended_cdb.push_back(std::to_integer<std::uint8_t>(b));
            }
        } else if (type == ahs_type::bidirectional_read_length) {
            be32 expected;
            if (content.size() != sizeof expected) return false;
            std::memcpy(&expected, content.data(), sizeof expected);
            task.bidirectional_read_length = expected.get();
        } else {
            return false;
        }
        left = left.subspan(std::min<std::size_t>(left.size(), round_up(3 + length, 4)));
    }
    return true;
}

/// Sections 13.10 and 13.11: what the initiator may send without being asked.
std::optional<TransportFailure> Connection::State::check_unsolicited(const Task& task,
                                                                     const ScsiCommand& pdu) const {
    const std::uint32_t length = pdu.data_segment_length.get();
    const bool more_follows = (pdu.flags & flag_final) == 0;
    if (more_follows && (!task.write || parameters_.initial_r2t)) {
        return TransportFailure::unexpected_unsolicited_data;
    }
    if (length == 0) return std::nullopt;
    if (!task.write || !parameters_.immediate_data) {
        return TransportFailure::unexpected_unsolicited_data;
    }
    if (length > parameters_.first_burst_length || length > task.expected_data_transfer_length) {
        return TransportFailure::incorrect_amount_of_data;
    }
    return std::nullopt;
}

void Connection::State::end_scsi_command() {
    Task* task = sink_.task;
    if (task == nullptr) return;  // no data with the command, or already answered
    const BasicHeader& header = reader_.header();
    task->received = header.data_segment_length.get();
    if ((header.flags & flag_final) != 0) task->unsolicited_open = false;
    if (task->unsolicited_open) return;
    if (task->failure) {
        conclude_failure(*task);
    } else {
        advance_data_out(*task);
    }
}

void Connection::complete(ScsiTask& task, const ScsiResponse& response) {
    state_->complete(static_cast<Task&>(task), response);
}

void Connection::State::complete(Task& task, const ScsiResponse& response) {
    CHECK(task.in_use);
    if (task.answered && task.failure) return;  // ended by the transport, its answer is under way
    CHECK(!task.answered);
    if (task.aborted || closed_) {
        finish(task);
        return;
    }
    if (task.failure) {
        conclude_failure(task);
        return;
    }
    task.status = response.status;
    set_sense_segment(task.sense_segment, response.sense);
    set_residuals(task, response);
    task.data_in =
        response.data_in.first(std::min<std::size_t>(response.data_in.size(), data_in_max(task)));
    CHECK(response.lent_data_in.empty() ||
          (!parameters_.digests.data && response.lent_data_in.length == response.data_in.size()));
    task.lent_data_in = response.lent_data_in;
    queue_answer(task);
}

/// The transport itself ends the task, because its data are not what they have to be.
void Connection::State::conclude_failure(Task& task) {
    task.status = status_check_condition;
    const std::array<std::uint8_t, 18> sense = sense_of(*task.failure);
    set_sense_segment(task.sense_segment, std::as_bytes(std::span(sense)));
    set_residuals(task, {});
    queue_answer(task);
}

void Connection::State::queue_answer(Task& task) {
    detach(task);
    task.answered = true;
    tasks_.forget_tag(task);
    output_.push_answer(task);
}

/// No data of the stream goes to this task any more.
void Connection::State::detach(Task& task) {
    if (sink_.task == &task) sink_ = {};
    if (waits_for_buffer_ == &task) waits_for_buffer_ = nullptr;
}

void Connection::State::finish(Task& task) {
    detach(task);
    if (!std::exchange(task.answered, true)) tasks_.forget_tag(task);
    if (std::exchange(task.has_window_slot, false)) numbering_.give_slot_back();
    if (direct_task_ == &task) {
        direct_task_finished_ = true;  // its buffer may be written to by the transport just now
        return;
    }
    release(task);
}

void Connection::State::release(Task& task) {
    if (task.known_to_owner) owner_->task_finished(self_, task);
    tasks_.release(task);
}

/// The transport has let go of the window that direct_receive_window() gave it.
void Connection::State::end_direct_receive() {
    direct_window_ = {};
    Task* task = std::exchange(direct_task_, nullptr);
    if (std::exchange(direct_task_finished_, false)) release(*task);
}

/// Section 11.5.1: a task that is not there, but whose command may still be under way, counts as
/// received and aborted.
bool Connection::State::gives_up_a_command(const TaskManagementRequestPdu& pdu) {
    const SerialNumber32 referenced{pdu.ref_cmd_sn.get()};
    if (!numbering_.window_contains(referenced) || !referenced.is_before({pdu.cmd_sn.get()})) {
        return false;
    }
    numbering_.give_up(referenced);
    return true;
}

void Connection::State::end_task_management() {
    const auto pdu = reader_.header_as<TaskManagementRequestPdu>();
    TaskManagementRequest request;
    request.function =
        static_cast<TaskFunction>(pdu.function & TaskManagementRequestPdu::function_mask);
    request.lun = pdu.lun.get();
    request.initiator_task_tag = pdu.initiator_task_tag.get();
    request.referenced_task_tag = pdu.referenced_task_tag.get();
    if (request.function < TaskFunction::abort_task ||
        request.function > TaskFunction::task_reassign) {
        reject(RejectReason::invalid_pdu_field);
        return;
    }
    if (task_management_count_ == task_management_max) {
        reject(RejectReason::too_many_immediate_commands);
        return;
    }
    ++task_management_count_;
    if (request.function == TaskFunction::task_reassign) {  // ErrorRecoveryLevel 2
        self_.answer_task_management(request, TaskFunctionResponse::reassign_not_supported);
        return;
    }
    if (request.function == TaskFunction::abort_task) {
        Task* task = tasks_.find(request.referenced_task_tag);
        if (task != nullptr && !task->known_to_owner) {
            finish(*task);
            self_.answer_task_management(request, TaskFunctionResponse::complete);
            return;
        }
        if (task == nullptr && gives_up_a_command(pdu)) {
            self_.answer_task_management(request, TaskFunctionResponse::complete);
            return;
        }
        request.referenced_task = task;
    }
    owner_->task_management_received(self_, request);
}

void Connection::answer_task_management(const TaskManagementRequest& request,
                                        TaskFunctionResponse response) {
    State& state = *state_;
    CHECK(state.task_management_count_ > 0);
    --state.task_management_count_;
    if (state.closed_) return;
    TaskManagementResponsePdu pdu{};
    pdu.opcode = opcode::task_management_response;
    pdu.flags = flag_final;
    pdu.response = static_cast<std::uint8_t>(response);
    pdu.initiator_task_tag = request.initiator_task_tag;
    state.output_.push(pdu, {}, StatSnUse::uses_up);
}

}  // namespace cowtgt::iscsi
