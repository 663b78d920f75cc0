#include <algorithm>

#include "cow-store/base/check.h"
#include "target/iscsi/connection_internal.h"

/// The data of writes: Data-Out in order, unsolicited first, the rest as R2Ts ask for it
/// (RFC 7143 sections 4.2.5.2, 11.7 and 11.8).
namespace cowtgt::iscsi {

namespace {

/// Different for every R2T in flight and never the reserved tag.
std::uint32_t transfer_tag(const Task& task, std::uint32_t r2t_index) {
    return std::uint32_t{task.transfer_tag_prefix} << 16 | (r2t_index & 0xffff);
}

}  // namespace

void Connection::State::begin_data_out() {
    const auto pdu = reader_.header_as<DataOut>();
    Task* task = tasks_.find(pdu.initiator_task_tag.get());
    if (task == nullptr && held_commands_.has_task(pdu.initiator_task_tag.get())) {
        held_ = true;
        sink_.kind = Sink::Kind::collect;
        return;
    }
    if (task == nullptr) {
        ignored_ = true;  // of a task that was answered or aborted while its data were on the way
        return;
    }
    sink_.task = task;
    if (task->failure || !task->wants_data) return;
    task->failure = check_data_out(*task, pdu);
    if (!task->failure) sink_ = {Sink::Kind::task, task, pdu.buffer_offset.get()};
}

std::optional<TransportFailure> Connection::State::check_data_out(const Task& task,
                                                                  const DataOut& pdu) const {
    const bool is_unsolicited = pdu.target_transfer_tag.get() == reserved_tag;
    const bool is_final = (pdu.flags & flag_final) != 0;
    std::uint64_t sequence_end = 0;
    if (is_unsolicited) {
        if (!task.unsolicited_open) return TransportFailure::unexpected_unsolicited_data;
        sequence_end = std::min(parameters_.first_burst_length, task.expected_data_transfer_length);
    } else {
        if (task.r2t_done == task.r2t_sent ||
            pdu.target_transfer_tag.get() != transfer_tag(task, task.r2t_done)) {
            return TransportFailure::incorrect_amount_of_data;
        }
        sequence_end = std::min<std::uint64_t>(
            task.requested_end, task.solicited_start + (std::uint64_t{task.r2t_done} + 1) *
                                                           parameters_.max_burst_length);
    }
    const std::uint64_t end =
        std::uint64_t{pdu.buffer_offset.get()} + pdu.data_segment_length.get();
    if (pdu.data_sn.get() != task.next_data_sn || pdu.buffer_offset.get() != task.received ||
        end > sequence_end) {
        return TransportFailure::incorrect_amount_of_data;
    }
    // Section 11.7.1: F ends the sequence. An unsolicited one may be shorter than it could be.
    if (is_final ? !is_unsolicited && end != sequence_end : end == sequence_end) {
        return TransportFailure::incorrect_amount_of_data;
    }
    return std::nullopt;
}

void Connection::State::end_data_out() {
    Task* task = sink_.task;
    if (task == nullptr) return;  // answered or aborted meanwhile
    const auto pdu = reader_.header_as<DataOut>();
    count_data_out(*task, pdu);
    if ((pdu.flags & flag_final) == 0) return;
    if (!task->failure) {
        advance_data_out(*task);
    } else if (!expects_data(*task)) {
        conclude_failure(*task);
    }
}

void Connection::State::count_data_out(Task& task, const DataOut& pdu) {
    if (!task.failure) task.received += pdu.data_segment_length.get();
    ++task.next_data_sn;
    if ((pdu.flags & flag_final) == 0) return;
    task.next_data_sn = 0;
    if (pdu.target_transfer_tag.get() == reserved_tag) {
        task.unsolicited_open = false;
    } else if (task.r2t_done < task.r2t_sent) {
        ++task.r2t_done;
    }
}

void Connection::receive_data_out(ScsiTask& task, MutableBytes buffer) {
    state_->receive_data_out(static_cast<Task&>(task), buffer);
}

void Connection::State::receive_data_out(Task& task, MutableBytes buffer) {
    CHECK(task.in_use && !task.answered && !task.wants_data);
    CHECK(buffer.size() <= task.expected_data_transfer_length);
    task.buffer = buffer;
    task.wants_data = !buffer.empty();
    if (waits_for_buffer_ == &task) waits_for_buffer_ = nullptr;
    if (!task.unsolicited_open) advance_data_out(task);
}

/// A sequence is complete: done, or the next R2T.
void Connection::State::advance_data_out(Task& task) {
    if (!task.wants_data || task.unsolicited_open) return;
    if (task.received >= task.buffer.size()) {
        task.wants_data = false;
        owner_->data_out_received(self_, task);
        return;
    }
    if (task.r2t_sent == 0) task.solicited_start = task.requested_end = task.received;
    while (task.r2t_sent - task.r2t_done < parameters_.max_outstanding_r2t &&
           task.requested_end < task.buffer.size()) {
        send_ready_to_transfer(task);
    }
}

void Connection::State::send_ready_to_transfer(Task& task) {
    const std::uint32_t wanted = static_cast<std::uint32_t>(task.buffer.size());
    const std::uint32_t length =
        std::min(parameters_.max_burst_length, wanted - task.requested_end);
    ReadyToTransfer pdu{};
    pdu.opcode = opcode::ready_to_transfer;
    pdu.flags = flag_final;
    pdu.lun = task.lun;
    pdu.initiator_task_tag = task.initiator_task_tag;
    pdu.target_transfer_tag = transfer_tag(task, task.r2t_sent);
    pdu.r2t_sn = task.data_sn++;
    pdu.buffer_offset = task.requested_end;
    pdu.desired_data_transfer_length = length;
    task.requested_end += length;
    ++task.r2t_sent;
    output_.push_ready_to_transfer(pdu);
}

}  // namespace cowtgt::iscsi
