#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "cow-store/block/block_device.h"
#include "target/address_range.h"
#include "target/iscsi/connection.h"
#include "target/node/buffer_pool.h"
#include "target/scsi/logical_unit.h"

/// The device side of sessions: what SAM-5 calls task router and task manager. Joins iscsi (which
/// knows no disk) and scsi (which knows no connection). It knows no ring, so tests drive it with
/// a device in memory.
namespace cowtgt::node {

/// One session of one initiator with a target, as the operator sees it.
struct SessionFacts {
    std::string initiator_name;
    std::string initiator_alias;
    iscsi::Isid isid{};
    std::uint16_t tsih = 0;
    std::string peer;        ///< address:port
    std::int64_t since = 0;  ///< seconds since 1970
    std::uint64_t commands = 0;
    IpAddress address{};   ///< of the peer
    bool goes_on = false;  ///< its commands go on counting: no boot, another session's successor
};

/// A target with its LUN 0: sessions, their tasks, and the way of each command through the
/// logical unit and the device.
///
/// Threads: the ring that owns the target. Ownership: the device and the pool outlive it.
class Target {
public:
    struct Config {
        std::string name;  ///< iqn
        scsi::LogicalUnitConfig logical_unit;
        /// Stores what of the unit survives a restart, then calls back on this ring with a good
        /// outcome or io_error. None: logical_unit.keeps_state is false.
        using Keep = std::function<void(std::string state, std::function<void(BlockOutcome)> kept)>;
        Keep keep = {};
    };

    Target(Config config, BlockDevice& device, BufferPool& buffers);
    ~Target();
    Target(const Target&) = delete;
    Target& operator=(const Target&) = delete;

    const std::string& name() const { return config_.name; }

    /// Whether a new session of this initiator must wait for an older one to end (session
    /// reinstatement, RFC 7143 section 6.3.5): the connections to be dropped first. A login with a
    /// TSIH is answered by `status` when there is nothing to reinstate.
    struct Reinstatement {
        std::vector<iscsi::Connection*> to_drop;
        iscsi::LoginStatus status = iscsi::LoginStatus::success;
    };
    Reinstatement reinstatement(const iscsi::LoginRequestInfo& info) const;
    /// Calls back, at once or when the dropped sessions' last request has left the device, so that
    /// no write of an old session can land after one of the new.
    void when_drained(const iscsi::LoginRequestInfo& info, std::function<void()> drained);

    /// Tells whoever drives a connection that it has output, or takes input again.
    struct Waker {
        void (*wake)(void* owner) = nullptr;
        void* owner = nullptr;
    };
    /// Where a session comes from, for the operator.
    struct Origin {
        std::string peer;
        std::int64_t since = 0;
        IpAddress address{};
    };
    /// A new session: returns its TSIH (the one it logged in with, if it had one).
    std::uint16_t attach(iscsi::Connection& connection, Origin origin, Waker waker);
    /// The connection is at its end; its tasks end as their requests come back from the device.
    void detach(iscsi::Connection& connection);

    // From iscsi::ConnectionOwner, for attached connections:
    void command_received(iscsi::Connection& connection, iscsi::ScsiTask& task);
    void data_out_received(iscsi::Connection& connection, iscsi::ScsiTask& task);
    void task_finished(iscsi::Connection& connection, iscsi::ScsiTask& task);
    void task_management_received(iscsi::Connection& connection,
                                  const iscsi::TaskManagementRequest& request);
    void logout_received(iscsi::Connection& connection);

    void capacity_changed();
    void luns_changed();
    /// What an operator changed: scsi::LogicalUnit::reconfigure.
    void reconfigure(const scsi::LogicalUnitConfig& config);
    /// What is left to the unit: scsi::LogicalUnit::see_space.
    bool see_space(const scsi::SpaceLeft& pool, const std::optional<scsi::SpaceLeft>& quota);
    /// Called every second: the unit's background work goes on with a fresh budget of bytes, so
    /// that it never takes more than its share of a disk that other instances use as well.
    void second_passed();
    static constexpr std::uint64_t background_bytes_per_second = 128U << 20;
    /// Ends the unit's background work where it is, before the device closes.
    void stop_background_work();
    std::vector<SessionFacts> sessions() const;
    std::size_t session_count() const;
    bool has_session(std::string_view initiator_name, const iscsi::Isid& isid) const;
    /// No session and no request in the device.
    bool is_idle() const;
    /// No session, and nothing under way that one of them began.
    bool is_at_rest() const;
    /// The unit works for itself (SANITIZE), with or without a session.
    bool has_background_work() const;

private:
    struct Session;
    struct Execution;
    struct PendingFunction;
    struct Drain;
    struct Background;

    std::uint16_t next_tsih();
    Session* session_of(const iscsi::Connection& connection);
    Execution& take_execution(Session& session, iscsi::ScsiTask& task);
    void admit(Execution& execution);
    void memory_granted(Execution& execution, MutableBytes buffer);
    bool must_stay_dormant(const Execution& execution) const;
    void enable(Execution& execution);
    void wake_dormant();
    void task_ended(Execution& execution);
    void start(Execution& execution);
    void run(Execution& execution, const scsi::Step& step);
    void run_block_step(Execution& execution, const scsi::BlockStep& step);
    bool must_wait(const Execution& execution) const;
    void submit(Execution& execution);
    void request_done(Execution& execution, const BlockOutcome& outcome);
    void serve_blocked();
    void release_range(Execution& execution);
    void keep_state(Execution& execution);
    void state_kept(Execution& execution, const BlockOutcome& outcome);
    void abort_preempted(Execution& execution);
    void resume(Execution& execution, const BlockOutcome& outcome);
    void run_background();
    void background_done(const BlockOutcome& outcome);
    void answer(Execution& execution, const scsi::Done& done);
    void abort(Execution& execution);
    void forget_waiting(Execution& execution);
    void drop_unanswered(Execution& execution);
    void retire(Execution& execution);
    void session_drained(Session& session);
    std::vector<Execution*> executions_to_abort(const iscsi::TaskManagementRequest& request,
                                                const Session& issuer);
    void finish_function(const PendingFunction& function);
    void apply_reset(iscsi::TaskFunction function, const Session& issuer);

    Config config_;
    BlockDevice& device_;
    BufferPool& buffers_;
    scsi::LogicalUnit unit_;
    std::vector<std::unique_ptr<Session>> sessions_;
    std::vector<std::unique_ptr<Execution>> executions_;  ///< all ever made, for reuse
    std::vector<Execution*> free_;
    std::vector<Execution*> blocked_;  ///< wait for an exclusive range, in order
    std::size_t exclusive_count_ = 0;  ///< holders and those who want to be
    std::vector<Execution*> dormant_;  ///< wait for older tasks to end, in order
    std::size_t ordering_count_ = 0;   ///< ORDERED and HEAD OF QUEUE tasks that have not ended
    std::uint64_t last_sequence_ = 0;  ///< of a task, in order of arrival
    std::unique_ptr<Background> background_;
    std::vector<Execution*> background_waiters_;
    std::vector<std::unique_ptr<PendingFunction>> functions_;
    std::vector<Drain> drains_;
    std::uint16_t last_tsih_ = 0;
};

}  // namespace cowtgt::node
