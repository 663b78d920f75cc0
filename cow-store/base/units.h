#pragma once

#include <compare>
#include <cstdint>

namespace cowtgt {

/// A number that is not to be mixed with other numbers. Arithmetic is written on .value.
template <typename Tag>
struct Unit {
    std::uint64_t value = 0;
    friend constexpr auto operator<=>(const Unit&, const Unit&) = default;
};

using Lba = Unit<struct LbaTag>;                    ///< logical block address (SBC-3)
using BlockCount = Unit<struct BlockCountTag>;      ///< logical blocks
using ClusterIndex = Unit<struct ClusterIndexTag>;  ///< guest offset / cluster_size
using ClusterCount = Unit<struct ClusterCountTag>;  ///< clusters of cluster_size bytes

/// The unit of the map (FORMAT.md): bytes.
inline constexpr std::uint32_t cluster_size = 4096;

/// Serial number arithmetic of RFC 1982 with 32 bits, as iSCSI's CmdSN, StatSN and DataSN use it.
/// There is no operator< on purpose: order is only defined within half the circle.
struct SerialNumber32 {
    std::uint32_t value = 0;
    friend constexpr bool operator==(const SerialNumber32&, const SerialNumber32&) = default;
    constexpr bool is_before(SerialNumber32 other) const {
        return static_cast<std::int32_t>(value - other.value) < 0;
    }
    constexpr SerialNumber32 plus(std::uint32_t n) const { return {value + n}; }
};

}  // namespace cowtgt
