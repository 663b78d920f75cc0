// One load on one iSCSI target, measured: commands per second, latencies, and what they cost the
// target and this program in CPU time. Prints one line of JSON.

#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <map>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "bench/macro/clock.h"
#include "bench/macro/load_session.h"
#include "bench/macro/login.h"
#include "cow-store/base/check.h"

namespace cowtgt::bench {
namespace {

constexpr std::size_t payload_bytes = 4U << 20;
constexpr std::size_t receive_bytes = 256U << 10;
constexpr std::size_t pieces_max = 192;  ///< of one send

struct Options {
    std::string host = "127.0.0.1";
    std::uint16_t port = 3260;
    std::string target;          ///< '%' stands for the number of the session, from 1
    std::uint32_t sessions = 1;  ///< logged in
    std::uint32_t active = 0;    ///< of them, under load; 0: all
    bool idle = false;           ///< no load at all: what the sessions cost by being there
    bool digests = false;
    double seconds = 3;
    double warm_up_seconds = 0.3;
    pid_t target_pid = 0;
    std::string trace;  ///< a file
    Workload workload;
};

/// A line of the file is "OFFSET BYTES".
Result<std::vector<Workload::Place>> read_trace(const std::string& name) {
    std::ifstream file(name);
    std::vector<Workload::Place> places;
    Workload::Place place;
    while (file >> place.offset >> place.bytes) {
        if (place.bytes == 0 || place.bytes % 512 != 0 || place.bytes > 1U << 20) break;
        places.push_back(place);
    }
    if (places.empty() || !file.eof()) {
        return Error{ErrorCode::failed, name + " is no trace: line " +
                                            std::to_string(places.size() + 1) +
                                            " is not \"OFFSET BYTES\" of whole blocks up to 1 MiB"};
    }
    return places;
}

struct Connection {
    int socket = -1;
    LoadSession session;
    bool wants_to_send = false;  ///< the socket was full
};

/// All sessions of one load on one thread.
class Load {
public:
    explicit Load(const Options& options) : options_(options), payload_(payload_bytes) {
        std::uint64_t state = options.workload.seed | 1;
        for (std::byte& byte : payload_) {
            state = state * 6364136223846793005 + 1442695040888963407;
            byte = static_cast<std::byte>(state >> 56);
        }
    }

    Result<void> log_in_all() {
        epoll_ = epoll_create1(EPOLL_CLOEXEC);
        for (std::uint32_t i = 0; i < options_.sessions; ++i) {
            std::string name = options_.target;
            if (const auto at = name.find('%'); at != std::string::npos) {
                name.replace(at, 1, std::to_string(i + 1));
            }
            auto logged_in = log_in({options_.host, options_.port, name, i, options_.digests});
            if (!logged_in) return logged_in.error();
            add(*logged_in, i);
        }
        return {};
    }

    /// False: stopped by a failure.
    bool run() {
        const std::uint64_t start = now_ns();
        measure_from_ = start + seconds_to_ns(options_.warm_up_seconds);
        end_ns_ = measure_from_ + seconds_to_ns(options_.seconds);
        if (options_.idle) return stay_idle();
        const std::uint32_t active = options_.active == 0 ? options_.sessions : options_.active;
        for (std::uint32_t i = 0; i < active; ++i) {
            connections_[i]->session.begin_commands(start);
            if (!flush(*connections_[i])) return false;
        }
        while (true) {
            const std::uint64_t now = now_ns();
            if (!measuring_ && now >= measure_from_) begin_to_measure(now);
            if (now >= end_ns_ || is_done()) break;
            if (!turn()) return false;
        }
        end_measuring();
        return true;
    }

    void report() const {
        Histogram all;
        std::uint64_t done = 0, bytes = 0;
        std::vector<std::uint64_t> ends;
        for (const auto& connection : connections_) {
            done += connection->session.completed();
            bytes += connection->session.completed_bytes();
            ends.push_back(std::max(began_, connection->session.finished_ns()) - began_);
            all.add(connection->session.latencies());
        }
        std::sort(ends.begin(), ends.end());
        const double seconds = static_cast<double>(ended_ - began_) / 1e9;
        const double operations = static_cast<double>(done);
        const auto us = [&](double part) { return static_cast<double>(all.quantile(part)) / 1000; };
        const auto each = [&](std::uint64_t ns) {
            return done == 0 ? 0 : static_cast<double>(ns) / 1000 / operations;
        };
        std::printf(
            "{\"iops\": %.0f, \"mbps\": %.1f, \"p50_us\": %.1f, \"p99_us\": %.1f, "
            "\"p999_us\": %.1f, \"target_us\": %.3f, \"client_us\": %.3f, "
            "\"target_core_percent\": %.3f, \"seconds\": %.3f, \"done\": %llu, "
            "\"median_end_s\": %.3f, \"last_end_s\": %.3f}\n",
            operations / seconds, static_cast<double>(bytes) / seconds / 1e6, us(0.5), us(0.99),
            us(0.999), each(target_cpu_), each(own_cpu_),
            static_cast<double>(target_cpu_) / 1e7 / seconds, seconds,
            static_cast<unsigned long long>(done), static_cast<double>(ends[ends.size() / 2]) / 1e9,
            static_cast<double>(ends.back()) / 1e9);
    }

