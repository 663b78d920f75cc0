#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "cow-store/base/bytes.h"
#include "target/iscsi/connection.h"

namespace cowtgt::iscsi {

/// Additional sense code and qualifier of the CHECK CONDITION by which the transport itself ends a
/// task; sense key ABORTED COMMAND (RFC 7143 section 11.4.7.2).
enum class TransportFailure : std::uint16_t {
    unexpected_unsolicited_data = 0x0c0c,
    incorrect_amount_of_data = 0x0c0d,
    protocol_service_crc_error = 0x4705,
};

/// A SCSI task as the connection sees it: what the owner sees, and where its data stand.
struct Task : ScsiTask {
    // Data-Out. Data come in order, so one number says what is there.
    MutableBytes buffer;             ///< the owner's, from receive_data_out
    std::uint32_t received = 0;      ///< bytes from the start, dropped ones included
    std::uint32_t next_data_sn = 0;  ///< within the current sequence
    std::uint32_t solicited_start = 0;
    std::uint32_t requested_end = 0;  ///< bytes from the start that R2Ts have asked for
    std::uint32_t r2t_sent = 0, r2t_done = 0;
    std::uint16_t transfer_tag_prefix = 0;
    bool unsolicited_open = false;  ///< immediate data or unsolicited Data-Out still to come
    bool wants_data = false;        ///< receive_data_out has been called and is not yet satisfied
    std::optional<TransportFailure> failure;

    // The answer.
    std::uint32_t bidirectional_read_length = 0;  ///< bytes expected, from the AHS
    std::uint32_t data_sn = 0;                    ///< R2T and Data-In PDUs sent
    std::uint32_t data_in_sent = 0;
    Bytes data_in;
    LentBytes lent_data_in;                ///< what is sent instead, if not empty
    std::vector<std::byte> sense_segment;  ///< SenseLength and sense
    std::uint8_t status = 0;
    std::uint8_t residual_flags = 0;
    std::uint32_t residual_count = 0;
    std::uint32_t bidirectional_read_residual_count = 0;

    bool in_use = false;
    bool known_to_owner = false;
    bool has_window_slot = false;  ///< counts against the command window
    bool answered = false;         ///< its status is queued; the tag is free for the initiator
    Task* next_in_bucket = nullptr;
};

/// The tasks of one connection, found by Initiator Task Tag.
///
/// Memory grows by chunks up to the limit and is reused; in steady state nothing is allocated.
/// Ownership: tasks stay at their address until release().
class TaskTable {
public:
    explicit TaskTable(std::size_t tasks_max) : tasks_max_(tasks_max) {}

    /// A fresh task that is found by its tag; null if there are too many.
    /// Requires: no task with this tag is found.
    Task* create(std::uint32_t initiator_task_tag);
    Task* find(std::uint32_t initiator_task_tag) const;
    /// The task stays but its tag may be used again.
    void forget_tag(Task& task);
    /// Requires: its tag is forgotten.
    void release(Task& task);

    std::size_t size() const { return in_use_; }
    /// By index, so that a visitor may create and release tasks meanwhile: null where none is.
    std::size_t index_end() const { return chunks_.size() * chunk_size; }
    Task* at(std::size_t index);

private:
    static constexpr std::size_t chunk_size = 8;
    static constexpr unsigned bucket_bits = 6;
    using Chunk = std::array<Task, chunk_size>;

    static std::size_t bucket_of(std::uint32_t initiator_task_tag) {
        return initiator_task_tag * 0x9e3779b1U >> (32 - bucket_bits);
    }

    std::size_t tasks_max_;
    std::size_t in_use_ = 0;
    std::vector<std::unique_ptr<Chunk>> chunks_;
    Task* free_ = nullptr;  // linked through next_in_bucket
    std::array<Task*, std::size_t{1} << bucket_bits> buckets_{};
};

}  // namespace cowtgt::iscsi
