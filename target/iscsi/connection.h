#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "cow-store/base/bytes.h"
#include "cow-store/base/lent_bytes.h"
#include "cow-store/base/units.h"

/// RFC 7143 without sockets: one connection of one session (ErrorRecoveryLevel 0,
/// MaxConnections 1). Bytes come in through receive(), bytes to send are fetched with gather(),
/// and what they mean is told to a ConnectionOwner in the words of SAM-5's transport protocol
/// services. CDBs and sense data are opaque bytes here.
namespace cowtgt::iscsi {

class Connection;
class ChapDigest;

/// Asynchronous Message that asks for a logout; parameter3 is the time for it in seconds (RFC 7143
/// section 11.9.1).
inline constexpr std::uint8_t async_event_logout_request = 1;

/// Session identifier part of the initiator (RFC 7143 section 11.12.5).
using Isid = std::array<std::uint8_t, 6>;
/// Firmware rather than an operating system: ISIDs of the EN format (RFC 7143 section 11.12.5) with
/// the enterprise number of Fen Systems.
constexpr bool is_ipxe(const Isid& isid) {
    return isid[0] == 0x40 && isid[1] == 0x00 && isid[2] == 0x27 && isid[3] == 0x23;
}

enum class SessionType : std::uint8_t { normal, discovery };

/// Status-Class and Status-Detail of a Login Response (RFC 7143 section 11.13.5) as one number.
enum class LoginStatus : std::uint16_t {
    success = 0x0000,
    target_moved_temporarily = 0x0101,
    initiator_error = 0x0200,
    authentication_failure = 0x0201,
    authorization_failure = 0x0202,
    target_not_found = 0x0203,
    target_removed = 0x0204,
    unsupported_version = 0x0205,
    too_many_connections = 0x0206,
    missing_parameter = 0x0207,
    cannot_include_in_session = 0x0208,
    session_type_not_supported = 0x0209,
    session_does_not_exist = 0x020a,
    invalid_during_login = 0x020b,
    target_error = 0x0300,
    service_unavailable = 0x0301,
    out_of_resources = 0x0302,
};

/// Who is logging in and to what; complete once the leading Login Request has been read.
struct LoginRequestInfo {
    std::string initiator_name;
    std::string initiator_alias;
    std::string target_name;  ///< empty in a discovery session
    SessionType session_type = SessionType::normal;
    Isid isid{};
    std::uint16_t tsih = 0;
    std::uint16_t cid = 0;
    std::uint32_t cmd_sn = 0;  ///< of the first request: where the numbering of commands begins
};

/// The owner's answer to login_requested.
struct LoginDecision {
    LoginStatus status = LoginStatus::success;
    std::uint16_t target_portal_group_tag = 1;
    std::string target_alias;
    struct Chap {
        std::string user, secret;                ///< what the initiator must prove
        std::string mutual_user, mutual_secret;  ///< what we prove; empty: no mutual CHAP
        const ChapDigest* digest = nullptr;      ///< outlives the login
    };
    std::optional<Chap> chap;  ///< absent: AuthMethod=None
};

/// What we offer and what we hold the peer to. Bytes unless said.
struct ConnectionLimits {
    std::uint32_t max_recv_data_segment_length = 262144;  ///< what we declare
    std::uint32_t first_burst_length = 262144;
    std::uint32_t max_burst_length = 16776192;
    std::uint16_t max_outstanding_r2t = 1;  ///< count per task
    std::uint16_t command_window = 128;     ///< commands: MaxCmdSN - ExpCmdSN + 1 when idle
    std::uint32_t login_text_max =
        16384;  ///< text of one login step or Text exchange, all its PDUs
};

/// One SCSI command between its request and the end of its answer.
/// Ownership: the connection's; valid from scsi_command_received until task_finished.
struct ScsiTask {
    std::uint32_t initiator_task_tag = 0;
    std::uint64_t lun = 0;  ///< the 8-byte LUN field, as a number (big endian)
    std::array<std::uint8_t, 16> cdb{};
    std::vector<std::uint8_t> extended_cdb;  ///< the whole CDB when it is longer than 16 bytes
    std::uint32_t expected_data_transfer_length = 0;  ///< bytes
    bool read = false, write = false;                 ///< R and W bits
    bool immediate = false;                           ///< I bit
    std::uint8_t attribute = 1;                       ///< ATTR: 1 simple, 2 ordered, 3 head, 4 ACA
    void* owner_state = nullptr;                      ///< the owner's; not looked at
    bool aborted = false;  ///< set by the owner before complete(): no answer
};

/// What the device server has to say at the end of a command (SAM-5 "Send Command Complete").
struct ScsiResponse {
    std::uint8_t status = 0;      ///< SAM-5 status code
    Bytes sense = {};             ///< without the two-byte SenseLength; copied
    Bytes data_in = {};           ///< must stay valid until task_finished
    LentBytes lent_data_in = {};  ///< instead of data_in's content, with its length; if not empty
    /// Bytes the command itself would have moved in each direction, for the residual counts
    /// (RFC 7143 section 11.4.5).
    std::uint64_t data_in_length = 0;
    std::uint64_t data_out_length = 0;
};

/// Task management functions and responses by their numbers in RFC 7143 sections 11.5 and 11.6.
enum class TaskFunction : std::uint8_t {
    abort_task = 1,
    abort_task_set = 2,
    clear_aca = 3,
    clear_task_set = 4,
    logical_unit_reset = 5,
    target_warm_reset = 6,
    target_cold_reset = 7,
    task_reassign = 8,
};
enum class TaskFunctionResponse : std::uint8_t {
    complete = 0,
    task_does_not_exist = 1,
    lun_does_not_exist = 2,
    task_still_allegiant = 3,
    reassign_not_supported = 4,
    not_supported = 5,
    authorization_failed = 6,
    rejected = 255,
};
struct TaskManagementRequest {
    TaskFunction function = TaskFunction::abort_task;
    std::uint64_t lun = 0;
    std::uint32_t initiator_task_tag = 0;
    ScsiTask* referenced_task = nullptr;  ///< ABORT TASK: null if there is none in the task set
    std::uint32_t referenced_task_tag = 0;
};

struct TargetRecord {
    std::string name;
    std::vector<std::string> addresses;  ///< "host:port,tpgt", IPv6 in brackets
};

/// A part of what is to be sent: in memory, or lent.
struct OutputPiece {
    Bytes bytes;                      ///< empty if it is lent
    const LentBytes* lent = nullptr;  ///< null: it is in memory
    std::uint64_t lent_offset = 0;    ///< bytes into what is lent
    std::size_t lent_length = 0;      ///< bytes

