#pragma once

#include <sys/types.h>

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

namespace cowtgt::e2e {

/// A private store in a temporary folder and the daemon that serves it on a free loopback port.
///
/// COWTGT_BIN is the folder of the two programs. A step that does not succeed throws
/// std::runtime_error, which fails the test. Destroying it kills the daemon and removes the folder.
class Daemon {
public:
    Daemon();
    ~Daemon();
    Daemon(const Daemon&) = delete;
    Daemon& operator=(const Daemon&) = delete;

    /// Runs `cowtgt --config ... arguments` and expects exit code 0.
    void command(const std::vector<std::string>& arguments);
    /// Imports a sparse image of `byte_count` zeros as a template.
    void make_template(const std::string& name, std::uint64_t byte_count);
    /// Appends a line to cowtgt.toml.
    void configure(const std::string& line);

    /// Starts and waits until an initiator can log in, at most a minute.
    void start();
    /// kill -9, and waits for its end.
    void kill();
    /// SIGTERM; it must exit 0.
    void stop();

    pid_t pid() const { return pid_; }
    const std::string& portal() const { return portal_; }  ///< on loopback, of this process alone
    std::string target(const std::string& instance) const;
    /// User and system time of all its threads, in clock ticks (sysconf(_SC_CLK_TCK)).
    std::uint64_t cpu_ticks() const;
    /// Resident memory of its own (not of files), bytes.
    std::uint64_t anonymous_memory() const;
    /// Whatever the programs have printed so far.
    std::string read_log() const;

private:
    std::filesystem::path config() const { return folder_ / "cowtgt.toml"; }

    std::filesystem::path binaries_;
    std::filesystem::path folder_;
    std::string portal_;
    pid_t pid_ = -1;
};

}  // namespace cowtgt::e2e
