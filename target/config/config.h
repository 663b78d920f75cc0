#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "cow-store/base/result.h"
#include "cow-store/store/environment.h"
#include "target/config/endpoint.h"

namespace cowtgt::config {

inline constexpr std::string_view default_config_file = "/etc/cowtgt/cowtgt.toml";
inline constexpr std::string_view default_store = "/var/lib/cowtgt";
inline constexpr std::string_view default_control_socket = "/run/cowtgt/cowtgt.sock";
inline constexpr std::string_view default_listen = "[::]:3260";
inline constexpr std::string_view default_http = "[::]:8080";
inline constexpr std::uint32_t rings_max = 256;
inline constexpr std::uint32_t busy_poll_us_max = 1000;
inline constexpr std::uint32_t low_water_percent_max = 90;

enum class LogLevel : std::uint8_t { error, warning, info, debug };
std::string_view to_string(LogLevel level);

/// cowtgt.toml: what is the same for all machines of a site. A plain value; all paths are
/// absolute.
struct Config {
    std::filesystem::path file;  ///< where it was read from
    std::string iqn_prefix;      ///< check_iqn_prefix holds
    std::filesystem::path store = default_store;
    std::vector<Endpoint> listen;  ///< iSCSI portals; at least one
    std::vector<Endpoint> http;    ///< empty: no HTTP
    std::filesystem::path control_socket;
    std::filesystem::path machines_file;   ///< machines.toml beside the file
    std::filesystem::path secrets_file;    ///< secrets.toml there; need not exist
    std::uint32_t rings = 0;               ///< 0: one per core
    std::uint32_t connections_max = 4096;  ///< per thread
    std::uint32_t login_seconds_max = 15;  ///< from a connection to the end of its login
    std::uint32_t busy_poll_us = 0;        ///< a thread stays awake so long after its last work
    /// Whether CHAP secrets may be told over HTTP: whoever asks for a machine's boot script by its
    /// MAC then has them.
    bool chap_over_http = false;
    /// Whether templates and sealed layers are compared with their hashes at each read.
    store::VerifyReads verify_reads = store::VerifyReads::when_in_doubt;
    /// Free space below which the store is low, of its file system; a quota has the same. 0: never.
    std::uint32_t low_water_percent = 5;
    LogLevel log_level = LogLevel::info;
};

/// Relative paths in `text` are relative to the folder of `file`. Errors are
/// "FILE:LINE:COLUMN: sentence".
Result<Config> parse_config(std::string_view text, const std::filesystem::path& file);

/// Of so many bytes, how many are low water.
std::uint64_t low_water_of(const Config& config, std::uint64_t total_bytes);

/// Reads and parses; `file` may be relative to the current folder. not_found says how to make one.
Result<Config> load_config(const std::filesystem::path& file);

/// /run/cowtgt/cowtgt.sock for the default configuration file, control.sock in the store for any
/// other, so that several daemons on one host do not meet.
std::filesystem::path control_socket_for(const std::filesystem::path& file,
                                         const std::filesystem::path& store);

/// The text of a new cowtgt.toml, with a comment at each setting; parse_config gives the same
/// values back.
std::string config_text(const Config& config);
/// The text of a new machines.toml: only a comment that explains the lines.
std::string empty_machines_text();

}  // namespace cowtgt::config
