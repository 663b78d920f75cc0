// The daemon: joins the store, the rings and the admin socket, and reads like a list of that.

#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>
#include <sys/resource.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/signal_set.hpp>
#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <thread>

#include "boot-helper/site/commands.h"
#include "cow-store/store/store.h"
#include "cow-store/store/workplace.h"
#include "target/config/config.h"
#include "target/config/machines_file.h"
#include "target/control/control_server.h"
#include "target/control/operations.h"
#include "target/control/service.h"
#include "target/fleet/fleet.h"
#include "tools/cowtgtd_boot.h"
#include "tools/exit_codes.h"

namespace cowtgt {
namespace {

namespace asio = boost::asio;

void set_up_log(config::LogLevel level) {
    auto logger = spdlog::stderr_logger_mt("cowtgtd");
    logger->set_pattern("%Y-%m-%dT%H:%M:%S.%e %l %v");
    constexpr spdlog::level::level_enum levels[] = {spdlog::level::err, spdlog::level::warn,
                                                    spdlog::level::info, spdlog::level::debug};
    logger->set_level(levels[static_cast<std::size_t>(level)]);
    logger->flush_on(spdlog::level::debug);
    spdlog::set_default_logger(std::move(logger));
}

/// Three descriptors per served machine and one per connection: as many as the system allows.
void raise_descriptor_limit() {
    rlimit limit{};
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
}

std::uint32_t ring_count(const config::Config& config) {
    if (config.rings != 0) return config.rings;
    return std::max(1U, std::thread::hardware_concurrency());
}

void reload(control::Operations& operations) {
    auto result = operations.run("apply", nlohmann::json::object());
    if (!result) {
        spdlog::error("reload refused, the old state stays in force reason=\"{}\"",
                      result.error().message);
        return;
    }
    spdlog::info("reloaded {}", result->dump());
}

/// Everything that lives while the daemon runs; the members stand in the order in which they need
/// each other.
class Daemon {
public:
    explicit Daemon(config::Config config)
        : config_(std::move(config)), signals_(io_, SIGTERM, SIGINT, SIGHUP), space_timer_(io_) {}

    Result<void> start() {
        store::Environment environment;
        environment.verify_reads = config_.verify_reads;
        auto opened = store::Store::open(config_.store, store::Locking::exclusive, environment);
        if (!opened) return opened.error();
        store_ = std::move(opened).value();
        for (const std::string& sentence : store_->cleaned_up()) {
            spdlog::info("store: {}", sentence);
        }
        auto machines = config::MachinesFile::load(config_.machines_file);
        if (!machines) return machines.error();
        fleet_ = std::make_unique<fleet::Fleet>(
            *store_, config_,
            [this](std::function<void()> work) { asio::post(io_, std::move(work)); });
        boot_helper_ = std::make_unique<tools::BootHelper>(
            io_, config_, *store_, [this](const std::string& machine) {
                const auto noted = fleet_->boot_script_asked(machine);
                if (!noted) spdlog::error("{}: {}", machine, noted.error().message);
            });
        fleet_->set_observer(&boot_helper_->site());
        operations_ = std::make_unique<control::Operations>(config_, *store_, *machines, *fleet_);
        operations_->extend(boot::boot_extensions(boot_helper_->site(), *operations_, *store_));
        if (auto done = fleet_->start_rings(ring_count(config_)); !done) return done;
        // Early: whoever boots at the same time as this host is told to wait, not that there is no
        // target.
        if (auto done = fleet_->listen(); !done) return done;
        if (auto done = operations_->read_secrets(); !done) return done;
        for (const std::string& sentence : operations_->recover()) {
            spdlog::info("store: {}", sentence);
        }
        if (auto done = fleet_->take_in(machines->machines()); !done) return done;
        for (const Error& error : operations_->bring_all_online()) {
            spdlog::error("{}", error.message);
        }
        service_ = std::make_unique<control::ControlService>(*operations_);
        if (auto done = open_control(); !done) return done;
        boot_helper_->start();
        keep_looking_at_space();
        fleet_->admit_logins();
        return {};
    }

