#pragma once

#include <cstdint>
#include <functional>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "cow-store/base/result.h"
#include "cow-store/store/store.h"
#include "target/config/machine.h"
#include "target/config/secrets_file.h"

namespace cowtgt::control {

/// One I_T nexus to an instance, as `cowtgt ls` and `show` print it.
struct SessionInfo {
    std::string initiator_name;
    std::string initiator_address;  ///< "10.0.0.7:51234", IPv6 in brackets
    std::string isid;               ///< 12 hex digits
    std::string since;              ///< RFC 3339, UTC
};

/// How far an instance is on its way to stand on nothing else.
struct FlattenProgress {
    enum class State { running, done, cancelled, failed };
    State state = State::running;
    std::uint64_t done_bytes = 0;   ///< of the disk
    std::uint64_t total_bytes = 0;  ///< of the disk
    std::string reason;             ///< of a failure
};

/// What happens when that ends; on the control thread. One of the two is called, but for the end of
/// the daemon.
struct FlattenEnd {
    /// Nothing is read from below any more, and nobody has the files open.
    std::function<Result<void>()> finish;
    /// It was cancelled, or has failed.
    std::function<void()> give_up;
};

/// What the admin operations need from whoever serves the instances. The daemon implements it; the
/// command has an implementation for the case that nobody serves (offline_instances.h).
///
/// Threads: everything is called on the control thread except read_live, which runs on a thread of
/// its own because it may take as long as a disk is large. Functions may wait for a ring's answer.
class LiveInstances {
public:
    virtual ~LiveInstances() = default;

    /// Who has to authenticate at a login from now on; sessions stay.
    virtual void set_secrets(const config::Secrets& secrets) = 0;

    /// The sessions to this instance now; empty when there is none or it is not served.
    virtual std::vector<SessionInfo> sessions(std::string_view name) const = 0;

    /// Stops serving: afterwards nobody has the instance's files open. in_use, naming the
    /// initiators, while one is logged in. Success when it was not served at all.
    virtual Result<void> take_offline(std::string_view name) = 0;

    /// Opens the instance and serves it as PREFIX:NAME, and by its mac alias when it has a MAC; no
    /// other session is disturbed. For an instance that is already served this only applies the
    /// new `machine` (who may log in from now on).
    virtual Result<void> bring_online(std::string_view name, const config::Machine& machine) = 0;

    /// Runs `change` while nobody has the instance's files open. Sessions stay: their commands wait
    /// meanwhile and go on with what the store gives out afterwards. Returns what `change` did, or
    /// why it was not run; an instance that cannot be opened again is taken offline.
    virtual Result<void> while_paused(std::string_view name,
                                      const std::function<Result<void>()>& change) = 0;

    /// Layers of this instance are gone: its quota has more room.
    virtual void space_freed(std::string_view name) = 0;

    /// Gives the live layer what it reads from below, in the background, while sessions go on; then
    /// runs `end`. Requires: that is not under way.
    virtual Result<void> begin_flatten(std::string_view name, FlattenEnd end) = 0;
    /// refused when it is not under way.
    virtual Result<void> cancel_flatten(std::string_view name) = 0;
    /// Also of one that has ended, while the daemon runs; nothing: none was begun.
    virtual std::optional<FlattenProgress> flatten_progress(std::string_view name) const = 0;

    /// Whether instances may be open at all: what lies on disk may change under whoever reads it.
    virtual bool serves() const = 0;

    /// while_paused() for other threads than the control thread, where `work` runs. Also when the
    /// layer is fenced.
    virtual Result<void> at_rest(std::string_view name,
                                 const std::function<Result<void>()>& work) = 0;

    /// The instance's content as of a moment after the call, sparse and in order, while sessions
    /// go on. not_found when it is not served. `sink` and `progress` are called on the calling
    /// thread; an error of `sink` ends the reading and is returned.
    virtual Result<void> read_live(std::string_view name, const store::Store::Sink& sink,
                                   const store::Progress& progress) = 0;

    /// For `cowtgt status`: an object of the daemon's own making (version, rings, sessions, ...).
    virtual nlohmann::json status() const = 0;
};

}  // namespace cowtgt::control
