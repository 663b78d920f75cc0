#pragma once

#include <filesystem>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string_view>

#include "boot-helper/site/site.h"
#include "cow-store/base/result.h"
#include "cow-store/store/store.h"
#include "target/config/config.h"
#include "target/control/control_client.h"
#include "target/control/offline_instances.h"
#include "target/control/operations.h"

namespace cowtgt::tools {

/// The store under its lock with the operations on it, for the case that no daemon runs.
struct OfflineSite {
    std::unique_ptr<store::Store> store;
    std::unique_ptr<control::OfflineInstances> instances;
    std::unique_ptr<control::Operations> operations;
    std::unique_ptr<boot::Site> boot_site;
};

/// Whoever answers for the store at the moment: exactly one of the two is there.
struct Site {
    std::optional<control::ControlClient> daemon;
    std::optional<OfflineSite> offline;
};

/// The daemon if it runs, else the store itself, locked. A daemon that is just starting, or
/// another command, is waited for a moment; then in_use. What had to be cleaned up is told on
/// standard error.
Result<Site> open_site(const config::Config& config);

/// Runs one command of target/control/operations.h, wherever that is.
Result<nlohmann::json> ask(Site& site, std::string_view command, const nlohmann::json& arguments);

}  // namespace cowtgt::tools
