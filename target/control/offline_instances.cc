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
