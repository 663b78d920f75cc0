#include "target/config/size.h"

#include <array>
#include <charconv>
#include <cstdio>
#include <limits>

namespace cowtgt::config {

namespace {

constexpr std::string_view unit_letters = "KMGTP";

Error size_error(std::string_view text, std::string_view why) {
    return {ErrorCode::usage, "'" + std::string(text) + "' is not a size: " + std::string(why) +
                                  "; write bytes or for example 512M, 40G, 2T"};
}

bool is_digit(char c) {
    return c >= '0' && c <= '9';
}

char upper(char c) {
    return c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c;
}

/// The power of two behind the digits, or -1: "", "B", "G", "GB", "GiB".
int unit_shift(std::string_view unit) {
    if (unit.empty() || unit == "B" || unit == "b") return 0;
    const std::size_t at = unit_letters.find(upper(unit.front()));
    if (at == std::string_view::npos) return -1;
    const std::string_view rest = unit.substr(1);
    if (!rest.empty() && rest != "iB" && rest != "B" && rest != "b" && rest != "ib") return -1;
    return static_cast<int>(at + 1) * 10;
}

}  // namespace

Result<std::uint64_t> parse_size(std::string_view text) {
    constexpr std::size_t fraction_digits_max = 9;
    std::size_t digits = 0;
    while (digits < text.size() && is_digit(text[digits]))
        ++digits;
    if (digits == 0) return size_error(text, "it does not start with a digit");
    std::uint64_t whole = 0;
    if (std::from_chars(text.data(), text.data() + digits, whole).ec != std::errc{}) {
        return size_error(text, "it is too large");
    }
    std::uint64_t fraction = 0;
    std::uint64_t fraction_unit = 1;
    std::size_t end = digits;
    if (end < text.size() && text[end] == '.') {
        for (++end; end < text.size() && is_digit(text[end]); ++end) {
            if (end - digits > fraction_digits_max) return size_error(text, "too many decimals");
            fraction = fraction * 10 + static_cast<std::uint64_t>(text[end] - '0');
            fraction_unit *= 10;
        }
        if (fraction_unit == 1) return size_error(text, "there is no digit after the point");
    }
    const int shift = unit_shift(text.substr(end));
    if (shift < 0) return size_error(text, "its unit is none of K, M, G, T, P");
    if (whole > std::numeric_limits<std::uint64_t>::max() >> shift) {
        return size_error(text, "it is too large");
    }
    // The fraction is below one unit (at most 2^50) times at most 10^9: too wide for 64 bits.
    const auto scaled = static_cast<unsigned __int128>(fraction) << shift;
    if (scaled % fraction_unit != 0) return size_error(text, "it is not a whole number of bytes");
    const std::uint64_t base = whole << shift;
    const auto more = static_cast<std::uint64_t>(scaled / fraction_unit);
    if (base > std::numeric_limits<std::uint64_t>::max() - more) {
        return size_error(text, "it is too large");
    }
    return base + more;
}

std::string exact_size(std::uint64_t bytes) {
    std::uint64_t number = bytes;
    std::size_t unit = 0;
    while (number != 0 && number % 1024 == 0 && unit < unit_letters.size()) {
        number /= 1024;
        ++unit;
    }
    std::string text = std::to_string(number);
    if (unit > 0) text += unit_letters[unit - 1];
    return text;
}

std::string short_size(std::uint64_t bytes) {
    if (bytes < 1024) return std::to_string(bytes);
    auto number = static_cast<double>(bytes);
    std::size_t unit = 0;
    // 1023.95 would print as "1024.0": go to the next unit before that.
    while (number >= 1023.95 && unit < unit_letters.size()) {
        number /= 1024;
        ++unit;
    }
    std::array<char, 32> text{};
    const auto tenths = static_cast<std::uint64_t>(number * 10 + 0.5);
    if (tenths >= 1000 || tenths % 10 == 0) {
        std::snprintf(text.data(), text.size(), "%.0f%c", number, unit_letters[unit - 1]);
    } else {
        std::snprintf(text.data(), text.size(), "%.1f%c", number, unit_letters[unit - 1]);
    }
    return text.data();
}

}  // namespace cowtgt::config
