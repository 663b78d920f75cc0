#include "target/control/offline_instances.h"

#include <nlohmann/json.hpp>

namespace cowtgt::control {

std::vector<SessionInfo> OfflineInstances::sessions(std::string_view) const {
    return {};
}

Result<void> OfflineInstances::take_offline(std::string_view) {
    return {};
}

Result<void> OfflineInstances::bring_online(std::string_view, const config::Machine&) {
    return {};
}

Result<void> OfflineInstances::while_paused(std::string_view,
                                            const std::function<Result<void>()>& change) {
    return change();
}

Result<void> OfflineInstances::begin_flatten(std::string_view name, FlattenEnd) {
    return Error{ErrorCode::refused,
                 "nobody serves " + std::string(name) + ", so nothing happens in the background"};
}

Result<void> OfflineInstances::cancel_flatten(std::string_view name) {
    return Error{ErrorCode::refused,
                 std::string(name) + " is not being flattened: cowtgtd does not run"};
}

bool OfflineInstances::serves() const {
    return false;
}

Result<void> OfflineInstances::at_rest(std::string_view,
                                       const std::function<Result<void>()>& work) {
    return work();
}

Result<void> OfflineInstances::read_live(std::string_view name, const store::Store::Sink& sink,
                                         const store::Progress& progress) {
    return store_.export_instance(name, sink, progress);
}

nlohmann::json OfflineInstances::status() const {
    return nullptr;
}

}  // namespace cowtgt::control
