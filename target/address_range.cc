#include "target/address_range.h"

#include <arpa/inet.h>

#include <algorithm>
#include <charconv>
#include <optional>

namespace cowtgt {

namespace {

constexpr std::size_t mapped_bytes = 12;  ///< of ::ffff:0:0/96
constexpr std::uint32_t mapped_bits = mapped_bytes * 8;
constexpr IpAddress mapped_prefix = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

bool is_mapped(const IpAddress& address) {
    return std::equal(address.begin(), address.begin() + mapped_bytes, mapped_prefix.begin());
}

struct ParsedAddress {
    IpAddress address{};
    bool is_ipv4 = false;
};
std::optional<ParsedAddress> parse_address(const std::string& text) {
    ParsedAddress parsed{mapped_prefix, true};
    if (::inet_pton(AF_INET, text.c_str(), parsed.address.data() + mapped_bytes) == 1) {
        return parsed;
    }
    parsed.is_ipv4 = false;
    if (::inet_pton(AF_INET6, text.c_str(), parsed.address.data()) == 1) return parsed;
    return std::nullopt;
}

/// The address with all bits beyond the prefix cleared.
IpAddress masked(IpAddress address, std::uint32_t prefix_bits) {
    for (std::size_t i = 0; i < address.size(); ++i) {
        const std::uint32_t before = static_cast<std::uint32_t>(i) * 8;
        const std::uint32_t kept = prefix_bits <= before ? 0 : std::min(prefix_bits - before, 8U);
        address[i] &= static_cast<std::uint8_t>(0xff00U >> kept);
    }
    return address;
}

Error usage(std::string_view text, std::string_view sentence) {
    return {ErrorCode::usage, "'" + std::string(text) + "' " + std::string(sentence)};
}

}  // namespace

bool AddressRange::contains(const IpAddress& address) const {
    return masked(address, prefix_bits) == first;
}

Result<AddressRange> parse_address_range(std::string_view text) {
    const std::size_t slash = std::min(text.find('/'), text.size());
    const auto address = parse_address(std::string(text.substr(0, slash)));
    if (!address) return usage(text, "is no address range, such as 10.0.0.0/24 or fd00::/64");
    const std::uint32_t bits_max = address->is_ipv4 ? 32 : 128;
    std::uint32_t bits = bits_max;
    if (slash < text.size()) {
        const std::string_view digits = text.substr(slash + 1);
        const char* end = digits.data() + digits.size();
        const auto [stop, error] = std::from_chars(digits.data(), end, bits);
        if (error != std::errc() || stop != end || bits > bits_max) {
            return usage(text, "has a prefix length beyond its address");
        }
    }
    if (address->is_ipv4) bits += mapped_bits;
    const IpAddress first = masked(address->address, bits);
    if (first != address->address) {
        return usage(text, "has bits beyond its prefix; did you mean " +
                               to_string(AddressRange{first, bits}) + "?");
    }
    return AddressRange{first, bits};
}

std::string to_string(const AddressRange& range) {
    char text[INET6_ADDRSTRLEN];
    const bool is_ipv4 = range.prefix_bits >= mapped_bits && is_mapped(range.first);
    const void* bytes = is_ipv4 ? range.first.data() + mapped_bytes : range.first.data();
    ::inet_ntop(is_ipv4 ? AF_INET : AF_INET6, bytes, text, sizeof text);
    const std::uint32_t bits = is_ipv4 ? range.prefix_bits - mapped_bits : range.prefix_bits;
    const std::uint32_t bits_max = is_ipv4 ? 32 : 128;
    return bits == bits_max ? std::string(text) : std::string(text) + "/" + std::to_string(bits);
}

}  // namespace cowtgt
