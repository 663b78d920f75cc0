#include "target/fleet/fleet.h"

#include <spdlog/spdlog.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdlib>
#include <ctime>
#include <future>
#include <optional>
#include <thread>

#include "cow-store/store/layout.h"
#include "cow-store/store/open_instance.h"
#include "target/config/endpoint.h"
#include "target/config/names.h"
#include "target/config/text_file.h"

namespace cowtgt::fleet {

namespace {

constexpr std::uint64_t read_chunk_bytes = 1U << 20;
/// In the instance's folder.
constexpr const char* unit_state_file = "unit.state";
constexpr std::uint16_t drain_seconds = 3;

/// Of all names and serial numbers that cowtgt derives (made once, at random).
constexpr Uuid name_space{{0x6f, 0x9d, 0x0c, 0x5e, 0x1b, 0x7a, 0x4c, 0x2e, 0x9a, 0x41, 0x35, 0x0b,
                           0x52, 0xe7, 0x88, 0xd1}};

std::string rfc3339(std::int64_t seconds) {
    const std::time_t time = seconds;
    std::tm parts{};
    gmtime_r(&time, &parts);
    char text[32];
    std::strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &parts);
    return text;
}

std::string hex(std::span<const std::uint8_t> bytes) {
    constexpr std::string_view digits = "0123456789abcdef";
    std::string text;
    for (const std::uint8_t byte : bytes) {
        text += digits[byte >> 4];
        text += digits[byte & 15];
    }
    return text;
}

/// Listens, and waits a while for a port that is taken: the kernel closes the sockets of a daemon
/// that was killed only after the requests of its rings have ended.
Result<int> listen_patiently(const config::Endpoint& endpoint) {
    constexpr std::chrono::milliseconds pause{50};
    constexpr std::chrono::seconds patience{5};
    const auto until = std::chrono::steady_clock::now() + patience;
    while (true) {
        auto socket = net::listen_on(endpoint.address, endpoint.port);
        const bool taken = !socket && socket.error().code == ErrorCode::in_use;
        if (!taken || std::chrono::steady_clock::now() >= until) return socket;
        std::this_thread::sleep_for(pause);
    }
}

/// Calls a function on a ring's thread and waits for what it returns.
template <typename Function>
auto on_ring(net::RingWorker& ring, Function function) -> decltype(function()) {
    using Value = decltype(function());
    std::promise<Value> promise;
    std::future<Value> value = promise.get_future();
    ring.post([&] {
        if constexpr (std::is_void_v<Value>) {
            function();
            promise.set_value();
        } else {
            promise.set_value(function());
        }
    });
    return value.get();
}

/// Hands on what is not zero, in runs of whole clusters.
Result<void> emit(const store::Store::Sink& sink, std::uint64_t offset, Bytes bytes) {
    const auto cluster_at = [&](std::size_t at) {
        return bytes.subspan(at, std::min<std::size_t>(cluster_size, bytes.size() - at));
    };
    const auto is_zero = [](Bytes cluster) {
        return std::all_of(cluster.begin(), cluster.end(),
                           [](std::byte byte) { return byte == std::byte{0}; });
    };
    for (std::size_t at = 0; at < bytes.size();) {
        if (is_zero(cluster_at(at))) {
            at += cluster_size;
            continue;
        }
        std::size_t end = at + cluster_at(at).size();
        while (end < bytes.size() && !is_zero(cluster_at(end))) {
            end += cluster_at(end).size();
        }
        if (auto put = sink(offset + at, bytes.subspan(at, end - at)); !put) return put;
        at = end;
    }
    return {};
}

/// One read of an instance beside its sessions, waited for on another thread.
struct WaitingRead {
    BlockRequest request;
    std::promise<BlockOutcome> answered;
};

/// Reads a served instance from its first to its last block, as an initiator would.
Result<void> read_through(net::RingWorker& ring, const std::string& instance, std::uint64_t size,
                          std::uint32_t block_size, const store::Store::Sink& sink,
                          const store::Progress& progress) {
    const std::unique_ptr<std::byte, decltype(&std::free)> memory(
        static_cast<std::byte*>(std::aligned_alloc(4096, read_chunk_bytes)), std::free);
    for (std::uint64_t at = 0; at < size;) {
        const std::uint64_t bytes = std::min(read_chunk_bytes, size - at);
        WaitingRead read;
        read.request.operation = BlockOperation::read;
        read.request.first_block = {at / block_size};
        read.request.block_count = {bytes / block_size};
        read.request.data = {memory.get(), bytes};
        read.request.owner = &read;
        read.request.done = [](BlockRequest& request, const BlockOutcome& outcome) {
            static_cast<WaitingRead*>(request.owner)->answered.set_value(outcome);
        };
        auto answered = read.answered.get_future();
        if (!on_ring(ring, [&] { return ring.read(instance, read.request); })) {
            return Error{ErrorCode::failed,
                         instance + " went offline while it was read; try again"};
        }
        const BlockOutcome outcome = answered.get();
        if (outcome.status != BlockStatus::good) {
            return system_error("cannot read " + instance + " at byte " + std::to_string(at),
                                outcome.os_errno == 0 ? EIO : outcome.os_errno);
        }
        if (auto put = emit(sink, at, read.request.data); !put) return put;
        at += bytes;
        if (progress) progress(at, size);
    }
    return {};
}

}  // namespace

