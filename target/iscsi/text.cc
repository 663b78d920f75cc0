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

/// What one digit of base 16 or 64 stands for; nothing for any other character.
std::optional<unsigned> hex_digit(char c) {
    if (c >= '0' && c <= '9') return static_cast<unsigned>(c - '0');
    if (c >= 'a' && c <= 'f') return static_cast<unsigned>(c - 'a' + 10);
    if (c >= 'A' && c <= 'F') return static_cast<unsigned>(c - 'A' + 10);
    return std::nullopt;
}
std::optional<unsigned> base64_digit(char c) {
    if (is_upper(c)) return static_cast<unsigned>(c - 'A');
    if (c >= 'a' && c <= 'z') return static_cast<unsigned>(c - 'a' + 26);
    if (c >= '0' && c <= '9') return static_cast<unsigned>(c - '0' + 52);
    if (c == '+') return 62;
    if (c == '/') return 63;
    return std::nullopt;
}

std::optional<std::vector<std::byte>> parse_hex(std::string_view digits) {
    if (digits.size() % 2 != 0) return std::nullopt;
    std::vector<std::byte> bytes;
    for (std::size_t i = 0; i < digits.size(); i += 2) {
        const auto high = hex_digit(digits[i]), low = hex_digit(digits[i + 1]);
        if (!high || !low) return std::nullopt;
        bytes.push_back(static_cast<std::byte>(*high << 4 | *low));
    }
    return bytes;
}

/// RFC 4648 section 4, in groups of four characters; the bits that padding leaves over are zero.
std::optional<std::vector<std::byte>> parse_base64(std::string_view digits) {
    if (digits.size() % 4 != 0) return std::nullopt;
    std::size_t padding = 0;
    while (padding < 2 && digits.ends_with('=')) {
        digits.remove_suffix(1);
        ++padding;
    }
    std::vector<std::byte> bytes;
    std::uint32_t bits = 0;
    unsigned bit_count = 0;
    for (const char c : digits) {
        const auto digit = base64_digit(c);
        if (!digit) return std::nullopt;
        bits = bits << 6 | *digit;
        bit_count += 6;
        if (bit_count < 8) continue;
        bit_count -= 8;
        bytes.push_back(static_cast<std::byte>(bits >> bit_count & 0xff));
        bits &= (1U << bit_count) - 1;
    }
    if (bits != 0) return std::nullopt;
    return bytes;
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
        if (equals == std::string_view::npos || !is_key_name(pair.substr(0, equals)) ||
            pairs.size() == text_pairs_max) {
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

std::optional<std::vector<std::byte>> parse_binary(std::string_view value,
                                                   std::size_t byte_count_max) {
    const std::string_view prefix = value.substr(0, 2);
    const std::string_view digits = value.substr(prefix.size());
    std::optional<std::vector<std::byte>> bytes;
    if (prefix == "0x" || prefix == "0X") {
        // The length is looked at first, so that a long text costs nothing.
        if (digits.size() <= byte_count_max * 2) bytes = parse_hex(digits);
    } else if (prefix == "0b" || prefix == "0B") {
        if (digits.size() <= (byte_count_max + 2) / 3 * 4) bytes = parse_base64(digits);
    }
    if (!bytes || bytes->empty() || bytes->size() > byte_count_max) return std::nullopt;
    return bytes;
}

std::string hex_constant(Bytes bytes) {
    constexpr std::string_view digits = "0123456789abcdef";
    std::string text = "0x";
    for (const std::byte byte : bytes) {
        text += digits[std::to_integer<std::size_t>(byte >> 4)];
        text += digits[std::to_integer<std::size_t>(byte & std::byte{15})];
    }
    return text;
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
