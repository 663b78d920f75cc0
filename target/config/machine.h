#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "cow-store/base/result.h"
#include "target/address_range.h"

namespace cowtgt::config {

/// An EUI-48 hardware address.
struct MacAddress {
    std::array<std::uint8_t, 6> bytes{};
    friend auto operator<=>(const MacAddress&, const MacAddress&) = default;
};
/// Six pairs of hex digits with `:`, `-` or nothing between them, or three groups of four with `.`;
/// either case. Multicast and all-zero addresses are refused: no network card has one.
Result<MacAddress> parse_mac(std::string_view text);
/// "52:54:00:12:34:01"
std::string to_string(const MacAddress& mac);
/// "52-54-00-12-34-01", as in the target alias PREFIX:mac-52-54-00-12-34-01.
std::string to_hyphen_string(const MacAddress& mac);

/// One line of machines.toml: `web01 = "52:54:00:12:34:01 debian12@3 size=40G"`. A plain value.
struct Machine {
    std::string name;                ///< also hostname, target suffix and initiator suffix
    std::optional<MacAddress> mac;   ///< absent: any initiator name is admitted
    std::string template_ref;        ///< "debian12@3", empty when the line does not say
    std::uint64_t size_bytes = 0;    ///< 0: as the template
    std::vector<AddressRange> from;  ///< addresses that may log in; empty: any
    friend bool operator==(const Machine&, const Machine&) = default;
};

}  // namespace cowtgt::config
