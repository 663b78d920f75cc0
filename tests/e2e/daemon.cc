#include "tests/e2e/daemon.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iostream>
#include <sstream>
#include <stdexcept>
#include <thread>
#include <utility>

#include "tests/e2e/initiator.h"

namespace cowtgt::e2e {

namespace {

constexpr std::string_view iqn_prefix = "iqn.2026-01.test.cowtgt";
constexpr std::chrono::seconds start_time_max{60};
constexpr std::chrono::seconds stop_time_max{60};
constexpr std::chrono::milliseconds poll_interval{5};

[[noreturn]] void fail(const std::string& what) {
    throw std::runtime_error(what);
}

/// An address of loopback that no other process of these tests uses, so that ports are chosen by
/// this one alone. Process ids have at most 22 bits.
in_addr own_address() {
    return {htonl((127U << 24) + (1U << 22) + static_cast<std::uint32_t>(::getpid()))};
}

/// Below the range from which the kernel takes the ports of clients.
std::uint16_t free_port() {
    for (std::uint16_t port = 30'100; port < 32'600; ++port) {
        const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        sockaddr_in address{};
        address.sin_family = AF_INET;
        address.sin_port = htons(port);
        address.sin_addr = own_address();
        const bool is_free =
            ::bind(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0;
        ::close(fd);
        if (is_free) return port;
    }
    fail("no free port on loopback");
}

/// fork and exec; standard output and error go to the end of `log`.
pid_t spawn(const std::vector<std::string>& words, const std::filesystem::path& log) {
    std::vector<char*> arguments;
    for (const std::string& word : words)
        arguments.push_back(const_cast<char*>(word.c_str()));
    arguments.push_back(nullptr);
    const int output = ::open(log.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    const pid_t child = ::fork();
    if (child == 0) {
        ::prctl(PR_SET_PDEATHSIG, SIGKILL);  // a test that is killed leaves no daemon behind
        ::dup2(output, STDOUT_FILENO);
        ::dup2(output, STDERR_FILENO);
        ::execv(arguments[0], arguments.data());
        ::_exit(127);
    }
    ::close(output);
    if (child < 0) fail("fork: " + std::string(std::strerror(errno)));
    return child;
}

int wait_for(pid_t child) {
    int status = 0;
    while (::waitpid(child, &status, 0) < 0 && errno == EINTR) {
    }
    return status;
}

}  // namespace

Daemon::Daemon() {
    const char* binaries = std::getenv("COWTGT_BIN");
    if (binaries == nullptr) fail("COWTGT_BIN names the folder of cowtgt and cowtgtd");
    binaries_ = std::filesystem::absolute(binaries);
    std::string pattern = (std::filesystem::temp_directory_path() / "cowtgt-e2e.XXXXXX").string();
    if (::mkdtemp(pattern.data()) == nullptr) fail("mkdtemp " + pattern);
    folder_ = pattern;
    std::array<char, INET_ADDRSTRLEN> address{};
    const in_addr own = own_address();
    ::inet_ntop(AF_INET, &own, address.data(), address.size());
    portal_ = std::string(address.data()) + ":" + std::to_string(free_port());
    command({"init", "--iqn", std::string(iqn_prefix), "--store", folder_ / "store", "--listen",
             portal()});
}

Daemon::~Daemon() {
    int status = 0;
    if (pid_ > 0 && ::waitpid(pid_, &status, WNOHANG) == pid_) {
        pid_ = -1;
        std::cerr << "the daemon ended by itself, wait status " << status << '\n';
    }
    if (::testing::Test::HasFailure()) std::cerr << "--- the daemon's log:\n" << read_log();
    if (pid_ > 0) kill();
    std::error_code ignored;
    std::filesystem::remove_all(folder_, ignored);
}

void Daemon::command(const std::vector<std::string>& arguments) {
    std::vector<std::string> words = {binaries_ / "cowtgt", "--config", config()};
    words.insert(words.end(), arguments.begin(), arguments.end());
    if (wait_for(spawn(words, folder_ / "log")) != 0) fail(arguments[0] + ": " + read_log());
}

void Daemon::make_template(const std::string& name, std::uint64_t byte_count) {
    const std::filesystem::path image = folder_ / "image.raw";
    std::ofstream(image).close();
    std::filesystem::resize_file(image, byte_count);
    command({"template", "import", image, "--name", name});
    std::filesystem::remove(image);
}

void Daemon::configure(const std::string& line) {
    std::ofstream(config(), std::ios::app) << line << '\n';
}

void Daemon::start() {
    pid_ = spawn({binaries_ / "cowtgtd", "--config", config()}, folder_ / "log");
    const auto deadline = std::chrono::steady_clock::now() + start_time_max;
    while (!answers_discovery(portal())) {
        if (::waitpid(pid_, nullptr, WNOHANG) == pid_) {
            pid_ = -1;
            fail("the daemon ended at its start: " + read_log());
        }
        if (std::chrono::steady_clock::now() > deadline) fail("no answer in time: " + read_log());
        std::this_thread::sleep_for(poll_interval);
    }
}

void Daemon::kill() {
    ::kill(pid_, SIGKILL);
    wait_for(std::exchange(pid_, -1));
}

void Daemon::stop() {
    ::kill(pid_, SIGTERM);
    const auto deadline = std::chrono::steady_clock::now() + stop_time_max;
    int status = 0;
    while (::waitpid(pid_, &status, WNOHANG) == 0) {
        if (std::chrono::steady_clock::now() > deadline)
            fail("SIGTERM does not end it: " + read_log());
        std::this_thread::sleep_for(poll_interval);
    }
    pid_ = -1;
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) fail("no clean end: " + read_log());
}

std::string Daemon::target(const std::string& instance) const {
    return std::string(iqn_prefix) + ":" + instance;
}

std::uint64_t Daemon::cpu_ticks() const {
    std::ifstream file("/proc/" + std::to_string(pid_) + "/stat");
    std::string text((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
    std::istringstream fields(text.substr(text.rfind(')') + 1));
    std::string skipped;
    for (int field = 3; field < 14; ++field)
        fields >> skipped;  // up to cmajflt, see proc(5)
    std::uint64_t user = 0, system = 0;
    fields >> user >> system;
    return user + system;
}

std::uint64_t Daemon::anonymous_memory() const {
    std::ifstream file("/proc/" + std::to_string(pid_) + "/status");
    for (std::string word; file >> word;) {
        std::uint64_t kibibytes = 0;
        if (word == "RssAnon:" && file >> kibibytes) return kibibytes * 1024;
    }
    fail("no RssAnon in the daemon's status");
}

std::string Daemon::read_log() const {
    std::ifstream file(folder_ / "log");
    return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

}  // namespace cowtgt::e2e
