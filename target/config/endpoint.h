#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "cow-store/base/result.h"

namespace cowtgt::config {

/// A numeric address and a TCP port to listen on. Whether the address exists on this host is not
/// asked: it may come later, or belong to another host that shares the file.
struct Endpoint {
    std::string address;  ///< "10.0.0.1", "::1", "fe80::1%eth0"; no brackets
    std::uint16_t port = 0;
    bool ipv6 = false;
    friend bool operator==(const Endpoint&, const Endpoint&) = default;
    bool is_wildcard() const;  ///< 0.0.0.0 or ::
};

/// "10.0.0.1:3260", "[::]:3260". Host names are refused: a name may have several addresses.
Result<Endpoint> parse_endpoint(std::string_view text);
/// As parse_endpoint reads it.
std::string to_string(const Endpoint& endpoint);

}  // namespace cowtgt::config
