#include "tests/e2e/socket_initiator.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <optional>
#include <stdexcept>
#include <utility>

namespace cowtgt::e2e {

namespace {

constexpr std::chrono::seconds patience{10};
constexpr std::uint16_t no_status = 0xffff;

int connect_to(const std::string& portal) {
    const std::size_t colon = portal.rfind(':');
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(static_cast<std::uint16_t>(std::stoi(portal.substr(colon + 1))));
    inet_pton(AF_INET, portal.substr(0, colon).c_str(), &address.sin_addr);
    const int made = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (made < 0 ||
        ::connect(made, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
        if (made >= 0) ::close(made);
        throw std::runtime_error("cannot connect to " + portal);
    }
    return made;
}

}  // namespace

SocketInitiator::SocketInitiator(const std::string& portal, test::InitiatorSettings settings)
    : socket_(connect_to(portal)), protocol_(std::move(settings)) {}

SocketInitiator::~SocketInitiator() {
    ::close(socket_);
}

bool SocketInitiator::run_until(const std::function<bool()>& done) {
    const auto deadline = std::chrono::steady_clock::now() + patience;
    while (true) {
        send_all();
        if (done()) return true;
        if (closed_ || std::chrono::steady_clock::now() > deadline) return false;
        receive_some();
    }
}

std::uint16_t SocketInitiator::log_in() {
    protocol_.start_login();
    run_until([this] { return protocol_.login_status().has_value(); });
    return protocol_.login_status().value_or(no_status);
}

test::InitiatorCompletion SocketInitiator::run(test::InitiatorCommand command) {
    const std::uint32_t tag = protocol_.submit(std::move(command));
    std::optional<test::InitiatorCompletion> completion;
    run_until([&] {
        completion = protocol_.take_completion(tag);
        return completion.has_value();
    });
    if (completion) return *std::move(completion);
    test::InitiatorCompletion none;
    none.status = 0xff;
    return none;
}

void SocketInitiator::send_all() {
    const std::vector<std::byte> output = protocol_.take_output();
    send_raw(output);
}

void SocketInitiator::send_raw(Bytes bytes) {
    for (Bytes rest = bytes; !rest.empty() && !closed_;) {
        // Both sides may have more to say than fits between them.
        pollfd ready{socket_, POLLIN | POLLOUT, 0};
        ::poll(&ready, 1, 100);
        if ((ready.revents & POLLIN) != 0) receive_some();
        if ((ready.revents & POLLOUT) == 0) continue;
        const ssize_t sent = ::send(socket_, rest.data(), rest.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
        if (sent > 0) rest = rest.subspan(static_cast<std::size_t>(sent));
        if (sent < 0 && errno != EAGAIN && errno != EINTR) closed_ = true;
    }
}

void SocketInitiator::receive_some() {
    pollfd ready{socket_, POLLIN, 0};
    if (::poll(&ready, 1, 100) <= 0) return;
    std::array<std::byte, 65536> bytes;
    const ssize_t received = ::recv(socket_, bytes.data(), bytes.size(), MSG_DONTWAIT);
    if (received > 0) protocol_.receive(Bytes(bytes).first(static_cast<std::size_t>(received)));
    if (received == 0 || (received < 0 && errno != EAGAIN && errno != EINTR)) closed_ = true;
}

}  // namespace cowtgt::e2e
