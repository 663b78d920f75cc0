#include "target/iscsi/output_queue.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <utility>

#include "cow-store/base/check.h"
#include "cow-store/base/checksum.h"

namespace cowtgt::iscsi {

namespace {

constexpr std::uint8_t status_good = 0;

std::array<std::byte, digest_size> digest_bytes(std::uint32_t crc) {
    return std::bit_cast<std::array<std::byte, digest_size>>(le32(crc));
}

template <typename Pdu>
void set_data_segment_length(Pdu& pdu, std::size_t byte_count) {
    pdu.data_segment_length.set(static_cast<std::uint32_t>(byte_count));
}

}  // namespace

OutputPiece OutputPiece::without(std::size_t byte_count) const {
    if (lent == nullptr) return {bytes.subspan(byte_count)};
    return {{}, lent, lent_offset + byte_count, lent_length - byte_count};
}

void OutputQueue::set_parameters(const OperationalParameters& parameters) {
    digests_ = parameters.digests;
    data_segment_length_max_ = parameters.initiator_max_recv_data_segment_length;
    max_burst_length_ = parameters.max_burst_length;
}

OutputQueue::Pending& OutputQueue::push_back() {
    if (pending_count_ == pending_.size()) {
        std::vector<Pending> larger(std::max<std::size_t>(4, pending_.size() * 2));
        for (std::size_t i = 0; i < pending_count_; ++i) {
            larger[i] = std::move(pending_[(pending_first_ + i) & (pending_.size() - 1)]);
        }
        pending_ = std::move(larger);
        pending_first_ = 0;
    }
    Pending& pending = pending_[(pending_first_ + pending_count_++) & (pending_.size() - 1)];
    pending.digests = digests_;
    bytes_ += basic_header_size;
    return pending;
}

void OutputQueue::pop_front() {
    ++pending_first_;
    --pending_count_;
}

void OutputQueue::push_control(const HeaderBytes& header, std::vector<std::byte> data,
                               StatSnUse use) {
    Pending& pending = push_back();
    pending.kind = Kind::control;
    pending.use = use;
    pending.header = header;
    pending.data = std::move(data);
    bytes_ += pending.data.size();
    ++control_count_;
    control_bytes_ += pending.data.size();
}

void OutputQueue::push_ready_to_transfer(const ReadyToTransfer& pdu) {
    Pending& pending = push_back();
    pending.kind = Kind::ready_to_transfer;
    pending.use = StatSnUse::carries;
    pending.header = header_bytes(pdu);
}

void OutputQueue::push_answer(Task& task) {
    Pending& pending = push_back();
    pending.kind = Kind::answer;
    pending.task = &task;
    bytes_ += task.data_in.size() + task.sense_segment.size();
}

void OutputQueue::stage() {
    while (pending_count_ > 0 && staged_count_ < staged_max)
        stage_next();
}

void OutputQueue::stage_next() {
    Pending& pending = front();
    switch (pending.kind) {
        case Kind::answer:
            stage_answer(pending);
            return;
        case Kind::ready_to_transfer:
            bytes_ -= basic_header_size;
            put(pending.header, {}, pending.use, pending.digests);
            pop_front();
            return;
        case Kind::control: {
            bytes_ -= basic_header_size + pending.data.size();
            Staged& staged = put(pending.header, {pending.data}, pending.use, pending.digests);
            staged.owned = std::move(pending.data);  // keeps its place in memory
            staged.is_control = true;
            pop_front();
            return;
        }
    }
    CHECK(false);
}

void OutputQueue::stage_answer(Pending& pending) {
    const Task& task = *pending.task;
    const std::size_t left = task.data_in.size() - task.data_in_sent;
    if (left == 0) {
        stage_scsi_response(pending);
        return;
    }
    // A sequence of Data-In ends at MaxBurstLength (RFC 7143 section 13.13).
    const std::uint32_t burst_left = max_burst_length_ - task.data_in_sent % max_burst_length_;
    stage_data_in(pending, std::min<std::size_t>({left, data_segment_length_max_, burst_left}));
}

void OutputQueue::stage_data_in(Pending& pending, std::size_t byte_count) {
    Task& task = *pending.task;
    const std::size_t end = task.data_in_sent + byte_count;
    const bool is_last = end == task.data_in.size();
    const bool carries_status = is_last && task.status == status_good && task.sense_segment.empty();
    DataIn pdu{};
    pdu.opcode = opcode::data_in;
    set_data_segment_length(pdu, byte_count);
    pdu.initiator_task_tag = task.initiator_task_tag;
    pdu.target_transfer_tag = reserved_tag;
    pdu.data_sn = task.data_sn++;
    pdu.buffer_offset = task.data_in_sent;
    if (is_last || end % max_burst_length_ == 0) pdu.flags = flag_final;
    if (carries_status) {
        pdu.flags =
            static_cast<std::uint8_t>(flag_final | DataIn::flag_status | task.residual_flags);
        pdu.status = task.status;
        pdu.residual_count = task.residual_count;
    }
    bytes_ -= byte_count;
    const Bytes data = task.data_in.subspan(task.data_in_sent, byte_count);
    const OutputPiece piece =
        task.lent_data_in.empty()
            ? OutputPiece{data}
            : OutputPiece{{}, &task.lent_data_in, task.data_in_sent, byte_count};
    task.data_in_sent = static_cast<std::uint32_t>(end);
    if (carries_status) give_slot_back(task);
    Staged& staged = put(header_bytes(pdu), piece,
                         carries_status ? StatSnUse::uses_up : StatSnUse::none, pending.digests);
    if (carries_status) finish_answer(staged);
}

void OutputQueue::stage_scsi_response(Pending& pending) {
    Task& task = *pending.task;
    ScsiResponsePdu pdu{};
    pdu.opcode = opcode::scsi_response;
    pdu.flags = static_cast<std::uint8_t>(flag_final | task.residual_flags);
    pdu.status = task.status;
    set_data_segment_length(pdu, task.sense_segment.size());
    pdu.initiator_task_tag = task.initiator_task_tag;
    pdu.exp_data_sn = task.data_sn;
    pdu.bidirectional_read_residual_count = task.bidirectional_read_residual_count;
    pdu.residual_count = task.residual_count;
    bytes_ -= task.sense_segment.size();
    give_slot_back(task);
    finish_answer(
        put(header_bytes(pdu), {task.sense_segment}, StatSnUse::uses_up, pending.digests));
}

/// Before the status is numbered, so that it opens the window itself.
void OutputQueue::give_slot_back(Task& task) {
    if (std::exchange(task.has_window_slot, false)) numbering_.give_slot_back();
}

/// The last PDU of an answer is staged: its entry goes, the task stays until the PDU has left.
void OutputQueue::finish_answer(Staged& staged) {
    bytes_ -= basic_header_size;
    staged.finishes = std::exchange(front().task, nullptr);
    pop_front();
}

OutputQueue::Staged& OutputQueue::put(const HeaderBytes& header, const OutputPiece& data,
                                      StatSnUse use, Digests digests) {
    HeaderBytes numbered = header;
    auto fields = std::bit_cast<BasicHeader>(numbered);
    fields.data_segment_length.set(static_cast<std::uint32_t>(data.size()));
    numbered = std::bit_cast<HeaderBytes>(fields);
    number(numbered, use);

    Staged& staged = staged_[(staged_first_ + staged_count_++) & (staged_max - 1)];
    std::ranges::copy(numbered, staged.header.begin());
    staged.header_size = basic_header_size;
    if (digests.header) {
        std::ranges::copy(digest_bytes(crc32c(numbered)),
                          staged.header.begin() + basic_header_size);
        staged.header_size += digest_size;
    }
    staged.data = data;
    staged.trailer_size = 0;
    if (data.size() > 0) {
        staged.trailer = {};
        staged.trailer_size = static_cast<std::uint8_t>((4 - data.size() % 4) % 4);
        if (digests.data) {
            CHECK(data.lent == nullptr);
            std::uint32_t crc = crc32c_update(crc32c_start, data.bytes);
            crc = crc32c_update(crc, Bytes(staged.trailer).first(staged.trailer_size));
            std::ranges::copy(digest_bytes(crc32c_finish(crc)),
                              staged.trailer.begin() + staged.trailer_size);
            staged.trailer_size = static_cast<std::uint8_t>(staged.trailer_size + digest_size);
        }
    }
    staged.is_control = false;
    staged.finishes = nullptr;
    bytes_ += staged.size();
    return staged;
}

void OutputQueue::number(HeaderBytes& header, StatSnUse use) {
    auto fields = std::bit_cast<ResponseNumbers>(header);
    switch (use) {
        case StatSnUse::uses_up:
            fields.stat_sn = numbering_.use_stat_sn().value;
            break;
        case StatSnUse::carries:
            fields.stat_sn = numbering_.next_stat_sn().value;
            break;
        case StatSnUse::none:
            break;
    }
    fields.exp_cmd_sn = numbering_.exp_cmd_sn().value;
    fields.max_cmd_sn = numbering_.max_cmd_sn().value;
    header = std::bit_cast<HeaderBytes>(fields);
}

std::size_t OutputQueue::gather(std::span<OutputPiece> out) {
    stage();
    std::size_t count = 0;
    std::size_t skip = front_sent_;
    for (std::size_t i = 0; i < staged_count_; ++i) {
        const Staged& staged = staged_[(staged_first_ + i) & (staged_max - 1)];
        const std::array<OutputPiece, 3> pieces = {
            OutputPiece{Bytes(staged.header).first(staged.header_size)}, staged.data,
            OutputPiece{Bytes(staged.trailer).first(staged.trailer_size)}};
        for (const OutputPiece& piece : pieces) {
            const std::size_t skipped = std::min(skip, piece.size());
            skip -= skipped;
            if (skipped == piece.size()) continue;
            if (count == out.size()) return count;
            out[count++] = piece.without(skipped);
        }
    }
    return count;
}

void OutputQueue::sent(std::size_t byte_count) {
    CHECK(byte_count <= bytes_);
    bytes_ -= byte_count;
    front_sent_ += byte_count;
    while (staged_count_ > 0) {
        Staged& staged = staged_[staged_first_ & (staged_max - 1)];
        if (front_sent_ < staged.size()) return;
        front_sent_ -= staged.size();
        ++staged_first_;
        --staged_count_;
        if (staged.is_control) {
            --control_count_;
            control_bytes_ -= staged.owned.size();
            staged.owned = {};
        }
        // May queue more, and even be the reason that this connection gets input again.
        if (Task* task = std::exchange(staged.finishes, nullptr)) finished_(context_, *task);
    }
    CHECK(front_sent_ == 0);
}

void OutputQueue::clear() {
    for (Pending& pending : pending_)
        pending.data = {};
    for (Staged& staged : staged_)
        staged.owned = {};
    pending_count_ = staged_count_ = 0;
    front_sent_ = bytes_ = control_count_ = control_bytes_ = 0;
}

}  // namespace cowtgt::iscsi
