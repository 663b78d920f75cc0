#include "target/config/config.h"

#include <algorithm>
#include <array>

#include "target/config/names.h"
#include "target/config/text_file.h"
#include "target/config/toml_text.h"

namespace cowtgt::config {

namespace {

constexpr std::uint32_t connections_highest = 65536;
constexpr std::uint32_t login_seconds_highest = 3600;
constexpr std::string_view verify_in_doubt = "in-doubt", verify_always = "always";
constexpr std::array<std::string_view, 4> log_level_names = {"error", "warning", "info", "debug"};

/// What a row's reader gets: the configuration to fill, the entry, and the file for messages.
struct Reading {
    Config& config;
    const TomlEntry& entry;
    std::string_view file;

    Error wrong(std::string_view what) const {
        return error_at(file, entry.value_place, "'" + entry.key + "' " + std::string(what));
    }
    Error wrong_at(Place place, const Error& error) const {
        return error_at(file, place, error.message);
    }
};

Result<std::string> text_of_entry(const Reading& reading, std::string_view what) {
    const auto* value = std::get_if<TomlString>(&reading.entry.value);
    if (value == nullptr || value->text.empty()) return reading.wrong(what);
    return value->text;
}

Result<std::filesystem::path> path_of_entry(const Reading& reading) {
    auto text = text_of_entry(reading, "is a path in quotes");
    if (!text) return text.error();
    if (text->find('\0') != std::string::npos) return reading.wrong("is a path in quotes");
    return (reading.config.file.parent_path() / *text).lexically_normal();
}

Result<void> read_iqn(const Reading& reading) {
    auto prefix =
        text_of_entry(reading, "is a prefix in quotes, such as \"iqn.2026-01.lan.example\"");
    if (!prefix) return prefix.error();
    if (auto checked = check_iqn_prefix(*prefix); !checked) {
        return reading.wrong_at(reading.entry.value_place, checked.error());
    }
    reading.config.iqn_prefix = std::move(*prefix);
    return {};
}

Result<void> read_store(const Reading& reading) {
    auto path = path_of_entry(reading);
    if (!path) return path.error();
    reading.config.store = std::move(*path);
    return {};
}

Result<void> read_socket(const Reading& reading) {
    auto path = path_of_entry(reading);
    if (!path) return path.error();
    if (!path->has_filename()) return reading.wrong("names a folder; add a file name to it");
    reading.config.control_socket = std::move(*path);
    return {};
}

Result<void> add_endpoint(const Reading& reading, const TomlString& value,
                          std::vector<Endpoint>& endpoints) {
    auto endpoint = parse_endpoint(value.text);
    if (!endpoint) return reading.wrong_at(value.place, endpoint.error());
    if (std::find(endpoints.begin(), endpoints.end(), *endpoint) != endpoints.end()) {
        return error_at(reading.file, value.place,
                        "'" + value.text + "' is in the list twice; remove one");
    }
    endpoints.push_back(std::move(*endpoint));
    return {};
}

Result<void> read_listen(const Reading& reading) {
    const auto* values = std::get_if<std::vector<TomlString>>(&reading.entry.value);
    if (values == nullptr || values->empty()) {
        return reading.wrong("is a list of addresses, such as [\"0.0.0.0:3260\", \"[::]:3260\"]");
    }
    for (const TomlString& value : *values) {
        if (auto added = add_endpoint(reading, value, reading.config.listen); !added) return added;
    }
    return {};
}

/// A list, or one address as it was once written; an empty list is no HTTP.
Result<void> read_http(const Reading& reading) {
    if (const auto* value = std::get_if<TomlString>(&reading.entry.value)) {
        return add_endpoint(reading, *value, reading.config.http);
    }
    const auto* values = std::get_if<std::vector<TomlString>>(&reading.entry.value);
    if (values == nullptr) {
        return reading.wrong("is a list of addresses, such as [\"10.0.0.1:8080\"]");
    }
    for (const TomlString& value : *values) {
        if (auto added = add_endpoint(reading, value, reading.config.http); !added) return added;
    }
    return {};
}

Result<void> read_rings(const Reading& reading) {
    const auto* value = std::get_if<std::int64_t>(&reading.entry.value);
    if (value == nullptr || *value < 0 || *value > rings_max) {
        return reading.wrong("is a number from 0 (one per core) to " + std::to_string(rings_max));
    }
    reading.config.rings = static_cast<std::uint32_t>(*value);
    return {};
}

/// A number from 1 on.
Result<std::uint32_t> number_of_entry(const Reading& reading, std::uint32_t highest) {
    const auto* value = std::get_if<std::int64_t>(&reading.entry.value);
    if (value == nullptr || *value < 1 || *value > highest) {
        return reading.wrong("is a number from 1 to " + std::to_string(highest));
    }
    return static_cast<std::uint32_t>(*value);
}

Result<void> read_connections(const Reading& reading) {
    auto number = number_of_entry(reading, connections_highest);
    if (!number) return number.error();
    reading.config.connections_max = *number;
    return {};
}

Result<void> read_login_timeout(const Reading& reading) {
    auto number = number_of_entry(reading, login_seconds_highest);
    if (!number) return number.error();
    reading.config.login_seconds_max = *number;
    return {};
}

Result<void> read_busy_poll(const Reading& reading) {
    const auto* value = std::get_if<std::int64_t>(&reading.entry.value);
    if (value == nullptr || *value < 0 || *value > busy_poll_us_max) {
        return reading.wrong("is a number of microseconds from 0 to " +
                             std::to_string(busy_poll_us_max));
    }
    reading.config.busy_poll_us = static_cast<std::uint32_t>(*value);
    return {};
}

Result<void> read_low_water(const Reading& reading) {
    const auto* value = std::get_if<std::int64_t>(&reading.entry.value);
    if (value == nullptr || *value < 0 || *value > low_water_percent_max) {
        return reading.wrong("is a number of percent from 0 (no warning) to " +
                             std::to_string(low_water_percent_max));
    }
    reading.config.low_water_percent = static_cast<std::uint32_t>(*value);
    return {};
}

Result<void> read_verify(const Reading& reading) {
    const auto* value = std::get_if<TomlString>(&reading.entry.value);
    const bool always = value != nullptr && value->text == verify_always;
    if (!always && (value == nullptr || value->text != verify_in_doubt)) {
        return reading.wrong("is one of \"in-doubt\", \"always\"");
    }
    reading.config.verify_reads =
        always ? store::VerifyReads::always : store::VerifyReads::when_in_doubt;
    return {};
}

Result<void> read_chap_over_http(const Reading& reading) {
    const auto* value = std::get_if<bool>(&reading.entry.value);
    if (value == nullptr) return reading.wrong("is true or false");
    reading.config.chap_over_http = *value;
    return {};
}

Result<void> read_log(const Reading& reading) {
    const auto* value = std::get_if<TomlString>(&reading.entry.value);
    const auto* found =
        value == nullptr ? log_level_names.end()
                         : std::find(log_level_names.begin(), log_level_names.end(), value->text);
    if (found == log_level_names.end()) {
        return reading.wrong("is one of \"error\", \"warning\", \"info\", \"debug\"");
    }
    reading.config.log_level = static_cast<LogLevel>(found - log_level_names.begin());
    return {};
}

struct SettingRow {
    std::string_view key;
    Result<void> (*read)(const Reading&);
};
constexpr std::array settings = {
    SettingRow{"iqn", read_iqn},
    SettingRow{"store", read_store},
    SettingRow{"listen", read_listen},
    SettingRow{"http", read_http},
    SettingRow{"socket", read_socket},
    SettingRow{"rings", read_rings},
    SettingRow{"log", read_log},
    SettingRow{"connections", read_connections},
    SettingRow{"login_timeout", read_login_timeout},
    SettingRow{"busy_poll_us", read_busy_poll},
    SettingRow{"verify", read_verify},
    SettingRow{"low_water", read_low_water},
    SettingRow{"chap_over_http", read_chap_over_http},
};

std::string list_text(const std::vector<Endpoint>& endpoints) {
    std::string text;
    for (const Endpoint& endpoint : endpoints) {
        if (!text.empty()) text += ", ";
        text += toml_string(to_string(endpoint));
    }
    return "[" + text + "]";
}

std::string known_settings() {
    std::string names;
    for (const SettingRow& row : settings) {
        if (!names.empty()) names += ", ";
        names += row.key;
    }
    return names;
}

}  // namespace

std::string_view to_string(LogLevel level) {
    return log_level_names[static_cast<std::size_t>(level)];
}

Result<Config> parse_config(std::string_view text, const std::filesystem::path& file) {
    const std::string name = file.string();
    auto entries = parse_toml(text, name);
    if (!entries) return entries.error();
    Config config;
    config.file = file;
    for (const TomlEntry& entry : *entries) {
        const auto* row =
            std::find_if(settings.begin(), settings.end(),
                         [&entry](const SettingRow& setting) { return setting.key == entry.key; });
        if (row == settings.end()) {
            return error_at(
                name, entry.key_place,
                "unknown setting '" + entry.key + "'; the settings are " + known_settings());
        }
        if (auto read = row->read({config, entry, name}); !read) return read.error();
    }
    if (config.iqn_prefix.empty()) {
        return error_at(name, {1, 1}, "'iqn' is missing; add iqn = \"iqn.2026-01.lan.example\"");
    }
    if (config.listen.empty()) config.listen.push_back(parse_endpoint(default_listen).value());
    if (config.control_socket.empty()) {
        config.control_socket = control_socket_for(file, config.store);
    }
    config.machines_file = file.parent_path() / "machines.toml";
    config.secrets_file = file.parent_path() / "secrets.toml";
    return config;
}

std::uint64_t low_water_of(const Config& config, std::uint64_t total_bytes) {
    return total_bytes / 100 * config.low_water_percent;
}

Result<Config> load_config(const std::filesystem::path& file) {
    std::error_code problem;
    const std::filesystem::path whole = std::filesystem::absolute(file, problem).lexically_normal();
    if (problem) return system_error("finding " + file.string(), problem.value());
    auto text = read_text_file(whole);
    if (!text && text.error().code == ErrorCode::not_found) {
        return Error{ErrorCode::not_found, "there is no " + whole.string() +
                                               "; make it with: cowtgt init --iqn PREFIX, or name "
                                               "another with --config"};
    }
    if (!text) return text.error();
    return parse_config(*text, whole);
}

std::filesystem::path control_socket_for(const std::filesystem::path& file,
                                         const std::filesystem::path& store) {
    if (file == default_config_file) return default_control_socket;
    return store / "control.sock";
}

std::string config_text(const Config& config) {
    std::string text =
        "# cowtgt: one site. The machines are in machines.toml, beside this file.\n"
        "\n"
        "# Every iSCSI name begins with this; the target of an instance is PREFIX:NAME.\n"
        "# Changing it renames all targets.\n";
    text += "iqn = " + toml_string(config.iqn_prefix) + "\n\n";
    text += "# The folder of templates and instances.\n";
    text += "store = " + toml_string(config.store.string()) + "\n\n";
    text += "# Where iSCSI is served: addresses of this host, or 0.0.0.0 and [::] for all.\n";
    text += "listen = " + list_text(config.listen) + "\n\n";
    text += "# Boot scripts, kernels and metrics over HTTP, read-only; without a line no HTTP.\n";
    text += config.http.empty() ? "# http = [" + toml_string(default_http) + "]\n\n"
                                : "http = " + list_text(config.http) + "\n\n";
    text +=
        "# Whether boot scripts tell CHAP secrets, which everybody on the network can read then;\n"
        "# without them machines that must authenticate do not boot by these scripts.\n";
    text +=
        std::string(config.chap_over_http ? "chap_over_http = true" : "# chap_over_http = false") +
        "\n\n";
    text += "# The socket over which cowtgt talks to cowtgtd.\n";
    text += "socket = " + toml_string(config.control_socket.string()) + "\n\n";
    text += "# Threads that serve; 0 is one per core.\n";
    text += (config.rings == 0 ? "# rings = " : "rings = ") + std::to_string(config.rings) + "\n\n";
    text += "# At most so many connections for each thread, and so many seconds for a login.\n";
    const Config usual;
    text += std::string(config.connections_max == usual.connections_max ? "# " : "") +
            "connections = " + std::to_string(config.connections_max) + "\n";
    text += std::string(config.login_seconds_max == usual.login_seconds_max ? "# " : "") +
            "login_timeout = " + std::to_string(config.login_seconds_max) + "\n\n";
    text +=
        "# A thread that has just worked stays awake so many microseconds (at most 1000): less\n"
        "# latency, more CPU.\n";
    text += std::string(config.busy_poll_us == 0 ? "# " : "") +
            "busy_poll_us = " + std::to_string(config.busy_poll_us) + "\n\n";
    const bool always = config.verify_reads == store::VerifyReads::always;
    text +=
        "# Whether templates and sealed layers are compared with their hashes at each read: "
        "always,\n"
        "# or only while it is in doubt that they are what was sealed.\n";
    text += std::string(always ? "" : "# ") +
            "verify = " + toml_string(always ? verify_always : verify_in_doubt) + "\n\n";
    text +=
        "# Percent of the store's file system, and of each quota, below which free space is low:\n"
        "# it is logged, and initiators are told (0: never).\n";
    text += std::string(config.low_water_percent == usual.low_water_percent ? "# " : "") +
            "low_water = " + std::to_string(config.low_water_percent) + "\n\n";
    text += "# error, warning, info or debug\n";
    text += std::string(config.log_level == LogLevel::info ? "# log = " : "log = ") +
            toml_string(to_string(config.log_level)) + "\n";
    return text;
}

std::string empty_machines_text() {
    return "# One line per machine; cowtgt clone, rm and rename keep them, comments stay.\n"
           "#   name = \"[MAC] [TEMPLATE[@VERSION]] [size=SIZE] [quota=SIZE]\"\n"
           "# With a MAC only the initiator PREFIX:init:NAME may log in, without one any may.\n"
           "# After an edit by hand: systemctl reload cowtgtd (or send it SIGHUP).\n";
}

}  // namespace cowtgt::config
