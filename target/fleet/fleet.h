#pragma once

#include <functional>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "cow-store/store/store.h"
#include "target/config/config.h"
#include "target/config/machine.h"
#include "target/config/machines_file.h"
#include "target/control/live_instances.h"
#include "target/fleet/boot_cycle.h"
#include "target/fleet/caretaker.h"
#include "target/fleet/observer.h"
#include "target/fleet/state_keeper.h"
#include "target/net/ring_worker.h"

namespace cowtgt::fleet {

/// Which instance is open on which ring: joins the store, the rings and the admin operations.
///
/// A volume is opened by the first login to its target and closed some time after the last one, so
/// that thousands of idle instances cost nothing.
/// Threads: the control thread, except target_wanted and target_unused (rings) and read_live (a
/// thread of its own); these only hand over to the control thread.
class Fleet final : public control::LiveInstances, public net::LoginBroker {
public:
    /// Runs a function on the control thread, soon; may be called from any thread.
    using Executor = std::function<void(std::function<void()>)>;

    Fleet(store::Store& store, const config::Config& config, Executor executor);
    ~Fleet() override;

    /// Is told of what happens from then on; outlives the rings. Null: nobody.
    void set_observer(Observer* observer) { observer_ = observer; }
    /// Starts the rings. `connection` limits as negotiated with every initiator.
    Result<void> start_rings(std::uint32_t count);
    /// Binds the portals of the configuration; all or none. Until admit_logins() an initiator is
    /// told to try again.
    Result<void> listen();
    /// Everything is known by now.
    void admit_logins();
    /// Makes the instances of the store known, with their lines in machines.toml; for start-up and
    /// reload.
    Result<void> take_in(const config::Machines& machines);
    /// A boot script for this instance is about to be answered: if it is ephemeral, the next first
    /// login is a boot. Durable when it returns, so the answer waits for it.
    Result<void> boot_script_asked(std::string_view name);
    /// Every few seconds: how much space is left. Says so when it becomes low.
    void look_at_space();
    /// No more logins, initiators are asked to log out, sessions end, volumes are flushed and
    /// closed, rings stop.
    void shut_down();

    void set_secrets(const config::Secrets& secrets) override;
    std::vector<control::SessionInfo> sessions(std::string_view name) const override;
    Result<void> take_offline(std::string_view name) override;
    Result<void> bring_online(std::string_view name, const config::Machine& machine) override;
    Result<void> while_paused(std::string_view name,
                              const std::function<Result<void>()>& change) override;
    void space_freed(std::string_view name) override;
    Result<void> begin_flatten(std::string_view name, control::FlattenEnd end) override;
    Result<void> cancel_flatten(std::string_view name) override;
    std::optional<control::FlattenProgress> flatten_progress(std::string_view name) const override;
    bool serves() const override { return true; }
    Result<void> at_rest(std::string_view name, const std::function<Result<void>()>& work) override;
    Result<void> read_live(std::string_view name, const store::Store::Sink& sink,
                           const store::Progress& progress) override;
    nlohmann::json status() const override;

    void target_wanted(net::RingWorker& ring, net::ConnectionId connection,
                       const std::string& instance) override;
    void boot_login(net::RingWorker& ring, net::ConnectionId connection,
                    const std::string& instance, net::LoginKind kind) override;
    void target_unused(net::RingWorker& ring, const std::string& instance) override;
    void session_began(const std::string& instance, const node::SessionFacts& session) override;
    void session_ended(const std::string& instance, const node::SessionFacts& session) override;
    void name_is_shared(const std::string& instance, const node::SessionFacts& kept_out,
                        const std::string& holder) override;

private:
    struct Entry {
        struct FlattenJob {
            control::FlattenProgress progress;
            control::FlattenEnd end;
        };
        config::Machine machine;
        net::RingWorker* ring = nullptr;       ///< where it is open; null: closed
        std::uint64_t size_bytes = 0;          ///< while it is open
        std::uint32_t readers = 0;             ///< of read_live
        std::optional<FlattenJob> flattening;  ///< the last one
        std::uint64_t sealed_bytes = 0;        ///< of its own, while it has a quota and is open
    };

    Result<void> open(const std::string& instance, Entry& entry);
    Result<net::VolumeParts> open_volume(const std::string& instance, Entry& entry);
    net::SpaceQuota quota_of(const std::string& instance, Entry& entry);
    std::vector<SpaceSeen::Quota> quotas_in_use() const;
    static bool is_flattening(const Entry& entry);
    void flatten_ended(const std::string& instance, const BlockOutcome& outcome);
    Result<void> resume(const std::string& instance, Entry& entry);
    BlockOutcome close(const std::string& instance, Entry& entry);
    void drain();
    net::RingWorker& least_loaded_ring();
    void set_ring(Entry& entry, net::RingWorker* ring);
    scsi::LogicalUnitConfig logical_unit_of(const std::string& instance, const Entry& entry,
                                            const Geometry& geometry) const;
    /// Lets the unit's state survive a restart, and takes in what did.
    void keep_state(const std::string& instance, net::RingWorker& ring,
                    node::Target::Config& target);
    std::vector<node::SessionFacts> facts(const std::string& instance, const Entry& entry) const;
    /// Does what the rules of boot_cycle.h say. `ring` and `connection`: who logs in.
    Result<void> follow_boot(net::RingWorker& ring, net::ConnectionId connection,
                             const std::string& instance, BootEvent event);
    std::shared_ptr<const node::CatalogueEntry> catalogue_entry(const std::string& instance,
                                                                const Entry& entry) const;
    /// Tells the rings about one instance: what others are there does not matter for the cost.
    void publish(const std::string& instance, const Entry& entry);
    void publish_removal(const std::string& instance);
    void publish_all();
    using SessionChange = void (node::Catalogue::*)(const std::string&, const IpAddress&);
    /// Discovery, on whichever ring, names what its address has a session to.
    void publish_session(const std::string& instance, const IpAddress& address,
                         SessionChange change);
    std::optional<iscsi::LoginDecision::Chap> chap_of(std::string_view name) const;
    /// Runs on the control thread and waits for the result; not for the control thread itself.
    template <typename Function>
    auto on_control(Function function) -> decltype(function());

    store::Store& store_;
    const config::Config& config_;
    Executor executor_;
    std::vector<std::unique_ptr<net::RingWorker>> rings_;
    std::unique_ptr<Caretaker> caretaker_;  ///< from admit_logins() to shut_down()
    std::unique_ptr<StateKeeper> keeper_;   ///< ends before the rings, to which it posts
    std::map<std::string, Entry, std::less<>> entries_;
    std::vector<std::size_t> open_count_;  ///< open instances, by ring
    config::Secrets secrets_;
    Observer* observer_ = nullptr;
    scsi::SpaceLevel pool_level_;
    bool shutting_down_ = false;
};

}  // namespace cowtgt::fleet
