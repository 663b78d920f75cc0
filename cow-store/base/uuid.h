#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "cow-store/base/bytes.h"

namespace cowtgt {

/// A UUID in the byte order of RFC 4122 (the order of its text).
struct Uuid {
    std::array<std::uint8_t, 16> bytes{};

    friend bool operator==(const Uuid&, const Uuid&) = default;
    bool is_nil() const { return *this == Uuid{}; }
};

/// A version 4 UUID out of 16 random bytes, which the caller provides: this code has no source of
/// randomness of its own, so that tests can choose.
Uuid make_random_uuid(const std::array<std::uint8_t, 16>& random);

/// A version 5 UUID (SHA-1 of namespace and name, RFC 4122 section 4.3).
Uuid make_name_uuid(const Uuid& name_space, std::string_view name);

/// "xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx" in lower case.
std::string to_string(const Uuid& uuid);
/// Either case; anything else is refused.
std::optional<Uuid> parse_uuid(std::string_view text);

/// GPT and NTFS keep the first three fields little endian ("mixed endian").
Uuid swap_mixed_endian(const Uuid& uuid);

}  // namespace cowtgt
