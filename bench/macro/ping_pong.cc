// What TCP over loopback itself costs: a server that only answers bytes with bytes, and a client
// that counts. No target can be quicker than this with blocking sockets. Prints one line of JSON.

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <deque>
#include <vector>

#include "bench/macro/clock.h"
#include "bench/macro/histogram.h"

namespace cowtgt::bench {
namespace {

struct Options {
    std::size_t request_bytes = 48;
    std::size_t response_bytes = 4144;
    std::size_t depth = 1;  ///< requests in flight
    bool stream = false;    ///< the server only sends, as fast as it can
    double seconds = 3;
    int server_core = -1, client_core = -1;  ///< -1: wherever the kernel likes
};

constexpr std::size_t buffer_bytes = 1U << 20;

[[noreturn]] void die(const char* what) {
    std::fprintf(stderr, "cowtgt-ping-pong: %s: %s\n", what, std::strerror(errno));
    std::exit(1);
}

void pin_to(int core) {
    if (core < 0) return;
    cpu_set_t cores;
    CPU_ZERO(&cores);
    CPU_SET(static_cast<std::size_t>(core), &cores);
    if (sched_setaffinity(0, sizeof cores, &cores) != 0) die("pin to a core");
}

/// False: the peer is gone.
bool send_all(int socket, const std::vector<char>& from, std::size_t bytes) {
    while (bytes > 0) {
        const ssize_t put = send(socket, from.data(), std::min(bytes, from.size()), MSG_NOSIGNAL);
        if (put <= 0) return false;
        bytes -= static_cast<std::size_t>(put);
    }
    return true;
}

/// Answers all requests that one read brought with one write.
void serve(int socket, const Options& options) {
    std::vector<char> input(buffer_bytes), output(buffer_bytes);
    while (options.stream && send_all(socket, output, output.size())) {
    }
    std::size_t received = 0;
    while (true) {
        const ssize_t got = recv(socket, input.data(), input.size(), 0);
        if (got <= 0) return;
        received += static_cast<std::size_t>(got);
        const std::size_t requests = received / options.request_bytes;
        received %= options.request_bytes;
        if (!send_all(socket, output, requests * options.response_bytes)) return;
    }
}

struct Counts {
    Histogram latencies;
    std::uint64_t done = 0, bytes = 0;
};

/// Until `end_ns`, keeping `depth` requests in flight.
Counts ping(int socket, const Options& options, std::uint64_t end_ns) {
    std::vector<char> input(buffer_bytes), output(options.request_bytes * options.depth);
    Counts counts;
    std::deque<std::uint64_t> began(options.depth, now_ns());
    if (!options.stream && !send_all(socket, output, output.size())) die("send");
    std::size_t received = 0;
    for (std::uint64_t now = 0; now < end_ns;) {
        const ssize_t got = recv(socket, input.data(), input.size(), 0);
        if (got <= 0) die("receive");
        now = now_ns();
        counts.bytes += static_cast<std::uint64_t>(got);
        if (options.stream) continue;
        received += static_cast<std::size_t>(got);
        const std::size_t answers = received / options.response_bytes;
        received %= options.response_bytes;
        for (std::size_t i = 0; i < answers; ++i) {
            counts.latencies.add(now - began.front());
            began.pop_front();
            began.push_back(now);
        }
        counts.done += answers;
        if (!send_all(socket, output, answers * options.request_bytes)) die("send");
    }
    return counts;
}

/// A connection over loopback whose other end a child process serves.
int connect_to_child(const Options& options, pid_t& child) {
    const int listening = socket(AF_INET, SOCK_STREAM, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t length = sizeof address;
    auto* name = reinterpret_cast<sockaddr*>(&address);
    if (bind(listening, name, length) != 0 || listen(listening, 1) != 0 ||
        getsockname(listening, name, &length) != 0) {
        die("listen on loopback");
    }
    const int on = 1;
    child = fork();
    if (child < 0) die("fork");
    if (child == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        pin_to(options.server_core);
        const int accepted = accept(listening, nullptr, nullptr);
        setsockopt(accepted, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        serve(accepted, options);
        std::_Exit(0);
    }
    const int connected = socket(AF_INET, SOCK_STREAM, 0);
    if (connect(connected, name, length) != 0) die("connect");
    setsockopt(connected, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    close(listening);
    return connected;
}

void run(const Options& options) {
    pid_t child = 0;
    const int socket = connect_to_child(options, child);
    pin_to(options.client_core);
    const std::uint64_t began = now_ns();
    const std::uint64_t own = now_ns(CLOCK_PROCESS_CPUTIME_ID);
    const std::uint64_t others = cpu_ns_of(child);
    const Counts counts = ping(socket, options, began + seconds_to_ns(options.seconds));
    const double seconds = static_cast<double>(now_ns() - began) / 1e9;
    const auto each = [&](std::uint64_t ns) {
        return counts.done == 0 ? 0
                                : static_cast<double>(ns) / 1000 / static_cast<double>(counts.done);
    };
    const auto us = [&](double part) {
        return static_cast<double>(counts.latencies.quantile(part)) / 1000;
    };
    std::printf(
        "{\"iops\": %.0f, \"mbps\": %.1f, \"p50_us\": %.1f, \"p99_us\": %.1f, "
        "\"p999_us\": %.1f, \"target_us\": %.3f, \"client_us\": %.3f}\n",
        static_cast<double>(counts.done) / seconds,
        static_cast<double>(counts.bytes + counts.done * options.request_bytes) / seconds / 1e6,
        us(0.5), us(0.99), us(0.999), each(cpu_ns_of(child) - others),
        each(now_ns(CLOCK_PROCESS_CPUTIME_ID) - own));
    close(socket);
    kill(child, SIGKILL);
    waitpid(child, nullptr, 0);
}

}  // namespace
}  // namespace cowtgt::bench

int main(int argc, char** argv) {
    CLI::App app("cowtgt-ping-pong measures TCP over loopback; see bench/README.md.");
    cowtgt::bench::Options options;
    app.add_option("--request", options.request_bytes, "bytes")->check(CLI::Range(1, 1 << 24));
    app.add_option("--response", options.response_bytes, "bytes")->check(CLI::Range(1, 1 << 24));
    app.add_option("--depth", options.depth, "requests in flight")->check(CLI::Range(1, 1024));
    app.add_flag("--stream", options.stream, "one direction only, without requests");
    app.add_option("--seconds", options.seconds, "measured");
    app.add_option("--server-core", options.server_core, "where the answering side runs");
    app.add_option("--client-core", options.client_core, "where the asking side runs");
    CLI11_PARSE(app, argc, argv);
    cowtgt::bench::run(options);
    return 0;
}
