#include "target/net/ring_worker.h"

#include <pthread.h>
#include <spdlog/spdlog.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <future>
#include <optional>
#include <utility>

#include "cow-store/volume/device_gate.h"
#include "cow-store/volume/verifying_file.h"
#include "target/net/connection_driver.h"

namespace cowtgt::net {

namespace {

constexpr std::uint64_t tick_ms = 1000;

}  // namespace

namespace {

/// The files of an instance and the volume over them: what is exchanged while it pauses. The
/// members stand in the order in which they need each other.
///
/// No read-ahead on what machines share: they read ahead by themselves, and what the host adds is
/// read for nobody (four times the bytes in a boot storm).
struct Medium {
    Medium(ring::Ring& ring, VolumeParts parts, const VolumeOptions& options)
        : layer_file(ring, parts.layer_file, parts.alignment),
          volume(std::move(parts.layer), layer_file, open_sealed(ring, parts),
                 open_base(ring, parts), options) {}

    SealedLayers open_sealed(ring::Ring& ring, VolumeParts& parts) {
        SealedLayers below{{}, std::move(parts.merged)};
        for (SealedParts& sealed : parts.sealed) {
            AsyncFile& file = open_shared(ring, sealed.file.release(), std::move(sealed.sums));
            below.layers.push_back({std::move(sealed.map), &file, sealed.overlap_limit});
        }
        return below;
    }

    BaseImage open_base(ring::Ring& ring, VolumeParts& parts) {
        if (parts.base_file.data < 0) return {};
        AsyncFile& file = open_shared(ring, parts.base_file.data, std::move(parts.base_sums));
        return {&file, parts.base_size};
    }

    /// A file below the live layer, read through the page cache, verified if there are sums.
    AsyncFile& open_shared(ring::Ring& ring, int file, std::shared_ptr<ChunkSums> sums) {
        shared_files.push_back(std::make_unique<ring::RingFile>(
            ring, ring::RingFile::Descriptors{file, file}, DirectIoAlignment{1, 1}));
        shared_files.back()->expect_no_read_ahead();
        shared_files.back()->allow_lending();
        if (sums == nullptr || sums->believed()) return *shared_files.back();
        verifying_files.push_back(
            std::make_unique<VerifyingFile>(*shared_files.back(), std::move(sums)));
        return *verifying_files.back();
    }

    ring::RingFile layer_file;
    std::vector<std::unique_ptr<ring::RingFile>> shared_files;
    std::vector<std::unique_ptr<VerifyingFile>> verifying_files;
    Volume volume;
};

}  // namespace

/// One instance on this ring. The members stand in the order in which they need each other.
struct RingWorker::Served {
    Served(RingWorker& worker, TargetParts parts)
        : instance(std::move(parts.instance)),
          ring(worker.ring_.get()),
          quota(parts.volume.quota),
          medium(std::make_unique<Medium>(*ring, std::move(parts.volume), options())),
          gate(medium->volume),
          target(std::move(parts.target), gate, *worker.buffers_),
          last_used(worker.ticks_) {
        ready.run = [](ring::Deferred& deferred) {
            Served& served = *static_cast<Served*>(deferred.owner);
            if (served.medium && served.medium->volume.run_ready()) {
                served.ring->defer(served.ready, ring::Ring::Order::early);
            }
        };
        ready.owner = this;
    }

    VolumeOptions options() {
        VolumeOptions wanted;
        wanted.ready = {[](void* owner, Volume&) {
                            Served& served = *static_cast<Served*>(owner);
                            served.ring->defer(served.ready, ring::Ring::Order::early);
                        },
                        this};
        wanted.space_max_bytes = quota.max_bytes;
        return wanted;
    }

