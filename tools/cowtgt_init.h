#pragma once

#include <filesystem>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "cow-store/base/result.h"

namespace cowtgt::tools {

/// As given on the command line; relative paths are those of the caller's folder.
struct InitOptions {
    std::filesystem::path config_file;
    std::string iqn_prefix;
    std::filesystem::path store;
    std::vector<std::string> listen;  ///< ADDRESS:PORT; empty: the default
    std::vector<std::string> http;    ///< the same; "none": no HTTP
};

/// Makes the store, then cowtgt.toml and machines.toml (an existing machines.toml stays). exists
/// when there is a cowtgt.toml already; after a failure nothing is left behind.
/// The result has config, machines, store, iqn, listen, socket.
Result<nlohmann::json> init_site(const InitOptions& options);

}  // namespace cowtgt::tools
