#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

namespace cowtgt {

using Bytes = std::span<const std::byte>;
using MutableBytes = std::span<std::byte>;

/// The bytes of a text, without a terminator.
inline Bytes bytes_of(std::string_view text) {
    return {reinterpret_cast<const std::byte*>(text.data()), text.size()};
}

/// The text that bytes spell; whoever calls has checked that they are text.
inline std::string_view text_of(Bytes bytes) {
    return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

/// The object representation of a type that is meant to leave the process (byte-order integers
/// and byte arrays only, see endian.h).
template <typename T>
Bytes bytes_of_struct(const T& value) {
    static_assert(alignof(T) == 1, "wire and disk types are made of byte-order integers");
    return std::as_bytes(std::span<const T, 1>(&value, 1));
}

constexpr bool is_power_of_two(std::uint64_t n) {
    return n != 0 && (n & (n - 1)) == 0;
}
/// Requires: `unit` is a power of two.
constexpr std::uint64_t round_down(std::uint64_t n, std::uint64_t unit) {
    return n & ~(unit - 1);
}
/// Requires: `unit` is a power of two and the result fits into 64 bits.
constexpr std::uint64_t round_up(std::uint64_t n, std::uint64_t unit) {
    return (n + unit - 1) & ~(unit - 1);
}

}  // namespace cowtgt
