#include "tools/cowtgtd_boot.h"

#include <spdlog/spdlog.h>

#include <boost/asio/post.hpp>
#include <chrono>
#include <utility>

#include "boot-helper/capture/capture.h"

namespace cowtgt::tools {

namespace {

constexpr std::chrono::seconds tick_interval{5};

std::int64_t now_ms() {
    using namespace std::chrono;
    return duration_cast<milliseconds>(system_clock::now().time_since_epoch()).count();
}

Result<void> capture_template(const config::Config& config, const store::TemplateRef& ref) {
    auto store = store::Store::open(config.store, store::Locking::none);
    if (!store) return store.error();
    return (*store)->add_boot_folder(
        ref,
        [](const identity::BlockSource& disk, const std::filesystem::path& folder) -> Result<void> {
            auto record = boot::capture(disk, {}, folder);
            return record ? Result<void>() : record.error();
        });
}

}  // namespace

BootHelper::BootHelper(boost::asio::io_context& io, const config::Config& config,
                       const store::Store& store,
                       std::function<void(const std::string& machine)> script_asked)
    : io_(io),
      config_(config),
      site_(config, store, {COWTGT_VERSION, now_ms, std::move(script_asked), {}}),
      timer_(io) {}

BootHelper::~BootHelper() {
    is_stopping_ = true;
    if (capturing_.joinable()) capturing_.join();
}

void BootHelper::start() {
    for (const config::Endpoint& endpoint : config_.http)
        listen(endpoint);
    keep_ticking();
}

void BootHelper::listen(const config::Endpoint& endpoint) {
    auto server =
        boot::BootServer::open(io_, endpoint, [this] { return site_.fleet(); }, site_, {});
    if (server) {
        spdlog::info("listening http={}", config::to_string(endpoint));
        servers_.push_back(std::move(*server));
        return;
    }
    site_.report_problem(server.error().message + "; it is tried again every few seconds");
    taken_.push_back(endpoint);
}

void BootHelper::keep_ticking() {
    timer_.expires_after(tick_interval);
    timer_.async_wait([this](const boost::system::error_code& error) {
        if (error) return;
        for (const config::Endpoint& endpoint : std::exchange(taken_, {}))
            listen(endpoint);
        site_.tick();
        capture_missing();
        keep_ticking();
    });
}

void BootHelper::capture_missing() {
    if (is_capturing_) return;
    if (capturing_.joinable()) capturing_.join();
    std::vector<store::TemplateRef> wanted = site_.take_uncaptured();
    if (wanted.empty()) return;
    is_capturing_ = true;
    capturing_ = std::thread([this, wanted = std::move(wanted)] {
        for (const store::TemplateRef& ref : wanted) {
            if (is_stopping_) break;
            const Result<void> captured = capture_template(config_, ref);
            const std::string name = ref.name + "@" + std::to_string(ref.version);
            boost::asio::post(io_, [this, name, captured] {
                if (!captured && captured.error().code != ErrorCode::exists) {
                    site_.report_problem("what " + name + " boots with could not be taken: " +
                                         captured.error().message);
                    return;
                }
                spdlog::info("captured template={}", name);
                site_.template_changed(name);
            });
        }
        is_capturing_ = false;
    });
}

}  // namespace cowtgt::tools
