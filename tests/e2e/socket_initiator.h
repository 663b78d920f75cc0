#pragma once

#include <functional>
#include <string>

#include "tests/support/iscsi_initiator.h"

namespace cowtgt::e2e {

/// tests/support's initiator on a TCP connection: for what libiscsi does not let one choose or see.
///
/// Threads: one. A connection that cannot be made throws std::runtime_error.
class SocketInitiator {
public:
    /// `portal` is "127.x.y.z:PORT". Nothing is sent before start_login().
    SocketInitiator(const std::string& portal, test::InitiatorSettings settings);
    ~SocketInitiator();
    SocketInitiator(const SocketInitiator&) = delete;
    SocketInitiator& operator=(const SocketInitiator&) = delete;

    test::IscsiInitiator& protocol() { return protocol_; }
    bool is_closed() const { return closed_; }

    /// Moves bytes until `done` says so. False: not within 10 s, or the peer has closed before.
    bool run_until(const std::function<bool()>& done);
    /// Sends bytes that no initiator would, as far as the peer takes them.
    void send_raw(Bytes bytes);
    /// Sends a login and waits for its status; 0xffff when there was none.
    std::uint16_t log_in();
    /// Sends a command and waits for its end. Status ffh when there was none.
    test::InitiatorCompletion run(test::InitiatorCommand command);

private:
    void send_all();
    void receive_some();

    int socket_;
    bool closed_ = false;
    test::IscsiInitiator protocol_;
};

}  // namespace cowtgt::e2e
