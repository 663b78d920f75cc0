#include "target/config/endpoint.h"

#include <arpa/inet.h>

#include <charconv>

namespace cowtgt::config {

namespace {

Error endpoint_error(std::string_view text, std::string_view why) {
    return {ErrorCode::usage, "'" + std::string(text) +
                                  "' is not ADDRESS:PORT: " + std::string(why) +
                                  "; write for example 0.0.0.0:3260 or [::]:3260"};
}

/// `family` is AF_INET or AF_INET6. An IPv6 scope ("%eth0") is not looked at.
bool is_address(int family, const std::string& address) {
    in6_addr storage{};  // large enough for both
    return inet_pton(family, address.substr(0, address.find('%')).c_str(), &storage) == 1;
}

}  // namespace

bool Endpoint::is_wildcard() const {
    in6_addr storage{};
    if (!ipv6) return address == "0.0.0.0";
    return inet_pton(AF_INET6, address.c_str(), &storage) == 1 && IN6_IS_ADDR_UNSPECIFIED(&storage);
}

Result<Endpoint> parse_endpoint(std::string_view text) {
    const std::size_t colon = text.rfind(':');
    if (colon == std::string_view::npos || colon == 0) {
        return endpoint_error(text, "the address or the port is missing");
    }
    Endpoint endpoint;
    std::string_view host = text.substr(0, colon);
    const std::string_view port = text.substr(colon + 1);
    const auto [end, problem] =
        std::from_chars(port.data(), port.data() + port.size(), endpoint.port);
    if (problem != std::errc{} || end != port.data() + port.size() || endpoint.port == 0) {
        return endpoint_error(text, "the port is no number from 1 to 65535");
    }
    if (host.front() == '[') {
        if (host.back() != ']') return endpoint_error(text, "the bracket is not closed");
        host = host.substr(1, host.size() - 2);
        endpoint.ipv6 = true;
    } else if (host.find(':') != std::string_view::npos) {
        return endpoint_error(text, "an IPv6 address stands in brackets");
    }
    endpoint.address = host;
    if (!is_address(endpoint.ipv6 ? AF_INET6 : AF_INET, endpoint.address)) {
        return endpoint_error(
            text, endpoint.ipv6 ? "the IPv6 address is wrong" : "the IPv4 address is wrong");
    }
    return endpoint;
}

std::string to_string(const Endpoint& endpoint) {
    const std::string host = endpoint.ipv6 ? "[" + endpoint.address + "]" : endpoint.address;
    return host + ":" + std::to_string(endpoint.port);
}

}  // namespace cowtgt::config