Fleet::Fleet(store::Store& store, const config::Config& config, Executor executor)
    : store_(store),
      config_(config),
      executor_(std::move(executor)),
      keeper_(std::make_unique<StateKeeper>()) {}

Fleet::~Fleet() = default;

template <typename Function>
auto Fleet::on_control(Function function) -> decltype(function()) {
    std::promise<decltype(function())> promise;
    auto value = promise.get_future();
    executor_([&] { promise.set_value(function()); });
    return value.get();
}

Result<void> Fleet::start_rings(std::uint32_t count) {
    for (std::uint32_t index = 0; index < count; ++index) {
        net::RingWorker::Options options;
        options.index = index;
        options.limits.connections_max = config_.connections_max;
        options.limits.login_seconds_max = config_.login_seconds_max;
        options.busy_poll_us = config_.busy_poll_us;
        for (const config::Endpoint& endpoint : config_.listen) {
            options.portals.push_back(config::to_string(endpoint));
        }
        auto ring = net::RingWorker::start(options, *this);
        if (!ring) return ring.error();
        rings_.push_back(std::move(ring).value());
        open_count_.push_back(0);
    }
    return {};
}

Result<void> Fleet::listen() {
    std::vector<int> sockets;
    for (const config::Endpoint& endpoint : config_.listen) {
        auto socket = listen_patiently(endpoint);
        if (!socket) {
            std::for_each(sockets.begin(), sockets.end(), ::close);
            return socket.error();
        }
        sockets.push_back(*socket);
        spdlog::info("listening portal={}", config::to_string(endpoint));
    }
    // Logins are light: ring 0 takes them all and hands each on to the ring of its target.
    for (const int socket : sockets) {
        rings_.front()->post([ring = rings_.front().get(), socket] { ring->listen(socket); });
    }
    return {};
}

Result<void> Fleet::take_in(const config::Machines& machines) {
    const auto names = store_.instance_names();
    if (!names) return names.error();
    for (const std::string& name : *names) {
        Entry& entry = entries_[name];
        const auto line = machines.find(name);
        if (line != machines.end()) {
            entry.machine = line->second;
        } else {
            entry.machine = {};
            entry.machine.name = name;
        }
        if (observer_ != nullptr) observer_->instance_served(name, entry.machine);
    }
    publish_all();
    return {};
}

// ---- opening and closing

net::RingWorker& Fleet::least_loaded_ring() {
    const auto least = std::min_element(open_count_.begin(), open_count_.end());
    return *rings_[static_cast<std::size_t>(least - open_count_.begin())];
}

void Fleet::set_ring(Entry& entry, net::RingWorker* ring) {
    if (entry.ring != nullptr) --open_count_[entry.ring->index()];
    if (ring != nullptr) ++open_count_[ring->index()];
    entry.ring = ring;
}

scsi::LogicalUnitConfig Fleet::logical_unit_of(const std::string& instance, const Entry& entry,
                                               const Geometry& geometry) const {
    const Uuid id = make_name_uuid(name_space, config_.iqn_prefix + ":" + instance);
    scsi::LogicalUnitConfig unit;
    unit.geometry = geometry;
    unit.serial = hex(id.bytes);
    unit.naa = id.bytes;
    // NAA 6h, then a 24-bit company id with the "locally administered" bit (nobody owns it).
    unit.naa[0] = static_cast<std::uint8_t>(0x60 | (unit.naa[0] & 0x0f));
    unit.naa[1] |= 0x20;
    unit.target_port_name = config::target_name(config_.iqn_prefix, instance) + ",t,0x0001";
    unit.physical_block_size = entry.machine.physical_block;
    unit.removable = entry.machine.removable;
    unit.read_only = entry.machine.read_only;
    unit.write_cache = entry.machine.write_cache;
    return unit;
}

