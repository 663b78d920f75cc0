#pragma once

#include <array>
#include <bit>
#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include "cow-store/base/bytes.h"
#include "target/iscsi/keys.h"
#include "target/iscsi/numbering.h"
#include "target/iscsi/pdu.h"
#include "target/iscsi/task_table.h"

namespace cowtgt::iscsi {

using HeaderBytes = std::array<std::byte, basic_header_size>;

/// What a PDU does with StatSN (RFC 7143 section 4.2.2.2).
enum class StatSnUse : std::uint8_t {
    uses_up,  ///< it is a response: it carries StatSN and advances it
    carries,  ///< R2T and the NOP-In that asks: the next StatSN, not advanced
    none,     ///< Data-In without status: the field is reserved
};

/// Everything a connection has to send, in order, and the one place that numbers it.
///
/// A PDU gets its numbers, its digests and its place in memory only when it is about to leave
/// (gather), a few at a time: an answer of 16 MiB costs one entry here, not two thousand, and
/// ExpCmdSN and MaxCmdSN are as fresh as they can be.
/// Ownership: data of tasks stays with the owner of the task until `finished` is called for it;
/// data of other PDUs is moved in.
class OutputQueue {
public:
    /// `finished(context, task)` is called from sent(), after the last byte of the task's answer.
    OutputQueue(Numbering& numbering, void (*finished)(void* context, Task&), void* context)
        : numbering_(numbering), finished_(finished), context_(context) {}

    /// For what is queued from now on; what is queued already keeps the old ones.
    void set_parameters(const OperationalParameters& parameters);

    /// Queues a PDU that is no part of a SCSI command. The length field is set here.
    /// Requires: data fits into one data segment of the initiator.
    template <typename Pdu>
    void push(const Pdu& pdu, std::vector<std::byte> data, StatSnUse use) {
        push_control(header_bytes(pdu), std::move(data), use);
    }
    void push_ready_to_transfer(const ReadyToTransfer& pdu);
    /// Queues Data-In and status, as they stand in the task.
    void push_answer(Task& task);

    std::size_t gather(std::span<OutputPiece> out);
    void sent(std::size_t byte_count);
    /// Drops everything; `finished` is not called.
    void clear();

    bool empty() const { return pending_count_ == 0 && staged_count_ == 0; }
    /// Bytes of headers and data still to be sent. Digests and padding count once a PDU is staged.
    std::size_t bytes() const { return bytes_; }
    /// What the peer has made us queue without any command window holding it back.
    std::size_t control_count() const { return control_count_; }
    std::size_t control_bytes() const { return control_bytes_; }

private:
    enum class Kind : std::uint8_t { control, ready_to_transfer, answer };

    struct Pending {
        Kind kind = Kind::control;
        StatSnUse use = StatSnUse::none;
        Digests digests;
        HeaderBytes header{};
        std::vector<std::byte> data;
        Task* task = nullptr;
    };

    /// A PDU ready for the wire. `header` includes the header digest.
    struct Staged {
        std::array<std::byte, basic_header_size + digest_size> header{};
        std::array<std::byte, 3 + digest_size> trailer{};  // padding and data digest
        std::uint8_t header_size = 0, trailer_size = 0;
        bool is_control = false;
        OutputPiece data;
        std::vector<std::byte> owned;  // what `data` points to, unless a task has it
        Task* finishes = nullptr;

        std::size_t size() const { return header_size + data.size() + trailer_size; }
    };

    template <typename Pdu>
    static HeaderBytes header_bytes(const Pdu& pdu) {
        static_assert(sizeof(Pdu) == basic_header_size);
        return std::bit_cast<HeaderBytes>(pdu);
    }

    void push_control(const HeaderBytes& header, std::vector<std::byte> data, StatSnUse use);
    Pending& push_back();
    Pending& front() { return pending_[pending_first_ & (pending_.size() - 1)]; }
    void pop_front();

    void stage();
    void stage_next();
    void stage_answer(Pending& pending);
    void stage_data_in(Pending& pending, std::size_t byte_count);
    void stage_scsi_response(Pending& pending);
    void finish_answer(Staged& staged);
    void give_slot_back(Task& task);
    /// Numbers, digests and padding; `header` is without all of them.
    Staged& put(const HeaderBytes& header, const OutputPiece& data, StatSnUse use, Digests digests);
    void number(HeaderBytes& header, StatSnUse use);

    static constexpr std::size_t staged_max = 32;  // PDUs of one send; a power of two

    Numbering& numbering_;
    void (*finished_)(void* context, Task&);
    void* context_;
    Digests digests_;
    std::uint32_t data_segment_length_max_ = 8192;  // the initiator's
    std::uint32_t max_burst_length_ = 262144;

    std::vector<Pending> pending_;  // a ring; its size is a power of two
    std::size_t pending_first_ = 0, pending_count_ = 0;
    std::array<Staged, staged_max> staged_;  // a ring that never moves
    std::size_t staged_first_ = 0, staged_count_ = 0;
    std::size_t front_sent_ = 0;  // bytes of the first staged PDU that have left
    std::size_t bytes_ = 0;
    std::size_t control_count_ = 0, control_bytes_ = 0;
};

}  // namespace cowtgt::iscsi
