#include "boot-helper/core/request.h"

#include <algorithm>
#include <charconv>

namespace cowtgt::boot {

namespace {

int hex_value(char c) {
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    if (c >= 'A' && c <= 'F') return c - 'A' + 10;
    return -1;
}

bool is_unreserved(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '.' || c == '_' || c == '~';
}

bool is_control(char c) {
    return static_cast<unsigned char>(c) < 0x20 || c == 0x7f;
}

bool is_safe_segment(std::string_view segment) {
    if (segment.empty() || segment == "." || segment == "..") return false;
    return std::none_of(segment.begin(), segment.end(),
                        [](char c) { return c == '/' || c == '\\' || is_control(c); });
}

/// "http://host:port" in front of the path, which only proxies send.
std::string_view without_authority(std::string_view text) {
    constexpr std::string_view scheme = "http://";
    if (!text.starts_with(scheme)) return text;
    const std::size_t path = text.find('/', scheme.size());
    return path == std::string_view::npos ? "/" : text.substr(path);
}

std::optional<BadTarget> parse_path(std::string_view path, std::vector<std::string>& segments) {
    while (!path.empty()) {
        const std::size_t slash = path.find('/');
        const std::string_view raw = path.substr(0, slash);
        path = slash == std::string_view::npos ? std::string_view{} : path.substr(slash + 1);
        if (raw.empty()) continue;
        std::optional<std::string> segment = percent_decode(raw);
        if (!segment) return BadTarget{400, "a percent sign needs two hex digits"};
        if (!is_safe_segment(*segment)) return BadTarget{400, "a part of the path is no name"};
        if (segments.size() == segments_max) return BadTarget{404, "nothing lies that deep"};
        segments.push_back(std::move(*segment));
    }
    return {};
}

std::optional<BadTarget> parse_query(std::string_view query, Target& target) {
    std::size_t parameters = 0;
    while (!query.empty()) {
        const std::size_t end = query.find('&');
        const std::string_view pair = query.substr(0, end);
        query = end == std::string_view::npos ? std::string_view{} : query.substr(end + 1);
        if (pair.empty()) continue;
        if (++parameters > query_parameters_max) return BadTarget{400, "too many parameters"};
        const std::size_t equals = std::min(pair.find('='), pair.size());
        std::optional<std::string> name = percent_decode(pair.substr(0, equals));
        std::optional<std::string> value =
            percent_decode(pair.substr(std::min(equals + 1, pair.size())));
        if (!name || !value) return BadTarget{400, "a percent sign needs two hex digits"};
        target.query.emplace(std::move(*name), std::move(*value));
    }
    return {};
}

/// A whole decimal number; nothing when it is not one or does not fit into 64 bits.
std::optional<std::uint64_t> parse_number(std::string_view text) {
    std::uint64_t number = 0;
    const auto [end, problem] = std::from_chars(text.data(), text.data() + text.size(), number);
    if (text.empty() || problem != std::errc{} || end != text.data() + text.size()) return {};
    return number;
}

std::string_view trimmed(std::string_view text) {
    const std::size_t first = text.find_first_not_of(" \t");
    if (first == std::string_view::npos) return {};
    return text.substr(first, text.find_last_not_of(" \t") - first + 1);
}

/// If-None-Match: a list of entity tags compared weakly, or "*". RFC 9110 section 13.1.2.
bool matches_any(std::string_view list, std::string_view etag) {
    while (!list.empty()) {
        const std::size_t comma = list.find(',');
        std::string_view tag = trimmed(list.substr(0, comma));
        list = comma == std::string_view::npos ? std::string_view{} : list.substr(comma + 1);
        if (tag.starts_with("W/")) tag.remove_prefix(2);
        if (tag == "*" || tag == etag) return true;
    }
    return false;
}

/// A Range of one range; the whole when it does not count. RFC 9110 section 14.1.2.
Selection select_range(std::string_view range, std::uint64_t size_bytes) {
    const Selection whole{200, 0, size_bytes};
    const Selection unsatisfiable{416, 0, 0};
    constexpr std::string_view unit = "bytes=";
    if (!range.starts_with(unit)) return whole;
    const std::string_view spec = trimmed(range.substr(unit.size()));
    const std::size_t dash = spec.find('-');
    if (dash == std::string_view::npos || spec.find(',') != std::string_view::npos) return whole;
    const std::optional<std::uint64_t> first = parse_number(spec.substr(0, dash));
    const std::optional<std::uint64_t> last = parse_number(spec.substr(dash + 1));
    if (dash == 0) {  // the last bytes
        if (!last) return whole;
        const std::uint64_t count = std::min(*last, size_bytes);
        return count == 0 ? unsatisfiable : Selection{206, size_bytes - count, count};
    }
    if (!first || (!last && dash + 1 != spec.size()) || (last && *last < *first)) return whole;
    if (*first >= size_bytes) return unsatisfiable;
    const std::uint64_t end = last ? std::min(*last, size_bytes - 1) : size_bytes - 1;
    return {206, *first, end - *first + 1};
}

}  // namespace

std::string_view Target::query_value(std::string_view name) const {
    const auto found = query.find(name);
    return found == query.end() ? std::string_view{} : found->second;
}

std::variant<Target, BadTarget> parse_target(std::string_view text) {
    if (text.size() > target_bytes_max) return BadTarget{414, "the request target is too long"};
    text = without_authority(text);
    if (!text.starts_with('/')) return BadTarget{400, "the request target has no path"};
    if (std::any_of(text.begin(), text.end(), is_control)) {
        return BadTarget{400, "a control character in the request target"};
    }
    Target target;
    text = text.substr(0, text.find('#'));
    const std::size_t question = text.find('?');
    if (const auto bad = parse_path(text.substr(0, question), target.segments)) return *bad;
    if (question != std::string_view::npos) {
        if (const auto bad = parse_query(text.substr(question + 1), target)) return *bad;
    }
    return target;
}

std::optional<std::string> percent_decode(std::string_view text) {
    std::string decoded;
    decoded.reserve(text.size());
    for (std::size_t at = 0; at < text.size(); ++at) {
        if (text[at] != '%') {
            decoded += text[at];
            continue;
        }
        if (text.size() - at < 3) return {};
        const int high = hex_value(text[at + 1]);
        const int low = hex_value(text[at + 2]);
        if (high < 0 || low < 0) return {};
        decoded += static_cast<char>(high << 4 | low);
        at += 2;
    }
    return decoded;
}

std::string percent_encode(std::string_view text) {
    constexpr std::string_view digits = "0123456789ABCDEF";
    std::string encoded;
    for (const char c : text) {
        if (is_unreserved(c)) {
            encoded += c;
            continue;
        }
        const auto byte = static_cast<unsigned char>(c);
        encoded += '%';
        encoded += digits[byte >> 4];
        encoded += digits[byte & 15];
    }
    return encoded;
}

Selection select_bytes(const Conditions& conditions, std::string_view etag,
                       std::uint64_t size_bytes) {
    if (!conditions.if_none_match.empty() && matches_any(conditions.if_none_match, etag)) {
        return {304, 0, 0};
    }
    if (conditions.range.empty()) return {200, 0, size_bytes};
    // A date in If-Range never matches: we send no Last-Modified that it could have come from.
    if (!conditions.if_range.empty() && trimmed(conditions.if_range) != etag) {
        return {200, 0, size_bytes};
    }
    return select_range(trimmed(conditions.range), size_bytes);
}

std::string content_range(const Selection& selection, std::uint64_t size_bytes) {
    const std::string size = std::to_string(size_bytes);
    if (selection.status == 416) return "bytes */" + size;
    return "bytes " + std::to_string(selection.first) + "-" +
           std::to_string(selection.first + selection.count - 1) + "/" + size;
}

}  // namespace cowtgt::boot