void Fleet::keep_state(const std::string& instance, net::RingWorker& ring,
                       node::Target::Config& target) {
    const std::filesystem::path file =
        store::Layout{config_.store}.instance(instance) / unit_state_file;
    target.logical_unit.keeps_state = true;
    auto text = config::read_text_file(file);
    if (text && scsi::LogicalUnit::is_kept_state(*text)) {
        target.logical_unit.kept_state = std::move(*text);
    } else if (text || text.error().code != ErrorCode::not_found) {
        spdlog::error("unit state not understood, reservations are lost instance={} file={}",
                      instance, file.string());
    }
    target.keep = [this, file, &ring](std::string state, std::function<void(BlockOutcome)> kept) {
        keeper_->keep(file, std::move(state), [&ring, kept](const Result<void>& stored) {
            BlockOutcome outcome;
            if (!stored) {
                spdlog::error("unit state not kept reason=\"{}\"", stored.error().message);
                outcome.status = BlockStatus::io_error;
            }
            ring.post([kept, outcome] { kept(outcome); });
        });
    };
}

Result<net::VolumeParts> Fleet::open_volume(const std::string& instance, Entry& entry) {
    auto opened = store_.open_instance(instance);
    if (!opened) return opened.error();
    store::OpenedInstance& parts = **opened;
    if (!parts.layer.recovery_note().empty()) {
        spdlog::info("recovered instance={} note=\"{}\"", instance, parts.layer.recovery_note());
    }
    entry.size_bytes = parts.layer.summary().virtual_size;
    const net::SpaceQuota quota = quota_of(instance, entry);
    store::merge_maps(parts.below);
    std::vector<net::SealedParts> sealed;
    for (store::OpenedLayer& layer : parts.below.layers) {
        sealed.push_back({std::move(layer.map), std::move(layer.file.file),
                          std::move(layer.file.sums), layer.overlap_limit});
    }
    const int base = parts.below.base.file.release();
    return net::VolumeParts{std::move(parts.layer),
                            {parts.live_direct.release(), parts.live_buffered.release()},
                            parts.alignment,
                            std::move(sealed),
                            std::move(parts.below.merged),
                            {base, base},
                            std::move(parts.below.base.sums),
                            parts.below.base_size,
                            quota};
}

Result<void> Fleet::open(const std::string& instance, Entry& entry) {
    if (entry.ring != nullptr) return {};
    auto volume = open_volume(instance, entry);
    if (!volume) return volume.error();
    net::RingWorker& ring = least_loaded_ring();
    const LayerSummary& summary = volume->layer.summary();
    Geometry geometry;
    geometry.block_size = summary.block_size;
    geometry.block_count = {summary.virtual_size / summary.block_size};
    node::Target::Config target{config::target_name(config_.iqn_prefix, instance),
                                logical_unit_of(instance, entry, geometry),
                                {}};
    keep_state(instance, ring, target);

    // A shared_ptr only because a std::function must be copyable.
    auto moving = std::make_shared<net::TargetParts>(net::TargetParts{
        instance,
        std::move(target),
        std::move(*volume),
    });
    set_ring(entry, &ring);
    ring.post([&ring, moving] { ring.serve(std::move(*moving)); });
    return {};
}

Result<void> Fleet::while_paused(std::string_view name,
                                 const std::function<Result<void>()>& change) {
    const auto found = entries_.find(name);
    if (found == entries_.end() || found->second.ring == nullptr) {
        const Result<void> changed = change();
        if (caretaker_) caretaker_->wake();
        return changed;
    }
    const std::string& instance = found->first;
    Entry& entry = found->second;
    std::promise<BlockOutcome> promise;
    auto paused = promise.get_future();
    entry.ring->post([ring = entry.ring, &instance, &promise] {
        ring->pause_target(instance, [&](BlockOutcome outcome) { promise.set_value(outcome); });
    });
    const BlockOutcome outcome = paused.get();
    // A fenced layer says no to changes by itself, and yes to whoever mends it.
    const bool closed =
        outcome.status == BlockStatus::good || outcome.status == BlockStatus::fenced;
    Result<void> changed = closed ? change()
                                  : system_error("cannot close " + instance,
                                                 outcome.os_errno == 0 ? EIO : outcome.os_errno);
    const Result<void> resumed = resume(instance, entry);
    if (caretaker_) caretaker_->wake();
    return changed ? resumed : changed;
}

