#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <unordered_map>
#include <vector>

#include "cow-store/descriptor.h"
#include "cow-store/volume/chunk_sums.h"
#include "cow-store/volume/volume.h"
#include "target/iscsi/connection.h"
#include "target/net/flattening.h"
#include "target/net/socket_address.h"
#include "target/node/buffer_pool.h"
#include "target/node/catalogue.h"
#include "target/node/name_holders.h"
#include "target/node/target.h"
#include "target/ring/ring.h"
#include "target/ring/ring_file.h"

namespace cowtgt::net {

class ConnectionDriver;
class RingWorker;

/// Names one connection of one ring while it may be gone already.
using ConnectionId = std::uint64_t;

/// What a login says about its machine.
enum class LoginKind : std::uint8_t {
    firmware,   ///< iPXE, by its ISID
    first,      ///< another one, whose commands begin with number 0
    continued,  ///< another one, whose commands go on from where they were
};

/// Opens targets for logins. Called on ring threads; must not wait. The answer comes as
/// RingWorker::hand_over or refuse_login, posted to the asking ring.
class LoginBroker {
public:
    virtual ~LoginBroker() = default;
    virtual void target_wanted(RingWorker& ring, ConnectionId connection,
                               const std::string& instance) = 0;
    /// Somebody who has proven who it is logs in to an ephemeral instance, which is served by this
    /// ring. The answer comes as RingWorker::settle_login.
    virtual void boot_login(RingWorker& ring, ConnectionId connection, const std::string& instance,
                            LoginKind kind) = 0;
    /// Nobody has used this target of this ring for a while.
    virtual void target_unused(RingWorker& ring, const std::string& instance) = 0;
    /// A normal session is in its full feature phase, or no more.
    virtual void session_began(const std::string& instance, const node::SessionFacts& session) = 0;
    virtual void session_ended(const std::string& instance, const node::SessionFacts& session) = 0;
    /// A machine was kept out because another one, at `holder`, has its initiator name
    /// (node::NameHolders).
    virtual void name_is_shared(const std::string& instance, const node::SessionFacts& kept_out,
                                const std::string& holder) = 0;
};

/// A layer below the live one.
struct SealedParts {
    std::shared_ptr<const ClusterMap> map;  ///< null: VolumeParts::merged has it
    Descriptor file;                        ///< through the page cache
    std::shared_ptr<ChunkSums> sums;        ///< to verify it by at read; null: it is trusted
    std::uint64_t overlap_limit = 0;        ///< bytes of what lies below that show through
};

/// What an instance may take of the host.
struct SpaceQuota {
    std::uint64_t max_bytes = no_space_limit;  ///< for its live layer
    std::uint64_t threshold_bytes = 0;         ///< left of it, below which that is low
};

/// Everything that a ring needs of one instance's disk; moves to the ring's thread.
struct VolumeParts {
    RecoveredLayer layer;
    ring::RingFile::Descriptors layer_file;
    DirectIoAlignment alignment;
    std::vector<SealedParts> sealed;          ///< from the top down
    std::shared_ptr<const MergedMap> merged;  ///< of their maps; null: they have their own
    ring::RingFile::Descriptors base_file;    ///< -1: none
    std::shared_ptr<ChunkSums> base_sums;     ///< as SealedParts::sums
    std::uint64_t base_size = 0;              ///< bytes
    SpaceQuota quota;
};

/// Everything that a ring needs to serve one instance.
struct TargetParts {
    std::string instance;
    node::Target::Config target;
    VolumeParts volume;
};

struct WorkerLimits {
    std::uint32_t connections_max = 4096;       ///< per ring; more logins are refused
    std::uint32_t connections_beyond_max = 64;  ///< more, so that they can be told why
    std::size_t sessions_per_target_max = 64;
    std::size_t command_memory_bytes = 512U << 20;  ///< per ring, for the data of commands
    std::uint32_t login_seconds_max = 15;
    std::uint32_t ping_after_seconds = 30;  ///< of silence; never to iPXE, which ignores pings
    std::uint32_t ping_seconds_max = 60;    ///< without an answer: the peer is gone
    std::uint32_t unused_target_seconds = 30;
};

/// One ring and its thread, with the connections, targets and volumes that live on it.
///
/// Threads: start, stop and post from any; everything else on the worker's own thread, which is
/// where posted functions run.
class RingWorker {
public:
    struct Options {
        std::uint32_t index = 0;
        iscsi::ConnectionLimits connection;
        WorkerLimits limits;
        std::uint32_t busy_poll_us = 0;         ///< ring::Ring::Options
        std::vector<std::string> portals = {};  ///< all that the daemon listens on, "10.0.0.1:3260"
    };

    static Result<std::unique_ptr<RingWorker>> start(const Options& options, LoginBroker& broker);
    /// Ends the thread. Targets are closed before (close_target), connections end with it.
    ~RingWorker();

    void post(std::function<void()> message) { ring_->post(std::move(message)); }
    std::uint32_t index() const { return options_.index; }