    std::string instance;
    ring::Ring* ring = nullptr;
    ring::Deferred ready;
    SpaceQuota quota;
    std::unique_ptr<Medium> medium;  ///< null: paused
    Flattening flattening;
    DeviceGate gate;
    node::Target target;
    node::NameHolders name_holders;
    std::uint64_t last_used;
    bool unused_reported = false;
    bool closing = false;
    std::vector<std::function<void(BlockOutcome)>> close_waiters;
};

struct RingWorker::Listener {
    RingWorker* worker = nullptr;
    int socket = -1;
    ring::Completion completion;
};

RingWorker::RingWorker(const Options& options, LoginBroker& broker)
    : options_(options), broker_(broker) {}

Result<std::unique_ptr<RingWorker>> RingWorker::start(const Options& options, LoginBroker& broker) {
    std::unique_ptr<RingWorker> worker(new RingWorker(options, broker));
    std::promise<Result<void>> promise;
    std::future<Result<void>> started = promise.get_future();
    worker->thread_ = std::thread([&] {
        worker->run_thread([&](Result<void> result) { promise.set_value(std::move(result)); });
    });
    if (Result<void> result = started.get(); !result) {
        worker->thread_.join();
        return result.error();
    }
    return worker;
}

RingWorker::~RingWorker() {
    if (!thread_.joinable()) return;
    ring_->stop();
    thread_.join();
}

void RingWorker::run_thread(std::function<void(Result<void>)> started) {
    pthread_setname_np(pthread_self(), ("ring-" + std::to_string(options_.index)).c_str());
    ring::Ring::Options ring_options;
    ring_options.busy_poll_us = options_.busy_poll_us;
    auto made = ring::Ring::create(ring_options);
    if (!made) {
        started(made.error());
        return;
    }
    ring_ = std::move(made).value();
    buffers_ = std::make_unique<node::BufferPool>(options_.limits.command_memory_bytes);
    tick_completion_ = {[](ring::Completion& completion, const ring::Completion::Outcome&) {
                            static_cast<RingWorker*>(completion.owner)->tick();
                        },
                        this};
    started({});
    ring_->run();
    stop_listening();
    CHECK(targets_.empty());
    ring_->release();  // first, so that nothing in the kernel refers to what goes next
    connections_.clear();
    buffers_.reset();
}

// ---- connections

void RingWorker::listen(int socket) {
    auto listener = std::make_unique<Listener>();
    listener->worker = this;
    listener->socket = socket;
    listener->completion = {
        [](ring::Completion& completion, const ring::Completion::Outcome& outcome) {
            Listener& accepting = *static_cast<Listener*>(completion.owner);
            accepting.worker->accepted(accepting, outcome);
        },
        listener.get()};
    ring_->accept_multishot(socket, listener->completion);
    listeners_.push_back(std::move(listener));
}

void RingWorker::stop_listening() {
    for (const auto& listener : listeners_) {
        if (listener->socket < 0) continue;
        ring_->cancel(listener->completion);
        close(listener->socket);
        listener->socket = -1;
    }
}

void RingWorker::accepted(Listener& listener, const ring::Completion::Outcome& outcome) {
    if (outcome.result >= 0) {
        const WorkerLimits& limits = options_.limits;
        if (connections_.size() >= limits.connections_max + limits.connections_beyond_max) {
            spdlog::warn(
                "connection ended peer={} initiator= target= reason=\"{} connections are the "
                "limit\"",
                peer_address(outcome.result), limits.connections_max);
            close(outcome.result);
        } else {
            set_connection_options(outcome.result);
            const ConnectionId id = ++last_connection_;
            auto driver = std::make_unique<ConnectionDriver>(*this, id, outcome.result);
            driver->start();
            connections_.emplace(id, std::move(driver));
            keep_ticking();
        }
    } else if (outcome.result != -ECANCELED && listener.socket >= 0) {
        spdlog::warn("accept failed reason=\"{}\"", std::strerror(-outcome.result));
    }
    if (!outcome.more && listener.socket >= 0 && outcome.result != -ECANCELED) {
        ring_->accept_multishot(listener.socket, listener.completion);
    }
}

ConnectionDriver* RingWorker::find(ConnectionId connection) {
    const auto found = connections_.find(connection);
    return found == connections_.end() ? nullptr : found->second.get();
}

ConnectionDriver* RingWorker::find(const iscsi::Connection& connection) {
    for (const auto& [id, driver] : connections_) {
        if (&driver->connection() == &connection) return driver.get();
    }
    return nullptr;
}

void RingWorker::remove(ConnectionDriver& driver) {
    if (const auto served = targets_.find(driver.instance()); served != targets_.end()) {
        served->second->last_used = ticks_;
    }
    connections_.erase(driver.id());
    tell_when_drained();
}

void RingWorker::drain(std::uint16_t seconds, std::function<void()> drained) {
    for (const auto& [id, driver] : connections_) {
        driver->ask_for_logout(seconds);
    }
    drained_ = std::move(drained);
    tell_when_drained();
}

void RingWorker::tell_when_drained() {
    if (!drained_) return;
    const bool is_drained = std::none_of(connections_.begin(), connections_.end(), [](auto& each) {
        return each.second->is_asked_for_logout();
    });
    if (is_drained) std::exchange(drained_, nullptr)();
}

void RingWorker::hand_over(ConnectionId connection, RingWorker& owner, std::string instance) {
    const auto found = connections_.find(connection);
    if (found == connections_.end()) return;
    if (&owner == this) {
        found->second->target_ready(instance);
        return;
    }
    if (!found->second->is_movable()) {
        // Its turn of the loop is not over yet.
        post([this, connection, &owner, instance] { hand_over(connection, owner, instance); });
        return;
    }
    // A shared_ptr only because a std::function must be copyable.
    auto moving = std::make_shared<std::unique_ptr<ConnectionDriver>>(std::move(found->second));
    connections_.erase(found);
    owner.post(
        [&owner, moving, name = std::move(instance)] { owner.adopt(std::move(*moving), name); });
}

void RingWorker::adopt(std::unique_ptr<ConnectionDriver> driver, const std::string& instance) {
    const ConnectionId id = ++last_connection_;
    driver->move_to(*this, id);
    ConnectionDriver& adopted = *driver;
    connections_.emplace(id, std::move(driver));
    keep_ticking();
    adopted.target_ready(instance);
}

void RingWorker::refuse_login(ConnectionId connection, iscsi::LoginStatus status,
                              std::string reason) {
    if (ConnectionDriver* driver = find(connection); driver != nullptr) {
        driver->refuse(status, std::move(reason));
    }
}

void RingWorker::settle_login(ConnectionId connection, iscsi::LoginStatus status,
                              std::string reason) {
    if (ConnectionDriver* driver = find(connection); driver != nullptr) {
        driver->settle_login(status, std::move(reason));
    }
}

// ---- targets

void RingWorker::serve(TargetParts parts) {
    std::string instance = parts.instance;
    const auto served = targets_.insert_or_assign(
        std::move(instance), std::make_unique<Served>(*this, std::move(parts)));
    // Before anything is written, so that it is known what becomes low.
    see_space(*served.first->second);
    keep_ticking();
}

node::NameHolders* RingWorker::find_name_holders(const std::string& instance) {
    const auto found = targets_.find(instance);
    return found == targets_.end() ? nullptr : &found->second->name_holders;
}

node::Target* RingWorker::find_target(const std::string& instance) {
    const auto found = targets_.find(instance);
    if (found == targets_.end() || found->second->closing) return nullptr;
    found->second->last_used = ticks_;
    found->second->unused_reported = false;
    return &found->second->target;
}

std::vector<node::SessionFacts> RingWorker::sessions(const std::string& instance) const {
    const auto found = targets_.find(instance);
    return found == targets_.end() ? std::vector<node::SessionFacts>{}
                                   : found->second->target.sessions();
}

void RingWorker::reconfigure(const std::string& instance, const scsi::LogicalUnitConfig& config) {
    const auto found = targets_.find(instance);
    if (found != targets_.end()) found->second->target.reconfigure(config);
}

void RingWorker::set_quota(const std::string& instance, const SpaceQuota& quota) {
    const auto found = targets_.find(instance);
    if (found == targets_.end()) return;
    found->second->quota = quota;
    if (found->second->medium) found->second->medium->volume.set_space_max(quota.max_bytes);
}

void RingWorker::begin_flatten(const std::string& instance, Flattening::Ended ended) {
    Served& served = *targets_.at(instance);
    CHECK(served.medium && !served.closing);
    served.flattening.begin(served.medium->volume, std::move(ended));
}

void RingWorker::stop_flatten(const std::string& instance) {
    const auto found = targets_.find(instance);
    if (found != targets_.end()) found->second->flattening.stop();
}

std::uint64_t RingWorker::flatten_position(const std::string& instance) const {
    const auto found = targets_.find(instance);
    return found == targets_.end() ? 0 : found->second->flattening.done_bytes();
}

std::uint64_t RingWorker::allocated_bytes(const std::string& instance) const {
    const auto found = targets_.find(instance);
    return found == targets_.end() ? 0 : found->second->gate.allocated_bytes().value_or(0);
}

bool RingWorker::read(const std::string& instance, BlockRequest& request) {
    const auto found = targets_.find(instance);
    if (found == targets_.end() || found->second->closing) return false;
    found->second->last_used = ticks_;
    found->second->gate.submit(request);
    return true;
}

void RingWorker::end_sessions(Served& served) {
    served.closing = true;
    served.flattening.stop();
    served.target.stop_background_work();
    for (const auto& [id, driver] : connections_) {
        if (driver->instance() == served.instance) driver->drop("the target goes offline");
    }
}

void RingWorker::end_other_sessions(const std::string& instance, ConnectionId but,
                                    std::function<void()> ended) {
    const auto found = targets_.find(instance);
    for (const auto& [id, driver] : connections_) {
        if (driver->instance() == instance && id != but) driver->drop("its machine boots anew");
    }
    if (found == targets_.end() || found->second->closing || found->second->target.is_at_rest()) {
        ended();
        return;
    }
    // Their sockets are still closing.
    post([this, instance, but, ended = std::move(ended)] {
        end_other_sessions(instance, but, ended);
    });
}

void RingWorker::close_target(const std::string& instance,
                              std::function<void(BlockOutcome)> closed) {
    const auto found = targets_.find(instance);
    if (found == targets_.end()) {
        closed({});
        return;
    }
    Served& served = *found->second;
    served.close_waiters.push_back(std::move(closed));
    if (served.closing) return;
    end_sessions(served);
    // The volume waits for the requests of those sessions before it closes.
    served.medium->volume.close([this, instance](const BlockOutcome& outcome) {
        // Not from inside the volume's own call.
        post([this, instance, outcome] { finish_close(instance, outcome); });
    });
}

void RingWorker::pause_target(const std::string& instance,
                              std::function<void(BlockOutcome)> paused) {
    Served& served = *targets_.at(instance);
    CHECK(served.medium && !served.closing);
    served.gate.close();
    served.flattening.pause();
    served.medium->volume.close([this, &served, paused](const BlockOutcome& outcome) {
        // Not from inside the volume's own call.
        post([&served, paused, outcome] {
            served.medium.reset();
            paused(outcome);
        });
    });
}

void RingWorker::resume_target(const std::string& instance, VolumeParts parts) {
    Served& served = *targets_.at(instance);
    CHECK(!served.medium && !served.closing);
    served.quota = parts.quota;
    served.medium = std::make_unique<Medium>(*ring_, std::move(parts), served.options());
    Volume& volume = served.medium->volume;
    const bool other_size =
        volume.geometry().block_count.value != served.gate.geometry().block_count.value;
    served.gate.open(volume);
    served.flattening.go_on(volume);
    if (other_size) served.target.capacity_changed();
}

void RingWorker::abandon_target(const std::string& instance,
                                std::function<void(BlockOutcome)> closed) {
    Served& served = *targets_.at(instance);
    CHECK(!served.medium && !served.closing);
    served.close_waiters.push_back(std::move(closed));
    end_sessions(served);
    served.gate.give_up();
    post([this, instance] { finish_close(instance, {BlockStatus::io_error, 0}); });
}

void RingWorker::finish_close(const std::string& instance, const BlockOutcome& outcome) {
    const auto found = targets_.find(instance);
    CHECK(found != targets_.end());
    found->second->gate.answer_refused();
    if (!found->second->target.is_idle()) {
        // A session's socket is still closing; its connection tells the target within this or the
        // next turns of the loop.
        post([this, instance, outcome] { finish_close(instance, outcome); });
        return;
    }
    const auto waiters = std::move(found->second->close_waiters);
    targets_.erase(found);
    for (const auto& waiter : waiters) {
        waiter(outcome);
    }
}

// ---- time

void RingWorker::keep_ticking() {
    if (ticking_) return;
    ticking_ = true;
    ring_->timeout(tick_ms, tick_completion_);
}

void RingWorker::count_down(Served& served) {
    if (served.name_holders.empty()) return;
    served.name_holders.second_passed([&](const std::string& name, const iscsi::Isid& isid) {
        return served.target.has_session(name, isid);
    });
}

void RingWorker::see_space(Served& served) {
    if (!pool_ || !served.medium) return;
    std::optional<scsi::SpaceLeft> quota;
    if (const auto available = served.gate.available_bytes()) {
        quota = {*available, served.quota.threshold_bytes};
    }
    if (served.target.see_space(*pool_, quota)) {
        spdlog::warn("quota nearly used instance={} left={}", served.instance,
                     quota->available_bytes);
    }
}

void RingWorker::tick() {
    ticking_ = false;
    ++ticks_;
    for (const auto& [id, driver] : connections_) {
        driver->tick();
    }
    for (const auto& [instance, served] : targets_) {
        const bool in_use = served->target.session_count() != 0 ||
                            served->target.has_background_work() ||
                            served->flattening.is_under_way();
        if (in_use) served->last_used = ticks_;
        served->target.second_passed();
        served->flattening.second_passed();
        count_down(*served);
        see_space(*served);
        const bool unused = ticks_ - served->last_used >= options_.limits.unused_target_seconds;
        if (unused && !served->closing && !served->unused_reported) {
            served->unused_reported = true;
            broker_.target_unused(*this, instance);
        }
    }
    if (connections_.empty()) buffers_->trim();
    if (!connections_.empty() || !targets_.empty()) keep_ticking();
}

}  // namespace cowtgt::net
