#pragma once

#include <cstdint>

#include "cow-store/base/units.h"

/// The numbers that everything about the layer file shares (FORMAT.md, "Units").
namespace cowtgt {

/// The layer file is an array of units of 4096 bytes, counted from 0. A unit holds one guest
/// cluster, one page of the map, one page of the directory or a part of the journal ring.
using UnitNumber = std::uint32_t;

inline constexpr std::uint32_t unit_size = cluster_size;  ///< bytes
inline constexpr std::uint32_t units_per_segment = 256;   ///< space is reserved by the MiB
inline constexpr std::uint64_t segment_size = std::uint64_t{unit_size} * units_per_segment;
inline constexpr std::uint32_t clusters_per_leaf = 1024;  ///< 4 MiB of guest
/// 16 TiB: unit and cluster numbers have 32 bits.
inline constexpr std::uint64_t virtual_size_max = std::uint64_t{1} << 44;

/// What the map says about one cluster: one of two words or the unit that holds the data. Units 0
/// and 1 hold the superblocks, so no cluster can be there.
using MapValue = std::uint32_t;
inline constexpr MapValue value_inherit = 0;
inline constexpr MapValue value_zero = 1;
inline constexpr UnitNumber first_data_unit = 2;

constexpr bool is_data(MapValue value) {
    return value >= first_data_unit;
}
/// The value of the cluster `n` further on in a run that begins with `value`.
constexpr MapValue value_after(MapValue value, std::uint32_t n) {
    return is_data(value) ? value + n : value;
}

/// Units that follow each other in the file.
struct UnitRun {
    UnitNumber first = 0;
    std::uint32_t count = 0;
    friend bool operator==(const UnitRun&, const UnitRun&) = default;
};

constexpr std::uint64_t byte_offset(UnitNumber unit) {
    return std::uint64_t{unit} * unit_size;
}

}  // namespace cowtgt