    // On the worker's thread:
    /// Accepts on a listening socket, which it owns from now on.
    void listen(int socket);
    void stop_listening();
    node::Catalogue& catalogue() { return catalogue_; }
    /// Logins are refused with "service unavailable, retry" except between these two.
    void admit_logins() { refusing_logins_ = false; }
    void refuse_logins() { refusing_logins_ = true; }
    /// Asks the initiators of all sessions to log out within that time; `drained` is called on this
    /// thread once the last of them is gone. Who stays is not dropped.
    void drain(std::uint16_t seconds, std::function<void()> drained);

    void serve(TargetParts parts);
    /// Ends every session of the target, then flushes and closes its volume; `closed` gets the
    /// outcome on this thread. Nothing to do when it is not served.
    void close_target(const std::string& instance, std::function<void(BlockOutcome)> closed);
    /// Makes the target's commands wait and closes its volume and its files; `paused` gets the
    /// outcome on this thread. Then either resume() or abandon_target() follows. Sessions stay.
    /// Requires: it is served, and neither paused nor being closed.
    void pause_target(const std::string& instance, std::function<void(BlockOutcome)> paused);
    /// Goes on with these; initiators are told when the disk has another size.
    void resume_target(const std::string& instance, VolumeParts parts);
    /// Ends every session of a paused target, and the target; `closed` is called on this thread.
    void abandon_target(const std::string& instance, std::function<void(BlockOutcome)> closed);
    /// Ends every session of a served target, but not this connection, which is about to become
    /// one; `ended` is called on this thread once nothing of them is under way.
    void end_other_sessions(const std::string& instance, ConnectionId but,
                            std::function<void()> ended);
    bool serves(const std::string& instance) const { return targets_.contains(instance); }
    std::vector<node::SessionFacts> sessions(const std::string& instance) const;
    /// What an operator changed about the unit; nothing to do when it is not served.
    void reconfigure(const std::string& instance, const scsi::LogicalUnitConfig& config);
    /// Another quota for a served instance; nothing to do when it is not served.
    void set_quota(const std::string& instance, const SpaceQuota& quota);
    /// Begins to give a served instance all that lies below its live layer (Flattening); `ended` is
    /// called on this thread. Requires: it is served, and not paused.
    void begin_flatten(const std::string& instance, Flattening::Ended ended);
    void stop_flatten(const std::string& instance);
    /// Bytes of the disk that are done with; 0: nothing was begun.
    std::uint64_t flatten_position(const std::string& instance) const;
    /// Of its live layer, on the host; 0: it is not served, or paused.
    std::uint64_t allocated_bytes(const std::string& instance) const;
    /// What is left of the store's file system.
    void set_pool(const scsi::SpaceLeft& pool) { pool_ = pool; }
    std::size_t connection_count() const { return connections_.size(); }
    /// Reads from a served instance beside its sessions; `done` on this thread. False: not served.
    bool read(const std::string& instance, BlockRequest& request);

    /// The target is served by `owner`: the connection goes on logging in there.
    void hand_over(ConnectionId connection, RingWorker& owner, std::string instance);
    void refuse_login(ConnectionId connection, iscsi::LoginStatus status, std::string reason);
    /// A login to an ephemeral instance goes on, or is refused, for this reason.
    void settle_login(ConnectionId connection, iscsi::LoginStatus status, std::string reason);

    // For the connections of this ring:
    ring::Ring& ring() { return *ring_; }
    node::Target* find_target(const std::string& instance);
    /// Of a target that is served here, else null.
    node::NameHolders* find_name_holders(const std::string& instance);
    ConnectionDriver* find(const iscsi::Connection& connection);
    ConnectionDriver* find(ConnectionId connection);
    void remove(ConnectionDriver& driver);
    /// One that was asked to log out has left.
    void tell_when_drained();
    LoginBroker& broker() { return broker_; }
    bool refuses_logins() const { return refusing_logins_; }
    const Options& options() const { return options_; }
    std::uint64_t now_seconds() const { return ticks_; }

private:
    struct Served;
    struct Listener;

    RingWorker(const Options& options, LoginBroker& broker);
    void run_thread(std::function<void(Result<void>)> started);
    void accepted(Listener& listener, const ring::Completion::Outcome& outcome);
    void adopt(std::unique_ptr<ConnectionDriver> driver, const std::string& instance);
    void keep_ticking();
    void tick();
    void count_down(Served& served);
    void see_space(Served& served);
    void finish_close(const std::string& instance, const BlockOutcome& outcome);
    void end_sessions(Served& served);

    Options options_;
    LoginBroker& broker_;
    std::unique_ptr<ring::Ring> ring_;
    std::unique_ptr<node::BufferPool> buffers_;
    node::Catalogue catalogue_;
    std::vector<std::unique_ptr<Listener>> listeners_;
    std::unordered_map<std::string, std::unique_ptr<Served>> targets_;
    std::unordered_map<ConnectionId, std::unique_ptr<ConnectionDriver>> connections_;
    ConnectionId last_connection_ = 0;
    bool refusing_logins_ = true;
    std::function<void()> drained_;        ///< empty: nobody waits
    std::optional<scsi::SpaceLeft> pool_;  ///< nothing: nobody has looked yet
    ring::Completion tick_completion_;
    bool ticking_ = false;
    std::uint64_t ticks_ = 0;
    std::thread thread_;
};

}  // namespace cowtgt::net
