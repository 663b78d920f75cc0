#pragma once

#include <spdlog/common.h>
#include <sys/uio.h>

#include <array>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "target/iscsi/connection.h"
#include "target/net/ring_worker.h"

namespace cowtgt::net {

/// Moves the bytes of one connection between its socket and its iscsi::Connection, and takes what
/// they mean to the target: the ConnectionOwner.
///
/// One receive and one send are in the kernel at most; a send carries everything that is ready.
/// Threads: one ring's; between detach_from_ring and attach_to_ring it may change rings.
class ConnectionDriver final : public iscsi::ConnectionOwner {
public:
    /// Owns the socket.
    ConnectionDriver(RingWorker& worker, ConnectionId id, int socket);
    ~ConnectionDriver() override;

    ConnectionId id() const { return id_; }
    iscsi::Connection& connection() { return connection_; }
    const std::string& instance() const { return instance_; }
    bool has_session() const { return target_ != nullptr; }

    /// Begins to receive.
    void start();
    /// Requires: a login waits for its target, so nothing is in the kernel.
    bool is_movable() const {
        return awaiting_target_ && !receiving_ && !sending_ && !pump_.queued;
    }
    void move_to(RingWorker& worker, ConnectionId id);
    /// The target is open on this ring: the login goes on.
    void target_ready(const std::string& instance);
    /// The reason is for the log.
    void refuse(iscsi::LoginStatus status, std::string reason);
    /// What session_wanted waited for is done, or has failed.
    void settle_login(iscsi::LoginStatus status, std::string reason);

    /// Asks the initiator of a normal session to log out within that time (RFC 7143 section 11.9,
    /// event 1). Not iPXE, which takes no such message.
    void ask_for_logout(std::uint16_t seconds);
    /// Since then, and until the answer to its logout is sent.
    bool is_asked_for_logout() const { return asked_for_logout_; }
    /// Ends the connection without another word to the peer.
    void drop(std::string_view reason);
    /// Once a second.
    void tick();

    // ConnectionOwner:
    void login_requested(iscsi::Connection&, const iscsi::LoginRequestInfo& info) override;
    void session_wanted(iscsi::Connection&, const iscsi::LoginRequestInfo& info) override;
    void session_started(iscsi::Connection&) override;
    void scsi_command_received(iscsi::Connection&, iscsi::ScsiTask& task) override;
    void data_out_received(iscsi::Connection&, iscsi::ScsiTask& task) override;
    void task_finished(iscsi::Connection&, iscsi::ScsiTask& task) override;
    void task_management_received(iscsi::Connection&,
                                  const iscsi::TaskManagementRequest& request) override;
    std::vector<iscsi::TargetRecord> targets_wanted(iscsi::Connection&,
                                                    std::string_view name) override;
    void logout_received(iscsi::Connection&, std::uint8_t reason) override;
    void ping_answered(iscsi::Connection&) override;
    void close_wanted(iscsi::Connection&, const iscsi::CloseReason& reason) override;

private:
    static constexpr std::size_t pieces_max = 128;  ///< of one send
    static constexpr std::size_t direct_bytes_min =
        8192;  ///< below it a copy is cheaper than a turn
    static constexpr std::uint64_t linger_seconds = 2;

    void wake();
    void pump();
    void feed(Bytes bytes);
    void start_receive();
    void received(const ring::Completion::Outcome& outcome);
    void start_send();
    void set_message(std::size_t piece_count);
    void was_sent(const ring::Completion::Outcome& outcome);
    void became_writable(const ring::Completion::Outcome& outcome);
    void join_session(const iscsi::LoginRequestInfo& info);
    void finish_attach();
    node::SessionFacts facts() const;
    bool is_kept_out(const iscsi::LoginRequestInfo& info);
    /// Whether this ring has no room for one more; tells the initiator.
    bool is_one_too_many();
    void refuse_by(const node::Catalogue::Found& found, node::Refusal refusal);
    void refuse_session(iscsi::LoginStatus status, std::string reason);
    void log_end(spdlog::level::level_enum level, std::string_view what, std::string_view reason);

    RingWorker* worker_;
    ConnectionId id_;
    int socket_;
    std::string peer_;
    IpAddress peer_ip_;
    std::string portal_;
    iscsi::Connection connection_;
    node::Target* target_ = nullptr;
    std::string instance_;
    std::uint16_t tsih_ = 0;                          ///< of the session
    std::int64_t session_since_ = 0;                  ///< seconds since 1970
    bool session_told_ = false;                       ///< the broker knows of it
    std::optional<iscsi::LoginDecision::Chap> chap_;  ///< while the target is being opened

    ring::Completion receive_;
    ring::Completion send_;
    ring::Completion writable_;
    ring::Deferred pump_;
    bool receiving_ = false;
    bool receiving_directly_ = false;
    bool sending_ = false;
    bool awaiting_target_ = false;
    bool closing_ = false;    ///< what is queued goes out, then the socket closes
    bool lingering_ = false;  ///< waits for the peer's FIN
    bool dropped_ = false;
    bool asked_for_logout_ = false;
    std::string refusal_reason_;      ///< of a login that we refuse; empty: what iscsi says
    std::vector<std::byte> backlog_;  ///< received, not yet taken by the connection
    std::array<iscsi::OutputPiece, pieces_max> pieces_;
    std::array<iovec, pieces_max> vectors_;
    msghdr message_{};

    std::uint64_t began_;  ///< seconds of the worker's clock
    std::uint64_t last_activity_;
    std::uint64_t ping_sent_ = 0;  ///< 0: none waits for its answer
    std::uint64_t linger_until_ = 0;
};

}  // namespace cowtgt::net