    const std::string& failure() const { return failure_; }

private:
    void add(const LoggedIn& logged_in, std::uint32_t index) {
        Workload workload = options_.workload;
        if (workload.span_bytes == 0 || workload.span_bytes > logged_in.size_bytes) {
            workload.span_bytes = logged_in.size_bytes;
        }
        workload.seed += index;
        connections_.push_back(std::make_unique<Connection>(Connection{
            logged_in.socket, LoadSession(logged_in.login, logged_in.lun, workload, payload_)}));
        epoll_event event{};
        event.events = EPOLLIN;
        event.data.ptr = connections_.back().get();
        CHECK(epoll_ctl(epoll_, EPOLL_CTL_ADD, logged_in.socket, &event) == 0);
    }

    bool is_done() const {
        for (const auto& connection : connections_) {
            if (!connection->session.is_done()) return false;
        }
        return true;
    }

    void begin_to_measure(std::uint64_t now) {
        measuring_ = true;
        for (const auto& connection : connections_) {
            connection->session.begin_to_measure();
        }
        began_ = now;
        target_cpu_ = cpu_ns_of(options_.target_pid);
        own_cpu_ = now_ns(CLOCK_PROCESS_CPUTIME_ID);
    }

    void end_measuring() {
        ended_ = now_ns();
        target_cpu_ = cpu_ns_of(options_.target_pid) - target_cpu_;
        own_cpu_ = now_ns(CLOCK_PROCESS_CPUTIME_ID) - own_cpu_;
    }

    bool stay_idle() {
        std::this_thread::sleep_for(std::chrono::nanoseconds(measure_from_ - now_ns()));
        begin_to_measure(now_ns());
        std::this_thread::sleep_for(std::chrono::nanoseconds(end_ns_ - now_ns()));
        end_measuring();
        return true;
    }

    /// Waits for input (or room for output) and answers it.
    bool turn() {
        if (connections_.size() == 1 && !connections_[0]->wants_to_send) {
            // A blocking call, as the ping-pong that this is compared with makes it.
            return take_input(*connections_[0], 0);
        }
        std::array<epoll_event, 64> events{};
        const int count = epoll_wait(epoll_, events.data(), static_cast<int>(events.size()), 100);
        for (int i = 0; i < count; ++i) {
            Connection& connection = *static_cast<Connection*>(events[i].data.ptr);
            if ((events[i].events & EPOLLOUT) != 0 && !flush(connection)) return false;
            if ((events[i].events & ~static_cast<unsigned>(EPOLLOUT)) == 0) continue;
            if (!take_input(connection, MSG_DONTWAIT)) return false;
        }
        return true;
    }

    bool take_input(Connection& connection, int flags) {
        const ssize_t got = recv(connection.socket, input_.data(), input_.size(), flags);
        if (got < 0 && (errno == EAGAIN || errno == EINTR)) return true;
        if (got <= 0) return fail(got == 0 ? "the target closed a connection" : "receive failed");
        const std::uint64_t now = now_ns();
        connection.session.receive(Bytes(input_).first(static_cast<std::size_t>(got)), now);
        if (!connection.session.failure().empty()) return fail(connection.session.failure());
        connection.session.begin_commands(now);
        return flush(connection);
    }