    void run() {
        await_signal();
        spdlog::info("ready iqn={} store={} rings={}", config_.iqn_prefix, config_.store.string(),
                     ring_count(config_));
        io_.run();
    }

    /// Sessions end, volumes are flushed and closed; also after a start that failed half way.
    void stop() {
        server_.reset();
        space_timer_.cancel();
        end_exports();
        if (fleet_) fleet_->shut_down();
        boot_helper_.reset();
    }

private:
    /// On a full file system there may be no room for the name of a socket before the ballast goes.
    Result<void> open_control() {
        return store::with_ballast(store_->context(), [this]() -> Result<void> {
            auto server =
                control::ControlServer::open(io_, config_.control_socket, service_->handler());
            if (!server) return server.error();
            server_ = std::move(server).value();
            return {};
        });
    }

    /// An export that is ending still has a word with the control thread, so that goes on
    /// meanwhile.
    void end_exports() {
        io_.restart();
        const auto busy = asio::make_work_guard(io_);
        std::thread ending([this] {
            service_.reset();
            io_.stop();
        });
        io_.run();
        ending.join();
    }

    void keep_looking_at_space() {
        constexpr std::chrono::seconds interval{5};
        fleet_->look_at_space();
        space_timer_.expires_after(interval);
        space_timer_.async_wait([this](const boost::system::error_code& error) {
            if (!error) keep_looking_at_space();
        });
    }

    void await_signal() {
        signals_.async_wait([this](const boost::system::error_code& error, int signal) {
            if (error) return;
            if (signal == SIGHUP) {
                reload(*operations_);
                await_signal();
                return;
            }
            spdlog::info("stopping signal={}", signal);
            io_.stop();
        });
    }

    config::Config config_;
    asio::io_context io_;
    asio::signal_set signals_;
    asio::steady_timer space_timer_;
    std::unique_ptr<store::Store> store_;
    std::unique_ptr<tools::BootHelper> boot_helper_;  ///< outlives the rings that it hears of
    std::unique_ptr<fleet::Fleet> fleet_;
    std::unique_ptr<control::Operations> operations_;
    std::unique_ptr<control::ControlService> service_;
    std::unique_ptr<control::ControlServer> server_;
};

int run_daemon(const std::string& config_file) {
    auto config = config::load_config(config_file);
    if (!config) {
        std::fprintf(stderr, "cowtgtd: %s\n", config.error().message.c_str());
        return exit_code(config.error().code);
    }
    set_up_log(config->log_level);
    raise_descriptor_limit();
    std::signal(SIGPIPE, SIG_IGN);
    Daemon daemon(*config);
    const Result<void> started = daemon.start();
    if (started) daemon.run();
    daemon.stop();
    if (!started) {
        std::fprintf(stderr, "cowtgtd: %s\n", started.error().message.c_str());
        return exit_code(started.error().code);
    }
    spdlog::info("stopped");
    return 0;
}

}  // namespace
}  // namespace cowtgt

int main(int argc, char** argv) {
    CLI::App app(
        "cowtgtd serves the instances of a cowtgt store over iSCSI; it stays in the "
        "foreground and logs to standard error.");
    std::string config_file(cowtgt::config::default_config_file);
    app.add_option("--config", config_file, "configuration file")->capture_default_str();
    app.set_version_flag("--version", std::string("cowtgtd ") + COWTGT_VERSION);
    app.footer(
        "Signals: SIGTERM flushes everything and exits 0, SIGHUP is cowtgt apply.\n"
        "See cowtgtd(8), cowtgt(1), cowtgt.toml(5).");
    try {
        app.parse(argc, argv);
    } catch (const CLI::ParseError& error) {
        const int code = app.exit(error);
        return code == 0 ? 0 : 2;
    }
    return cowtgt::run_daemon(config_file);
}
