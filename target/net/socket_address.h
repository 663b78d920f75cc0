#pragma once

#include <sys/socket.h>

#include <string>

#include "cow-store/base/result.h"
#include "target/address_range.h"

namespace cowtgt::net {

/// "10.0.0.1:3260" or "[fd00::1]:3260"; IPv4 addresses that came in on a dual-stack socket are
/// written as IPv4.
std::string text_of_address(const sockaddr_storage& address);
/// Of the peer, or of this end; "unknown" when the socket is gone.
std::string peer_address(int socket);
std::string own_address(int socket);
/// Of the peer; all zero when the socket is gone or of another kind.
IpAddress peer_ip(int socket);

/// Makes a TCP socket that listens on a numeric address. An IPv6 wildcard takes IPv4 as well.
/// The error names the address and what holds it, as far as the system says.
Result<int> listen_on(const std::string& address, std::uint16_t port);

/// Small answers must not wait for big ones, and a peer that is gone without a word is noticed.
void set_connection_options(int socket);

}  // namespace cowtgt::net
