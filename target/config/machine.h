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

/// A journal and something to write must fit.
inline constexpr std::uint64_t quota_bytes_min = std::uint64_t{32} << 20;

/// One line of machines.toml: `web01 = "52:54:00:12:34:01 debian12@3 size=40G"`. A plain value.
struct Machine {
    std::string name;                ///< also hostname, target suffix and initiator suffix
    std::optional<MacAddress> mac;   ///< absent: any initiator name is admitted
    std::string template_ref;        ///< "debian12@3", empty when the line does not say
    std::uint64_t size_bytes = 0;    ///< 0: as the template
    std::vector<AddressRange> from;  ///< addresses that may log in; empty: any
    bool ephemeral = false;          ///< back to its template at each boot
    std::uint64_t quota_bytes = 0;   ///< that its own layers may take on the host; 0: no quota
    // What initiators see of the unit:
    std::uint32_t physical_block = 0;  ///< bytes; 0: as the disk has it
    bool removable = false;
    bool read_only = false;
    bool write_cache = true;
    friend bool operator==(const Machine&, const Machine&) = default;
};

/// One setting by its name in machines.toml and in `cowtgt set`: physical-block=512|4096,
/// removable=yes|no, read-only=yes|no, write-cache=on|off, ephemeral=yes|no, quota=SIZE|none,
/// from=RANGE,RANGE|any.
/// A usage error for anything else.
Result<void> change_setting(Machine& machine, std::string_view name, std::string_view value);
/// What is not as it is without being named: "read-only=yes", "quota=10G", ... without from and
/// ephemeral.
std::vector<std::string> setting_words(const Machine& machine);
/// "physical-block, removable, read-only, write-cache, quota, ephemeral, from"
std::string setting_names();

}  // namespace cowtgt::config