    bool flush(Connection& connection) {
        LoadSession& session = connection.session;
        while (session.has_output()) {
            std::array<iovec, pieces_max> pieces;
            msghdr message{};
            message.msg_iov = pieces.data();
            message.msg_iovlen = session.gather(pieces);
            const ssize_t put = sendmsg(connection.socket, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
            if (put < 0 && errno == EINTR) continue;
            if (put < 0 && errno != EAGAIN) return fail("send failed");
            if (put < 0) break;
            session.sent(static_cast<std::size_t>(put));
        }
        if (session.has_output() == connection.wants_to_send) return true;
        connection.wants_to_send = session.has_output();
        epoll_event event{};
        event.events = EPOLLIN | (connection.wants_to_send ? EPOLLOUT : 0U);
        event.data.ptr = &connection;
        CHECK(epoll_ctl(epoll_, EPOLL_CTL_MOD, connection.socket, &event) == 0);
        return true;
    }

    bool fail(std::string text) {
        if (failure_.empty()) failure_ = std::move(text);
        return false;
    }

    Options options_;
    std::vector<std::byte> payload_;
    std::vector<std::byte> input_ = std::vector<std::byte>(receive_bytes);
    std::vector<std::unique_ptr<Connection>> connections_;
    int epoll_ = -1;
    std::uint64_t measure_from_ = 0, end_ns_ = 0;
    bool measuring_ = false;
    std::uint64_t began_ = 0, ended_ = 0, target_cpu_ = 0, own_cpu_ = 0;
    std::string failure_;
};

void add_options(CLI::App& app, Options& options) {
    Workload& workload = options.workload;
    app.option_defaults()->multi_option_policy(CLI::MultiOptionPolicy::TakeLast);  // for scripts
    app.add_option("--host", options.host, "IPv4 address of the portal")->capture_default_str();
    app.add_option("--port", options.port, "its port")->capture_default_str();
    app.add_option("--target", options.target, "iqn; % is the number of the session")->required();
    app.add_option("--sessions", options.sessions, "sessions to log in")->capture_default_str();
    app.add_option("--active", options.active, "of them, under load (0: all)");
    app.add_flag("--idle", options.idle, "no load: what the sessions cost by being there");
    app.add_flag("--digests", options.digests, "CRC32C of headers and data");
    app.add_option("--seconds", options.seconds, "measured")->capture_default_str();
    app.add_option("--warm-up", options.warm_up_seconds, "seconds before that");
    app.add_option("--pid", options.target_pid, "the target's process, for its CPU time");
    app.add_option("--read", workload.read_percent, "percent of the commands that read")
        ->check(CLI::Range(0, 100))
        ->capture_default_str();
    app.add_option("--block", workload.block_bytes, "bytes of one command")
        ->check(CLI::Range(512, 1 << 20))
        ->capture_default_str();
    app.add_option("--depth", workload.depth, "commands in flight per session")
        ->check(CLI::Range(1, 1024))
        ->capture_default_str();
    app.add_option("--span", workload.span_bytes, "bytes of the disk to use (0: all)");
    app.add_option("--seed", workload.seed, "of the places")->capture_default_str();
    const std::map<std::string, Workload::Order> orders = {
        {"random", Workload::Order::random},
        {"sequential", Workload::Order::sequential},
        {"once", Workload::Order::each_once},
        {"fill", Workload::Order::fill}};
    app.add_option("--order", workload.order,
                   "random, sequential, once (random, no block twice), fill (all, once)")
        ->transform(CLI::CheckedTransformer(orders));
    app.add_option("--trace", options.trace, "file of \"OFFSET BYTES\" lines: these places, once");
    app.add_flag_callback(
        "--unmap", [&workload] { workload.changes = Workload::Changes::unmap; },
        "UNMAP where a command would write");
    app.add_option("--flush-every", workload.commands_per_flush,
                   "SYNCHRONIZE CACHE after so many commands (0: never)");
}

int run_load(Options options) {
    if (!options.trace.empty()) {
        auto trace = read_trace(options.trace);
        if (!trace) {
            std::fprintf(stderr, "cowtgt-load: %s\n", trace.error().message.c_str());
            return 2;
        }
        options.workload.trace = std::move(*trace);
        options.workload.order = Workload::Order::trace;
    }
    Load load(options);
    if (auto done = load.log_in_all(); !done) {
        std::fprintf(stderr, "cowtgt-load: %s\n", done.error().message.c_str());
        return 1;
    }
    if (!load.run()) {
        std::fprintf(stderr, "cowtgt-load: %s\n", load.failure().c_str());
        return 1;
    }
    load.report();
    return 0;
}

}  // namespace
}  // namespace cowtgt::bench

int main(int argc, char** argv) {
    CLI::App app(
        "cowtgt-load puts a load on an iSCSI target and measures it; see bench/README.md.");
    cowtgt::bench::Options options;
    cowtgt::bench::add_options(app, options);
    CLI11_PARSE(app, argc, argv);
    if (options.active > options.sessions) {
        std::fprintf(stderr, "cowtgt-load: --active is more than --sessions\n");
        return 2;
    }
    return cowtgt::bench::run_load(options);
}