    std::size_t size() const { return lent != nullptr ? lent_length : bytes.size(); }
    /// Without its first bytes. Requires: byte_count <= size().
    OutputPiece without(std::size_t byte_count) const;
};

/// Why a connection is at its end; text is for the log.
struct CloseReason {
    enum class Kind : std::uint8_t { login_refused, protocol_error, logout, digest_error } kind;
    std::string text;
    LoginStatus login_status = LoginStatus::success;  ///< what a refused login was answered with
};

/// Whoever owns a Connection. Every function may call back into the connection at once, but not
/// destroy it, and not call receive(), received_directly(), sent() or transport_lost().
/// Threads: the thread that called receive().
class ConnectionOwner {
public:
    virtual ~ConnectionOwner() = default;
    /// The leading Login Request has been read. Answer with Connection::decide_login, now or
    /// later; the connection takes no input before.
    virtual void login_requested(Connection&, const LoginRequestInfo&) = 0;
    /// Negotiation is over; only the final Login Response is missing. The owner reinstates
    /// (RFC 7143 section 6.3.5), chooses the TSIH and answers with Connection::finish_login. A
    /// TSIH in the request names a session that must be there.
    virtual void session_wanted(Connection&, const LoginRequestInfo&) = 0;
    /// The final Login Response is queued: full feature phase.
    virtual void session_started(Connection&) = 0;

    /// SCSI Command Received. The owner answers with receive_data_out or complete, now or later.
    /// When data follows the command in the stream, no more input is taken before that.
    virtual void scsi_command_received(Connection&, ScsiTask&) = 0;
    /// Everything that receive_data_out asked for is in its buffer.
    virtual void data_out_received(Connection&, ScsiTask&) = 0;
    /// The answer has been handed to the transport completely (or the task went away with its
    /// connection): buffers may be reused. The task is gone afterwards.
    /// It also comes without complete() when the transport ends the task by itself: Data-Out that
    /// breaks the protocol or fails its digest is answered with CHECK CONDITION, ABORTED COMMAND.
    virtual void task_finished(Connection&, ScsiTask&) = 0;
    virtual void task_management_received(Connection&, const TaskManagementRequest&) = 0;
    /// SendTargets: what this initiator may see. `name` is empty for All.
    virtual std::vector<TargetRecord> targets_wanted(Connection&, std::string_view name) = 0;
    /// 0 close the session, 1 close the connection, 2 remove for recovery. The owner answers with
    /// answer_logout when no task is left.
    virtual void logout_received(Connection&, std::uint8_t reason) = 0;
    /// A ping that send_ping sent was answered.
    virtual void ping_answered(Connection&) = 0;
    /// The connection has come to its end: send what gather() still has, then close.
    virtual void close_wanted(Connection&, const CloseReason&) = 0;
};

/// One connection from its first byte to its last.
///
/// Threads: none of its own; it belongs to one ring at a time and may move between them while no
/// function of it runs. Memory: a fixed small state until full feature phase; then tasks by use,
/// at most command_window plus the immediate ones.
class Connection {
public:
    /// `random` gives bytes for CHAP challenges; called during login only.
    Connection(ConnectionOwner& owner, const ConnectionLimits& limits,
               void (*random)(MutableBytes));
    ~Connection();
    Connection(const Connection&) = delete;
    Connection& operator=(const Connection&) = delete;

