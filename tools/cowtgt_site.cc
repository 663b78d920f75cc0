#include "tools/cowtgt_site.h"

#include <chrono>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <string>
#include <thread>
#include <utility>

#include "boot-helper/site/commands.h"

namespace cowtgt::tools {

namespace {

constexpr std::chrono::milliseconds lock_patience{2000};
constexpr std::chrono::milliseconds lock_retry{20};

std::int64_t now_ms() {
    using namespace std::chrono;
    return duration_cast<milliseconds>(system_clock::now().time_since_epoch()).count();
}

void tell(const std::vector<std::string>& sentences) {
    for (const std::string& sentence : sentences) {
        std::fprintf(stderr, "cowtgt: %s\n", sentence.c_str());
    }
}

/// The same commands as in the daemon; how far machines are is not known.
void add_boot_commands(OfflineSite& site) {
    boot::Site::Options options;
    options.version = COWTGT_VERSION;
    options.now_ms = now_ms;
    options.lines = [store = site.store.get(), operations = site.operations.get()] {
        config::Machines lines;
        const auto instances = store->instances();
        if (!instances) return lines;
        for (const store::InstanceInfo& info : *instances) {
            config::Machine& line = lines[info.name];
            const auto written = operations->machines().find(info.name);
            if (written != operations->machines().end()) line = written->second;
            line.name = info.name;
        }
        return lines;
    };
    site.boot_site =
        std::make_unique<boot::Site>(site.operations->config(), *site.store, std::move(options));
    site.boot_site->secrets_changed(site.operations->secrets());
    control::Extensions extensions =
        boot::boot_extensions(*site.boot_site, *site.operations, *site.store);
    extensions.describe_instance = {};
    extensions.describe_site = {};
    site.operations->extend(std::move(extensions));
}

Result<OfflineSite> take_over(const config::Config& config, std::unique_ptr<store::Store> store) {
    OfflineSite site;
    site.store = std::move(store);
    tell(site.store->cleaned_up());
    auto machines = config::MachinesFile::load(config.machines_file);
    if (!machines) return machines.error();
    site.instances = std::make_unique<control::OfflineInstances>(*site.store);
    site.operations = std::make_unique<control::Operations>(config, *site.store,
                                                            std::move(*machines), *site.instances);
    if (auto read = site.operations->read_secrets(); !read) return read.error();
    tell(site.operations->recover());
    add_boot_commands(site);
    return site;
}

}  // namespace

Result<Site> open_site(const config::Config& config) {
    const auto deadline = std::chrono::steady_clock::now() + lock_patience;
    store::Environment environment;
    environment.verify_reads = config.verify_reads;
    while (true) {
        Site site;
        auto daemon = control::ControlClient::connect(config.control_socket);
        if (!daemon) return daemon.error();
        if (*daemon) {
            site.daemon = std::move(*daemon);
            return site;
        }
        auto store = store::Store::open(config.store, store::Locking::exclusive, environment);
        if (store) {
            auto offline = take_over(config, std::move(*store));
            if (!offline) return offline.error();
            site.offline = std::move(*offline);
            return site;
        }
        const bool is_locked = store.error().code == ErrorCode::in_use;
        if (!is_locked || std::chrono::steady_clock::now() >= deadline) return store.error();
        std::this_thread::sleep_for(lock_retry);
    }
}

Result<nlohmann::json> ask(Site& site, std::string_view command, const nlohmann::json& arguments) {
    if (site.daemon) return site.daemon->call(command, arguments);
    return site.offline->operations->run(command, arguments);
}

}  // namespace cowtgt::tools
