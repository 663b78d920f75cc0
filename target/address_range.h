#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>

#include "cow-store/base/result.h"

namespace cowtgt {

/// An IPv6 address in network order; an IPv4 address as ::ffff:a.b.c.d (RFC 4291 section 2.5.5.2).
using IpAddress = std::array<std::uint8_t, 16>;

/// All addresses that begin with the same bits.
struct AddressRange {
    IpAddress first{};              ///< bits beyond the prefix are 0
    std::uint32_t prefix_bits = 0;  ///< 0 to 128; an IPv4 prefix counts 96 more
    bool contains(const IpAddress& address) const;
    friend bool operator==(const AddressRange&, const AddressRange&) = default;
};

/// "10.0.0.0/24", "fd00::/64", or a single address. A host part that is not 0 is a usage error:
/// one of the two numbers is not meant.
Result<AddressRange> parse_address_range(std::string_view text);
std::string to_string(const AddressRange& range);

}  // namespace cowtgt
