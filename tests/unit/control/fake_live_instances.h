#pragma once

#include <atomic>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "target/control/live_instances.h"

namespace cowtgt::control {

/// Serves nothing, but remembers what it was told.
class FakeLiveInstances final : public LiveInstances {
public:
    void set_secrets(const config::Secrets& told) override { secrets = told; }
    std::vector<SessionInfo> sessions(std::string_view name) const override {
        const auto found = sessions_of.find(name);
        return found != sessions_of.end() ? found->second : std::vector<SessionInfo>();
    }
    Result<void> take_offline(std::string_view name) override {
        if (!sessions(name).empty()) {
            return Error{ErrorCode::in_use, std::string(name) + " is in use by " +
                                                sessions(name).front().initiator_name};
        }
        if (const auto found = online.find(name); found != online.end()) online.erase(found);
        return {};
    }
    Result<void> bring_online(std::string_view name, const config::Machine& machine) override {
        if (name == unservable) return Error{ErrorCode::corrupt, "its layer is rotten"};
        online.insert_or_assign(std::string(name), machine);
        return {};
    }
    Result<void> while_paused(std::string_view name,
                              const std::function<Result<void>()>& change) override {
        paused.emplace_back(name);
        return change();
    }
    void space_freed(std::string_view name) override { freed.emplace_back(name); }
    Result<void> begin_flatten(std::string_view name, FlattenEnd end) override {
        flattening[std::string(name)] = {};
        flatten_end = std::move(end);
        return {};
    }
    Result<void> cancel_flatten(std::string_view name) override {
        if (!flattening.contains(name)) return Error{ErrorCode::refused, "is not being flattened"};
        flattening.find(name)->second.state = FlattenProgress::State::cancelled;
        flatten_end.give_up();
        return {};
    }
    std::optional<FlattenProgress> flatten_progress(std::string_view name) const override {
        const auto found = flattening.find(name);
        return found == flattening.end() ? std::nullopt : std::optional(found->second);
    }
    bool serves() const override { return true; }
    Result<void> at_rest(std::string_view name,
                         const std::function<Result<void>()>& work) override {
        return while_paused(name, work);
    }
    Result<void> read_live(std::string_view name, const store::Store::Sink& sink,
                           const store::Progress& progress) override {
        if (!online.contains(name)) return Error{ErrorCode::not_found, "not served"};
        is_read = true;
        for (const auto& [offset, text] : content) {
            if (auto taken = sink(offset, bytes_of(text)); !taken) return taken;
            progress(offset, content_bytes);
        }
        return {};
    }
    nlohmann::json status() const override { return {{"rings", 2}}; }

    std::map<std::string, config::Machine, std::less<>> online;
    std::map<std::string, std::vector<SessionInfo>, std::less<>> sessions_of;
    std::map<std::string, FlattenProgress, std::less<>> flattening;
    FlattenEnd flatten_end;           ///< of the last begin_flatten()
    std::vector<std::string> freed;   ///< names, in the order of space_freed()
    std::vector<std::string> paused;  ///< names, in the order of while_paused()
    config::Secrets secrets;
    std::string unservable;
    std::map<std::uint64_t, std::string> content;  ///< by offset
    std::uint64_t content_bytes = 0;
    std::atomic<bool> is_read = false;  ///< read_live was called
};

}  // namespace cowtgt::control