/// Goes on with what the store has now, or ends the sessions.
Result<void> Fleet::resume(const std::string& instance, Entry& entry) {
    auto volume = open_volume(instance, entry);
    if (!volume) {
        std::promise<void> promise;
        auto ended = promise.get_future();
        entry.ring->post([ring = entry.ring, &instance, &promise] {
            ring->abandon_target(instance, [&](BlockOutcome) { promise.set_value(); });
        });
        ended.get();
        set_ring(entry, nullptr);
        if (is_flattening(entry)) {
            entry.flattening->progress.state = control::FlattenProgress::State::failed;
            entry.flattening->progress.reason = volume.error().message;
        }
        spdlog::error("cannot go on instance={} reason=\"{}\"", instance, volume.error().message);
        return volume.error();
    }
    auto moving = std::make_shared<net::VolumeParts>(std::move(*volume));
    on_ring(*entry.ring, [&] { entry.ring->resume_target(instance, std::move(*moving)); });
    return {};
}

BlockOutcome Fleet::close(const std::string& instance, Entry& entry) {
    if (entry.ring == nullptr) return {};
    std::promise<BlockOutcome> promise;
    auto closed = promise.get_future();
    entry.ring->post([ring = entry.ring, &instance, &promise] {
        ring->close_target(instance, [&](BlockOutcome outcome) { promise.set_value(outcome); });
    });
    const BlockOutcome outcome = closed.get();
    set_ring(entry, nullptr);
    if (outcome.status != BlockStatus::good) {
        spdlog::error("closing failed instance={} errno={}", instance, outcome.os_errno);
    }
    return outcome;
}

void Fleet::target_wanted(net::RingWorker& ring, net::ConnectionId connection,
                          const std::string& instance) {
    executor_([this, &ring, connection, instance] {
        const auto found = entries_.find(instance);
        auto refuse = [&](iscsi::LoginStatus status, const std::string& reason) {
            ring.post([&ring, connection, status, reason] {
                ring.refuse_login(connection, status, reason);
            });
        };
        if (shutting_down_) {
            refuse(iscsi::LoginStatus::service_unavailable, "cowtgtd stops just now");
            return;
        }
        if (found == entries_.end()) {
            refuse(iscsi::LoginStatus::target_not_found, "the instance was just removed");
            return;
        }
        if (const Result<void> opened = open(instance, found->second); !opened) {
            spdlog::error("cannot serve instance={} reason=\"{}\"", instance,
                          opened.error().message);
            refuse(iscsi::LoginStatus::target_error, opened.error().message);
            return;
        }
        net::RingWorker* owner = found->second.ring;
        ring.post(
            [&ring, connection, owner, instance] { ring.hand_over(connection, *owner, instance); });
    });
}

void Fleet::target_unused(net::RingWorker& ring, const std::string& instance) {
    executor_([this, &ring, instance] {
        const auto found = entries_.find(instance);
        if (shutting_down_ || found == entries_.end() || found->second.ring != &ring ||
            found->second.readers != 0 || is_flattening(found->second) ||
            !facts(instance, found->second).empty()) {
            return;
        }
        close(instance, found->second);
    });
}

void Fleet::name_is_shared(const std::string& instance, const node::SessionFacts& kept_out,
                           const std::string& holder) {
    executor_([this, instance, kept_out, holder] {
        if (observer_ != nullptr) observer_->name_is_shared(instance, kept_out, holder);
    });
}

void Fleet::admit_logins() {
    for (const auto& ring : rings_) {
        ring->post([worker = ring.get()] { worker->admit_logins(); });
    }
    caretaker_ = std::make_unique<Caretaker>(store_, executor_);
}

/// Initiators that log out by themselves come back by themselves, and lose nothing; the others are
/// waited for a moment. Who asks to log in meanwhile is told to try again.
void Fleet::drain() {
    std::vector<std::future<void>> drained;
    for (const auto& ring : rings_) {
        auto promise = std::make_shared<std::promise<void>>();
        drained.push_back(promise->get_future());
        ring->post([worker = ring.get(), promise] {
            worker->refuse_logins();
            worker->drain(drain_seconds, [promise] { promise->set_value(); });
        });
    }
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(drain_seconds);
    for (std::future<void>& each : drained) {
        each.wait_until(deadline);
    }
}

void Fleet::shut_down() {
    shutting_down_ = true;
    caretaker_.reset();
    drain();
    for (const auto& ring : rings_) {
        on_ring(*ring, [&] { ring->stop_listening(); });
    }
    std::vector<std::future<void>> closing;
    for (auto& [instance, entry] : entries_) {
        if (entry.ring == nullptr) continue;
        auto closed = std::make_shared<std::promise<void>>();
        closing.push_back(closed->get_future());
        entry.ring->post([ring = entry.ring, name = instance, closed] {
            ring->close_target(name, [name, closed](BlockOutcome outcome) {
                if (outcome.status != BlockStatus::good) {
                    spdlog::error("closing failed instance={} errno={}", name, outcome.os_errno);
                }
                closed->set_value();
            });
        });
        set_ring(entry, nullptr);
    }
    for (std::future<void>& closed : closing) {
        closed.wait();
    }
    keeper_.reset();
    rings_.clear();
}

