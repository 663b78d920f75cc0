#include "target/config/names.h"

#include <algorithm>

namespace cowtgt::config {

namespace {

constexpr std::size_t iscsi_name_bytes_max = 223;
constexpr std::size_t instance_name_bytes_max = 63;
constexpr std::string_view initiator_infix = ":init:";
constexpr std::size_t prefix_bytes_max =
    iscsi_name_bytes_max - initiator_infix.size() - instance_name_bytes_max;

bool is_digit(char c) {
    return c >= '0' && c <= '9';
}
bool is_letter(char c) {
    return c >= 'a' && c <= 'z';
}
bool is_upper(char c) {
    return c >= 'A' && c <= 'Z';
}

Error prefix_error(std::string_view prefix, std::string_view why) {
    return {ErrorCode::usage, "'" + std::string(prefix) +
                                  "' is no iSCSI name prefix: " + std::string(why) +
                                  "; write iqn.YEAR-MONTH.your.domain.reversed, for example "
                                  "iqn.2026-01.lan.example"};
}

/// "2026-01."
bool starts_with_date(std::string_view text) {
    if (text.size() < 8 || text[4] != '-' || text[7] != '.') return false;
    for (const std::size_t at : {0U, 1U, 2U, 3U, 5U, 6U}) {
        if (!is_digit(text[at])) return false;
    }
    const int month = (text[5] - '0') * 10 + (text[6] - '0');
    return month >= 1 && month <= 12;
}

bool is_domain(std::string_view text) {
    while (true) {
        const std::size_t dot = text.find('.');
        const std::string_view label = text.substr(0, dot);
        if (label.empty() || label.front() == '-' || label.back() == '-') return false;
        const auto allowed = [](char c) { return is_letter(c) || is_digit(c) || c == '-'; };
        if (!std::all_of(label.begin(), label.end(), allowed)) return false;
        if (dot == std::string_view::npos) return true;
        text.remove_prefix(dot + 1);
    }
}

}  // namespace

Result<void> check_iqn_prefix(std::string_view prefix) {
    if (prefix.size() > prefix_bytes_max) {
        return prefix_error(prefix,
                            "it is longer than " + std::to_string(prefix_bytes_max) + " bytes");
    }
    if (std::any_of(prefix.begin(), prefix.end(), is_upper)) {
        return prefix_error(prefix, "iSCSI names are compared in lower case");
    }
    if (!prefix.starts_with("iqn.")) return prefix_error(prefix, "it does not start with iqn.");
    std::string_view rest = prefix.substr(4);
    if (!starts_with_date(rest)) {
        return prefix_error(prefix, "after iqn. comes a date of the form 2026-01");
    }
    rest.remove_prefix(8);
    const std::size_t colon = rest.find(':');
    if (!is_domain(rest.substr(0, colon))) {
        return prefix_error(prefix, "after the date comes a domain name, reversed");
    }
    if (colon == std::string_view::npos) return {};
    const std::string_view more = rest.substr(colon + 1);
    const auto allowed = [](char c) {
        return is_letter(c) || is_digit(c) || c == '-' || c == '.' || c == ':';
    };
    if (more.empty() || more.back() == ':' || !std::all_of(more.begin(), more.end(), allowed)) {
        return prefix_error(prefix, "after the colon come letters, digits, '-', '.' and ':' only");
    }
    return {};
}

std::string target_name(std::string_view prefix, std::string_view instance) {
    return std::string(prefix) + ":" + std::string(instance);
}

std::string mac_alias(std::string_view prefix, const MacAddress& mac) {
    return std::string(prefix) + ":mac-" + to_hyphen_string(mac);
}

std::string initiator_name(std::string_view prefix, std::string_view instance) {
    return std::string(prefix) + std::string(initiator_infix) + std::string(instance);
}

}  // namespace cowtgt::config