    void set_owner(ConnectionOwner& owner);

    /// Takes bytes from the stream and returns how many it took. Fewer than given means that it
    /// waits for an answer of the owner (login decision, buffer) or has come to its end: give the
    /// rest again after that. Payload is copied into task buffers; nothing of `in` is kept.
    std::size_t receive(Bytes in);
    /// True if receive() would take input now. Besides the waits above, it is false while too many
    /// answers to pings and texts have not been sent: look again after sent().
    bool takes_input() const;
    /// Commands that came too early (RFC 7143 section 4.2.2.1) and whose turn has come: when
    /// takes_input() is true, call receive(), with nothing if there is nothing.
    bool has_held_input() const;
    /// Where the next bytes of the stream may be received directly (the rest of a Data-Out segment
    /// that goes into a task's buffer, digest off or on); empty when the parser wants them first.
    /// received_directly(n) says that n bytes were put there, 0 that the window is not used.
    /// The buffer behind the window stays: a task that ends meanwhile (aborted by another session)
    /// gets its task_finished only with the next call of received_directly, receive,
    /// direct_receive_window or transport_lost. No such call may come while the kernel still
    /// writes into the window.
    MutableBytes direct_receive_window();
    void received_directly(std::size_t byte_count);

    /// Fills `out` with pieces to send, in order, and returns how many. They stay valid until
    /// sent() has counted them. Nothing is skipped or repeated between gather calls: bytes leave
    /// the queue by sent() only.
    std::size_t gather(std::span<OutputPiece> out);
    void sent(std::size_t byte_count);
    bool has_output() const;

    // Login.
    void decide_login(const LoginDecision& decision);
    void finish_login(LoginStatus status, std::uint16_t tsih);

    // Full feature phase.
    /// Asks for the Data-Out of a task: buffer.size() <= expected_data_transfer_length bytes are
    /// put into it, from immediate, unsolicited and solicited data (R2T); what goes beyond is
    /// dropped. An empty buffer means that none is wanted; data_out_received is not called then.
    /// Once per task.
    void receive_data_out(ScsiTask& task, MutableBytes buffer);
    /// Queues Data-In and status. Without data_in the status goes in a SCSI Response; with GOOD
    /// status and no sense it is folded into the last Data-In. Data-Out that still arrives is
    /// dropped. Ignored for a task that the transport has ended by itself.
    void complete(ScsiTask& task, const ScsiResponse& response);
    /// Whether complete() takes lent Data-In: not with data digests, which need to see it.
    bool can_send_lent_bytes() const;
    void answer_task_management(const TaskManagementRequest& request,
                                TaskFunctionResponse response);
    void answer_logout();
    /// Queues a NOP-In that asks for an answer (RFC 7143 section 11.19).
    void send_ping();
    /// Asynchronous Message (section 11.9); `sense` for event 0.
    void send_async_message(std::uint8_t event, std::uint16_t parameter1, std::uint16_t parameter2,
                            std::uint16_t parameter3, Bytes sense);
    /// The transport is gone: every task ends with task_finished, nothing is sent any more.
    void transport_lost();

    /// Visits every task that has been received and not finished, those among them whose answer is
    /// queued. The visitor may complete and abort tasks.
    void for_each_task(void (*visit)(void* context, ScsiTask&), void* context);

    bool in_full_feature_phase() const;
    const LoginRequestInfo& login_info() const;
    std::uint16_t tsih() const;
    /// Bytes queued and not yet sent.
    std::size_t output_bytes() const;

private:
    struct State;
    std::unique_ptr<State> state_;
};

}  // namespace cowtgt::iscsi