// ---- control::LiveInstances

std::vector<node::SessionFacts> Fleet::facts(const std::string& instance,
                                             const Entry& entry) const {
    if (entry.ring == nullptr) return {};
    return on_ring(*entry.ring, [&] { return entry.ring->sessions(instance); });
}

std::vector<control::SessionInfo> Fleet::sessions(std::string_view name) const {
    const auto found = entries_.find(name);
    if (found == entries_.end()) return {};
    std::vector<control::SessionInfo> sessions;
    for (const node::SessionFacts& session : facts(found->first, found->second)) {
        sessions.push_back(
            {session.initiator_name, session.peer, hex(session.isid), rfc3339(session.since)});
    }
    return sessions;
}

Result<void> Fleet::take_offline(std::string_view name) {
    const auto found = entries_.find(name);
    if (found == entries_.end()) return {};
    const auto logged_in = sessions(name);
    if (!logged_in.empty()) {
        return Error{ErrorCode::in_use,
                     std::string(name) + " is in use: " + logged_in.front().initiator_name +
                         " is logged in from " + logged_in.front().initiator_address +
                         "; shut the machine down first"};
    }
    if (found->second.readers != 0) {
        return Error{ErrorCode::in_use,
                     std::string(name) + " is being exported; wait until that has ended"};
    }
    const BlockOutcome outcome = close(found->first, found->second);
    entries_.erase(found);
    if (observer_ != nullptr) observer_->instance_gone(std::string(name));
    publish_removal(std::string(name));
    if (outcome.status != BlockStatus::good) {
        return system_error("cannot close " + std::string(name), outcome.os_errno);
    }
    return {};
}

Result<void> Fleet::bring_online(std::string_view name, const config::Machine& machine) {
    const auto [at, is_new] = entries_.try_emplace(std::string(name));
    Entry& entry = at->second;
    if (observer_ != nullptr) observer_->instance_served(at->first, machine);
    if (!is_new && entry.machine == machine) return {};
    entry.machine = machine;
    if (entry.ring != nullptr) {
        // What a unit may change while it is used; the geometry is not looked at.
        entry.ring->post([ring = entry.ring, instance = at->first,
                          unit = logical_unit_of(at->first, entry, {}),
                          quota = quota_of(at->first, entry)] {
            ring->reconfigure(instance, unit);
            ring->set_quota(instance, quota);
        });
    }
    publish(at->first, entry);
    return {};
}

Result<void> Fleet::at_rest(std::string_view name, const std::function<Result<void>()>& work) {
    return on_control([&] { return while_paused(name, work); });
}

Result<void> Fleet::read_live(std::string_view name, const store::Store::Sink& sink,
                              const store::Progress& progress) {
    const std::string instance(name);
    struct Reading {
        net::RingWorker* ring = nullptr;
        std::uint64_t size = 0;
        std::uint32_t block_size = 512;
    };
    auto began = on_control([&]() -> Result<Reading> {
        const auto found = entries_.find(instance);
        if (found == entries_.end()) {
            return Error{ErrorCode::not_found, "there is no instance " + instance};
        }
        auto info = store_.find_instance(instance);
        if (!info) return info.error();
        if (auto opened = open(instance, found->second); !opened) return opened.error();
        ++found->second.readers;
        return Reading{found->second.ring, found->second.size_bytes, info->block_size};
    });
    if (!began) return began.error();
    const Result<void> result =
        read_through(*began->ring, instance, began->size, began->block_size, sink, progress);
    on_control([&] {
        --entries_.find(instance)->second.readers;
        return true;
    });
    return result;
}

nlohmann::json Fleet::status() const {
    nlohmann::json rings = nlohmann::json::array();
    for (const auto& ring : rings_) {
        rings.push_back({{"index", ring->index()}, {"connections", on_ring(*ring, [&] {
                                                        return ring->connection_count();
                                                    })}});
    }
    const auto open_count = std::count_if(entries_.begin(), entries_.end(), [](const auto& each) {
        return each.second.ring != nullptr;
    });
    return {{"rings", rings}, {"instances", entries_.size()}, {"open_instances", open_count}};
}

}  // namespace cowtgt::fleet
