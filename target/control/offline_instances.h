#pragma once

#include "target/control/live_instances.h"

namespace cowtgt::control {

/// When no daemon runs: nothing is served, so nothing stands in the way, and an export reads
/// straight from the store.
/// Ownership: keeps a reference to `store`.
class OfflineInstances final : public LiveInstances {
public:
    explicit OfflineInstances(store::Store& store) : store_(store) {}

    void set_secrets(const config::Secrets&) override {}
    std::vector<SessionInfo> sessions(std::string_view name) const override;
    Result<void> take_offline(std::string_view name) override;
    Result<void> bring_online(std::string_view name, const config::Machine& machine) override;
    Result<void> while_paused(std::string_view name,
                              const std::function<Result<void>()>& change) override;
    void space_freed(std::string_view) override {}
    Result<void> begin_flatten(std::string_view name, FlattenEnd end) override;
    Result<void> cancel_flatten(std::string_view name) override;
    std::optional<FlattenProgress> flatten_progress(std::string_view) const override { return {}; }
    bool serves() const override;
    Result<void> at_rest(std::string_view name, const std::function<Result<void>()>& work) override;
    Result<void> read_live(std::string_view name, const store::Store::Sink& sink,
                           const store::Progress& progress) override;
    nlohmann::json status() const override;  ///< null: there is no daemon

private:
    store::Store& store_;
};

}  // namespace cowtgt::control
