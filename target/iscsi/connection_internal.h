#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "target/iscsi/connection.h"
#include "target/iscsi/held_commands.h"
#include "target/iscsi/keys.h"
#include "target/iscsi/login.h"
#include "target/iscsi/numbering.h"
#include "target/iscsi/output_queue.h"
#include "target/iscsi/pdu.h"
#include "target/iscsi/pdu_reader.h"
#include "target/iscsi/state_machine.h"
#include "target/iscsi/task_table.h"
#include "target/iscsi/text.h"

namespace cowtgt::iscsi {

/// Immediate SCSI commands beyond the command window.
inline constexpr std::size_t immediate_tasks_max = 16;
/// Task management functions the owner has not yet answered.
inline constexpr std::size_t task_management_max = 16;
/// Answers to pings, texts and the like that wait for the peer to read them: no input beyond.
inline constexpr std::size_t control_count_max = 64;
inline constexpr std::size_t control_bytes_max = 1048576;

/// What Connection hides. One part per file: connection.cc (stream and dispatch),
/// connection_login.cc, scsi_tasks.cc, data_out.cc, control_pdus.cc.
struct Connection::State {
    State(Connection& self, ConnectionOwner& owner, const ConnectionLimits& limits,
          void (*random)(MutableBytes));

    // connection.cc
    void read(Bytes& in);
    bool takes_input() const;
    bool has_held_input() const;
    Bytes held_input();
    void forget_held_input();
    void take(PduReader::Step step);
    void begin_pdu();
    void begin_full_feature_pdu();
    bool comes_in_order();
    void dispatch();
    void hold_pdu();
    void take_payload(Bytes payload);
    void end_pdu();
    void end_full_feature_pdu();
    void enter(ConnectionEvent event);
    void close(CloseReason reason);
    void reject(RejectReason reason);
    /// The data segment of the PDU in progress, moved out.
    std::vector<std::byte> take_segment();

    // connection_login.cc
    void receive_login_request();
    void perform(LoginStep step);
    void send_login_response(const LoginAnswer& answer, LoginStatus status, std::uint16_t tsih);
    void refuse_login(LoginStatus status, const std::string& reason);
    void finish_login(LoginStatus status, std::uint16_t tsih);

    // scsi_tasks.cc
    void begin_scsi_command();
    void end_scsi_command();
    void fill_task(Task& task, const ScsiCommand& pdu);
    bool read_additional_headers(Task& task);
    std::optional<TransportFailure> check_unsolicited(const Task& task,
                                                      const ScsiCommand& pdu) const;
    void end_task_management();
    bool gives_up_a_command(const TaskManagementRequestPdu& pdu);
    void complete(Task& task, const ScsiResponse& response);
    void queue_answer(Task& task);
    void detach(Task& task);
    void finish(Task& task);
    void release(Task& task);
    void end_direct_receive();

    // data_out.cc
    void begin_data_out();
    void end_data_out();
    std::optional<TransportFailure> check_data_out(const Task& task, const DataOut& pdu) const;
    void count_data_out(Task& task, const DataOut& pdu);
    void receive_data_out(Task& task, MutableBytes buffer);
    void advance_data_out(Task& task);
    void send_ready_to_transfer(Task& task);
    void conclude_failure(Task& task);
    bool expects_data(const Task& task) const {
        return task.unsolicited_open || task.r2t_done < task.r2t_sent;
    }

    // control_pdus.cc
    void end_nop_out();
    void end_text_request();
    void answer_text(const TextRequest& pdu);
    void answer_text_pair(const TextPair& pair);
    void answer_send_targets(std::string_view value);
    void send_text_response(const TextRequest& pdu);
    void end_logout_request();
    void send_logout_response(std::uint32_t initiator_task_tag, std::uint8_t response);

    struct Sink {
        enum class Kind : std::uint8_t { discard, collect, task } kind = Kind::discard;
        Task* task = nullptr;
        std::uint32_t offset = 0;  // bytes in the task's data
    };

    /// One exchange of Text Requests and Responses (RFC 7143 section 11.10): a longer text or a
    /// longer answer needs several of each.
    struct TextExchange {
        explicit TextExchange(std::uint32_t byte_count_max) : request(byte_count_max) {}
        std::uint32_t initiator_task_tag = reserved_tag;
        std::uint32_t target_transfer_tag = reserved_tag;
        TextCollector request;
        std::string answer_text;
        TextPieces answer;
    };

    Connection& self_;
    ConnectionOwner* owner_;
    ConnectionLimits limits_;
    ConnectionState state_ = ConnectionState::free;
    bool closed_ = false;
    bool waits_for_owner_ = false;      // a login decision or a session
    Task* waits_for_buffer_ = nullptr;  // whose data are next in the stream

    PduReader reader_;
    Sink sink_;
    MutableBytes direct_window_;         // given out and perhaps being received into
    Task* direct_task_ = nullptr;        // whose buffer that is; not released meanwhile
    bool direct_task_finished_ = false;  // it ended meanwhile
    bool ignored_ = false;               // the PDU in progress has no effect any more
    std::vector<std::byte> segment_;     // of the PDU in progress, if it is collected
    bool held_ = false;                  // the PDU in progress waits for an older command
    HeldCommands held_commands_;
    std::vector<std::byte> held_input_;  // their PDUs whose turn has come,
    std::size_t held_input_read_ = 0;    // and how much of that has been read
    Numbering numbering_;
    TaskTable tasks_;
    OutputQueue output_;
    std::unique_ptr<Login> login_;  // until full feature phase
    std::unique_ptr<TextExchange> text_;
    LoginRequestInfo info_;
    OperationalParameters parameters_;
    std::uint16_t tsih_ = 0;
    std::uint16_t next_transfer_tag_prefix_ = 0;
    std::uint32_t next_target_transfer_tag_ = 0;  // of NOP-In and Text Response
    std::size_t task_management_count_ = 0;       // asked of the owner, not yet answered
    std::uint32_t logout_task_tag_ = reserved_tag;
};

}  // namespace cowtgt::iscsi
