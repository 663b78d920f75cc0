#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <type_traits>

/// Integers as they lie on the wire (big endian) and on disk (little endian). They have alignment
/// 1 and no padding, so a struct made of them has exactly the layout it is written in.
namespace cowtgt {

namespace detail {

template <std::size_t Width>
using HostInteger = std::conditional_t<
    Width == 1, std::uint8_t,
    std::conditional_t<Width == 2, std::uint16_t,
                       std::conditional_t<(Width <= 4), std::uint32_t, std::uint64_t>>>;

template <std::size_t Width, bool BigEndian>
class WireInteger {
public:
    using Host = HostInteger<Width>;

    WireInteger() = default;
    constexpr WireInteger(Host value) { set(value); }  // NOLINT: meant to be implicit

    constexpr Host get() const {
        std::uint64_t value = 0;
        for (std::size_t i = 0; i < Width; ++i) {
            value = value << 8 | bytes_[BigEndian ? i : Width - 1 - i];
        }
        return static_cast<Host>(value);
    }

    /// Bits that do not fit into the width are dropped.
    constexpr void set(Host value) {
        std::uint64_t rest = value;
        for (std::size_t i = 0; i < Width; ++i) {
            bytes_[BigEndian ? Width - 1 - i : i] = static_cast<std::uint8_t>(rest);
            rest >>= 8;
        }
    }

    friend constexpr bool operator==(const WireInteger&, const WireInteger&) = default;

private:
    std::array<std::uint8_t, Width> bytes_{};
};

}  // namespace detail

using be16 = detail::WireInteger<2, true>;
using be24 = detail::WireInteger<3, true>;
using be32 = detail::WireInteger<4, true>;
using be64 = detail::WireInteger<8, true>;
using le16 = detail::WireInteger<2, false>;
using le32 = detail::WireInteger<4, false>;
using le64 = detail::WireInteger<8, false>;

static_assert(sizeof(be24) == 3 && alignof(be24) == 1);
static_assert(sizeof(le64) == 8 && alignof(le64) == 1);

}  // namespace cowtgt
