#include "target/iscsi/text.h"

#include <algorithm>
#include <charconv>

namespace cowtgt::iscsi {

namespace {

bool is_upper(char c) {
    return c >= 'A' && c <= 'Z';
}
bool is_alphanumeric(char c) {
    return is_upper(c) || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

/// Section 6.1, standard-label: a capital letter, then letters, digits, ".", "-", "+", "@", "_".
/// Public extension keys carry a "#" as well, and RFC 7144 named its key without a capital letter.
bool is_key_name(std::string_view key) {
    if (key.empty() || key.size() > key_name_length_max) return false;
    if (!is_upper(key.front()) && !key.starts_with("iSCSI")) return false;
    return std::ranges::all_of(key, [](char c) {
        return is_alphanumeric(c) || std::string_view(".-+@_#").find(c) != std::string_view::npos;
    });
}

}  // namespace

std::optional<std::vector<TextPair>> parse_text(std::string_view text) {
    std::vector<TextPair> pairs;
    while (!text.empty()) {
        const std::size_t end = text.find('\0');
        if (end == std::string_view::npos) return std::nullopt;
        const std::string_view pair = text.substr(0, end);
        text.remove_prefix(end + 1);
        if (pair.empty()) continue;
        const std::size_t equals = pair.find('=');
        if (equals == std::string_view::npos || !is_key_name(pair.substr(0, equals))) {
            return std::nullopt;
        }
        pairs.push_back({pair.substr(0, equals), pair.substr(equals + 1)});
    }
    return pairs;
}

void append_pair(std::string& text, std::string_view key, std::string_view value) {
    text.append(key).append(1, '=').append(value).append(1, '\0');
}

std::optional<std::uint32_t> parse_number(std::string_view value) {
    int base = 10;
    if (value.starts_with("0x") || value.starts_with("0X")) {
        value.remove_prefix(2);
        base = 16;
    }
    std::uint32_t number = 0;
    const char* end = value.data() + value.size();
    const auto [stop, error] = std::from_chars(value.data(), end, number, base);
    if (error != std::errc() || stop != end) return std::nullopt;
    return number;
}

std::optional<bool> parse_boolean(std::string_view value) {
    if (value == "Yes") return true;
    if (value == "No") return false;
    return std::nullopt;
}

std::vector<std::string_view> split_list(std::string_view value) {
    std::vector<std::string_view> values;
    for (;;) {
        const std::size_t comma = value.find(',');
        values.push_back(value.substr(0, comma));
        if (comma == std::string_view::npos) return values;
        value.remove_prefix(comma + 1);
    }
}

bool TextCollector::append(Bytes piece) {
    if (piece.size() > byte_count_max_ - text_.size()) return false;
    text_ += text_of(piece);
    return true;
}

std::string TextCollector::take() {
    std::string text = std::move(text_);
    text_.clear();
    return text;
}

std::string_view TextPieces::take(std::size_t byte_count_max) {
    const std::string_view piece = std::string_view(text_).substr(offset_, byte_count_max);
    offset_ += piece.size();
    return piece;
}

void TextPieces::clear() {
    text_.clear();
    offset_ = 0;
}

}  // namespace cowtgt::iscsi
