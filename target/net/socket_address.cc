#include "target/net/socket_address.h"

#include <arpa/inet.h>
#include <net/if.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

namespace cowtgt::net {

namespace {

constexpr int backlog = 1024;
constexpr int keepalive_idle_seconds = 30;
constexpr int keepalive_interval_seconds = 10;
constexpr int keepalive_probes = 6;
constexpr int unacknowledged_ms_max = 90'000;

void set_option(int socket, int level, int name, int value) {
    // Each of these is a preference: a system without it still serves.
    (void)setsockopt(socket, level, name, &value, sizeof value);
}

Error cannot_listen(const std::string& where, int os_errno) {
    if (os_errno == EADDRINUSE) {
        return {ErrorCode::in_use,
                "cannot listen on " + where +
                    ": another program has this port; stop it or choose another in cowtgt.toml "
                    "(listen)",
                os_errno};
    }
    return system_error("cannot listen on " + where, os_errno);
}

}  // namespace

std::string text_of_address(const sockaddr_storage& address) {
    char text[INET6_ADDRSTRLEN] = "";
    if (address.ss_family == AF_INET) {
        const auto& v4 = reinterpret_cast<const sockaddr_in&>(address);
        inet_ntop(AF_INET, &v4.sin_addr, text, sizeof text);
        return std::string(text) + ":" + std::to_string(ntohs(v4.sin_port));
    }
    if (address.ss_family != AF_INET6) return "unknown";
    const auto& v6 = reinterpret_cast<const sockaddr_in6&>(address);
    const std::string port = std::to_string(ntohs(v6.sin6_port));
    if (IN6_IS_ADDR_V4MAPPED(&v6.sin6_addr)) {
        inet_ntop(AF_INET, &v6.sin6_addr.s6_addr[12], text, sizeof text);
        return std::string(text) + ":" + port;
    }
    inet_ntop(AF_INET6, &v6.sin6_addr, text, sizeof text);
    return "[" + std::string(text) + "]:" + port;
}

IpAddress peer_ip(int socket) {
    sockaddr_storage address{};
    socklen_t size = sizeof address;
    IpAddress ip{};
    if (getpeername(socket, reinterpret_cast<sockaddr*>(&address), &size) != 0) return ip;
    if (address.ss_family == AF_INET6) {
        std::memcpy(ip.data(), &reinterpret_cast<const sockaddr_in6&>(address).sin6_addr, 16);
    } else if (address.ss_family == AF_INET) {
        ip[10] = ip[11] = 0xff;
        std::memcpy(ip.data() + 12, &reinterpret_cast<const sockaddr_in&>(address).sin_addr, 4);
    }
    return ip;
}

std::string peer_address(int socket) {
    sockaddr_storage address{};
    socklen_t size = sizeof address;
    if (getpeername(socket, reinterpret_cast<sockaddr*>(&address), &size) != 0) return "unknown";
    return text_of_address(address);
}

std::string own_address(int socket) {
    sockaddr_storage address{};
    socklen_t size = sizeof address;
    if (getsockname(socket, reinterpret_cast<sockaddr*>(&address), &size) != 0) return "unknown";
    return text_of_address(address);
}

Result<int> listen_on(const std::string& address, std::uint16_t port) {
    addrinfo hints{};
    hints.ai_flags = AI_NUMERICHOST | AI_NUMERICSERV | AI_PASSIVE;
    hints.ai_socktype = SOCK_STREAM;
    addrinfo* found = nullptr;
    const std::string service = std::to_string(port);
    const std::string where =
        (address.find(':') != std::string::npos ? "[" + address + "]" : address) + ":" + service;
    if (const int failed = getaddrinfo(address.c_str(), service.c_str(), &hints, &found);
        failed != 0) {
        return Error{ErrorCode::failed, "cannot listen on " + where + ": " + gai_strerror(failed)};
    }
    const int made = socket(found->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int os_errno = errno;
    if (made >= 0) {
        set_option(made, SOL_SOCKET, SO_REUSEADDR, 1);  // TIME_WAIT of a daemon that was killed
        if (found->ai_family == AF_INET6) set_option(made, IPPROTO_IPV6, IPV6_V6ONLY, 0);
        if (bind(made, found->ai_addr, found->ai_addrlen) == 0 && ::listen(made, backlog) == 0) {
            freeaddrinfo(found);
            return made;
        }
        os_errno = errno;
        close(made);
    }
    freeaddrinfo(found);
    return cannot_listen(where, os_errno);
}

void set_connection_options(int socket) {
    set_option(socket, IPPROTO_TCP, TCP_NODELAY, 1);
    set_option(socket, SOL_SOCKET, SO_KEEPALIVE, 1);
    set_option(socket, IPPROTO_TCP, TCP_KEEPIDLE, keepalive_idle_seconds);
    set_option(socket, IPPROTO_TCP, TCP_KEEPINTVL, keepalive_interval_seconds);
    set_option(socket, IPPROTO_TCP, TCP_KEEPCNT, keepalive_probes);
    set_option(socket, IPPROTO_TCP, TCP_USER_TIMEOUT, unacknowledged_ms_max);
}

}  // namespace cowtgt::net
