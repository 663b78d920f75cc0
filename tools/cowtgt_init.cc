#include "tools/cowtgt_init.h"

#include <cerrno>
#include <nlohmann/json.hpp>

#include "cow-store/store/store.h"
#include "target/config/config.h"
#include "target/config/names.h"
#include "target/config/text_file.h"

namespace cowtgt::tools {

namespace {

namespace fs = std::filesystem;

Result<fs::path> whole_path(const fs::path& path) {
    std::error_code problem;
    fs::path whole = fs::absolute(path, problem).lexically_normal();
    if (problem) return system_error("finding " + path.string(), problem.value());
    if (!whole.has_filename()) whole = whole.parent_path();  // "store/" means "store"
    return whole;
}

Result<std::vector<config::Endpoint>> endpoints_of(const std::vector<std::string>& texts,
                                                   std::string_view usual) {
    std::vector<config::Endpoint> endpoints;
    for (const std::string& text : texts) {
        auto endpoint = config::parse_endpoint(text);
        if (!endpoint) return endpoint.error();
        endpoints.push_back(std::move(*endpoint));
    }
    if (endpoints.empty()) endpoints.push_back(config::parse_endpoint(usual).value());
    return endpoints;
}

Result<config::Config> config_of(const InitOptions& options) {
    config::Config config;
    if (auto checked = config::check_iqn_prefix(options.iqn_prefix); !checked) {
        return checked.error();
    }
    config.iqn_prefix = options.iqn_prefix;
    auto file = whole_path(options.config_file);
    if (!file) return file.error();
    config.file = std::move(*file);
    auto store = whole_path(options.store);
    if (!store) return store.error();
    config.store = std::move(*store);
    auto listen = endpoints_of(options.listen, config::default_listen);
    if (!listen) return listen.error();
    config.listen = std::move(*listen);
    if (options.http != std::vector<std::string>{"none"}) {
        auto http = endpoints_of(options.http, config::default_http);
        if (!http) return http.error();
        config.http = std::move(*http);
    }
    config.control_socket = config::control_socket_for(config.file, config.store);
    config.machines_file = config.file.parent_path() / "machines.toml";
    // What is written must be readable again, whatever characters the paths have.
    auto read_back = config::parse_config(config::config_text(config), config.file);
    if (!read_back) return read_back.error();
    return config;
}

Result<void> make_folder(const fs::path& folder) {
    std::error_code problem;
    fs::create_directories(folder, problem);
    if (problem) return system_error("making the folder " + folder.string(), problem.value());
    return {};
}

Result<void> write_files(const config::Config& config) {
    if (auto made = make_folder(config.file.parent_path()); !made) return made;
    if (!fs::exists(config.machines_file)) {
        auto written =
            config::replace_text_file(config.machines_file, config::empty_machines_text());
        if (!written) return written;
    }
    // Last: a configuration that is there is complete.
    return config::replace_text_file(config.file, config::config_text(config));
}

}  // namespace

Result<nlohmann::json> init_site(const InitOptions& options) {
    auto config = config_of(options);
    if (!config) return config.error();
    std::error_code ignored;
    if (fs::exists(fs::symlink_status(config->file, ignored))) {
        return Error{ErrorCode::exists, config->file.string() +
                                            " exists already; edit it, or name another with "
                                            "--config"};
    }
    const bool store_was_there = fs::exists(config->store, ignored);
    if (auto made = make_folder(config->store.parent_path()); !made) return made.error();
    if (auto created = store::Store::create(config->store); !created) return created.error();
    if (auto written = write_files(*config); !written) {
        // The store was empty a moment ago and nobody knows it yet.
        for (const auto& entry : fs::directory_iterator(config->store, ignored)) {
            fs::remove_all(entry.path(), ignored);
        }
        if (!store_was_there) fs::remove(config->store, ignored);
        return written.error();
    }
    nlohmann::json listen = nlohmann::json::array();
    for (const config::Endpoint& endpoint : config->listen)
        listen.push_back(to_string(endpoint));
    return nlohmann::json{
        {"config", config->file.string()}, {"machines", config->machines_file.string()},
        {"store", config->store.string()}, {"iqn", config->iqn_prefix},
        {"listen", std::move(listen)},     {"socket", config->control_socket.string()}};
}

}  // namespace cowtgt::tools
