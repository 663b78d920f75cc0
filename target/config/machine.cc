#include "target/config/machine.h"

#include <algorithm>
#include <array>

#include "target/config/machines_file.h"
#include "target/config/size.h"

namespace cowtgt::config {

namespace {

int hex_value(char c) {
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    if (c >= 'A' && c <= 'F') return c - 'A' + 10;
    return -1;
}

Error mac_error(std::string_view text, std::string_view why) {
    return {ErrorCode::usage, "'" + std::string(text) + "' is not a MAC address: " +
                                  std::string(why) + "; write for example 52:54:00:12:34:01"};
}

/// Digits per group that this separator has, 0 when it is none.
std::size_t group_digits(char separator) {
    if (separator == ':' || separator == '-') return 2;
    return separator == '.' ? 4 : 0;
}

std::string join_hex(const MacAddress& mac, char separator) {
    constexpr std::string_view digits = "0123456789abcdef";
    std::string text;
    for (const std::uint8_t byte : mac.bytes) {
        if (!text.empty()) text += separator;
        text += digits[byte >> 4];
        text += digits[byte & 15];
    }
    return text;
}

/// A setting and its words; the first is what holds when nothing is said.
struct SettingRow {
    std::string_view name;
    std::array<std::string_view, 3> words;  ///< the last may be empty: there are two
    void (*take)(Machine& machine, std::size_t word);
    std::size_t (*word_of)(const Machine& machine);
};
constexpr std::array settings = {
    SettingRow{"physical-block",
               {"", "512", "4096"},
               [](Machine& m, std::size_t word) { m.physical_block = word == 1 ? 512 : 4096; },
               [](const Machine& m) -> std::size_t {
                   return m.physical_block == 0 ? 0 : m.physical_block == 512 ? 1 : 2;
               }},
    SettingRow{"removable",
               {"no", "yes", ""},
               [](Machine& m, std::size_t word) { m.removable = word == 1; },
               [](const Machine& m) -> std::size_t { return m.removable ? 1 : 0; }},
    SettingRow{"read-only",
               {"no", "yes", ""},
               [](Machine& m, std::size_t word) { m.read_only = word == 1; },
               [](const Machine& m) -> std::size_t { return m.read_only ? 1 : 0; }},
    SettingRow{"write-cache",
               {"on", "off", ""},
               [](Machine& m, std::size_t word) { m.write_cache = word == 0; },
               [](const Machine& m) -> std::size_t { return m.write_cache ? 0 : 1; }},
};

std::string words_of(const SettingRow& row) {
    std::string text;
    for (const std::string_view word : row.words) {
        if (word.empty()) continue;
        if (!text.empty()) text += " or ";
        text += word;
    }
    return text;
}

Result<std::uint64_t> parse_quota(std::string_view value) {
    if (value == "none") return std::uint64_t{0};
    auto size = parse_size(value);
    if (!size) return Error{ErrorCode::usage, "quota is none or a size: " + size.error().message};
    if (*size >= quota_bytes_min) return size;
    return Error{ErrorCode::usage, "a quota of " + std::string(value) + " is too small; " +
                                       exact_size(quota_bytes_min) + " is the least"};
}

}  // namespace

Result<MacAddress> parse_mac(std::string_view text) {
    constexpr std::size_t hex_digits = 12;
    MacAddress mac;
    std::size_t group = 0;  // digits between separators; 0: no separators
    char separator = 0;
    if (text.size() != hex_digits) {
        const std::size_t first = text.find_first_of(":-.");
        if (first == std::string_view::npos) return mac_error(text, "it needs 12 hex digits");
        separator = text[first];
        group = group_digits(separator);
        if (text.size() != hex_digits + hex_digits / group - 1) {
            return mac_error(text, "it needs 12 hex digits");
        }
    }
    std::size_t digits = 0;
    for (std::size_t at = 0; at < text.size(); ++at) {
        if (group != 0 && at % (group + 1) == group) {
            if (text[at] != separator) return mac_error(text, "its separators differ");
            continue;
        }
        const int value = hex_value(text[at]);
        if (value < 0) return mac_error(text, "it has something else than hex digits");
        std::uint8_t& byte = mac.bytes[digits / 2];
        byte = static_cast<std::uint8_t>(byte << 4 | value);
        ++digits;
    }
    if (mac == MacAddress{}) return mac_error(text, "no network card has the address zero");
    if ((mac.bytes[0] & 1) != 0) {
        return mac_error(text, "it is a multicast address, which no network card has");
    }
    return mac;
}

std::string to_string(const MacAddress& mac) {
    return join_hex(mac, ':');
}
std::string to_hyphen_string(const MacAddress& mac) {
    return join_hex(mac, '-');
}

Result<void> change_setting(Machine& machine, std::string_view name, std::string_view value) {
    if (name == "from") {
        auto from = parse_from(value);
        if (!from) return from.error();
        machine.from = std::move(*from);
        return {};
    }
    if (name == "quota") {
        const auto quota = parse_quota(value);
        if (!quota) return quota.error();
        machine.quota_bytes = *quota;
        return {};
    }
    if (name == "ephemeral") {
        if (value != "yes" && value != "no") {
            return Error{ErrorCode::usage,
                         "ephemeral is no or yes, not '" + std::string(value) + "'"};
        }
        machine.ephemeral = value == "yes";
        return {};
    }
    const auto* row = std::find_if(settings.begin(), settings.end(),
                                   [&](const SettingRow& known) { return known.name == name; });
    if (row == settings.end()) {
        return Error{ErrorCode::usage,
                     "unknown setting '" + std::string(name) + "'; there are " + setting_names()};
    }
    const auto* word = std::find(row->words.begin(), row->words.end(), value);
    if (value.empty() || word == row->words.end()) {
        return Error{ErrorCode::usage, std::string(name) + " is " + words_of(*row) + ", not '" +
                                           std::string(value) + "'"};
    }
    row->take(machine, static_cast<std::size_t>(word - row->words.begin()));
    return {};
}

std::vector<std::string> setting_words(const Machine& machine) {
    std::vector<std::string> words;
    for (const SettingRow& row : settings) {
        const std::size_t word = row.word_of(machine);
        if (word != 0) words.push_back(std::string(row.name) + "=" + std::string(row.words[word]));
    }
    if (machine.quota_bytes != 0) words.push_back("quota=" + exact_size(machine.quota_bytes));
    return words;
}

std::string setting_names() {
    std::string names;
    for (const SettingRow& row : settings) {
        if (!names.empty()) names += ", ";
        names += row.name;
    }
    return names + ", quota, ephemeral, from";
}

}  // namespace cowtgt::config
