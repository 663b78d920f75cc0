#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <vector>

#include "boot-helper/core/documents.h"
#include "boot-helper/core/fleet.h"
#include "cow-store/base/result.h"
#include "cow-store/descriptor.h"
#include "target/config/endpoint.h"

namespace boost::asio {
class io_context;
}

namespace cowtgt::boot {

/// The fleet as it is now; called for each request, on the thread that runs the io_context.
using FleetSource = std::function<std::shared_ptr<const Fleet>()>;

struct BootServerOptions {
    /// Folders of iPXE programs, served as /ipxe/NAME; listed once. An earlier folder wins.
    std::vector<std::filesystem::path> firmware_folders = {"/usr/lib/ipxe"};
    std::size_t header_bytes_max = 8U << 10;
    std::size_t connections_max = 512;
    std::chrono::milliseconds request_time{15'000};  ///< from connecting, or the last answer
    std::chrono::milliseconds piece_time{30'000};    ///< to take a document, or 1 MiB of a file
    /// Milliseconds since 1970; empty: the system's clock.
    std::function<std::int64_t()> now_ms;
};

/// The boot-helper's HTTP server: GET and HEAD only. Files go by sendfile and are never in memory.
///
/// When all connections are taken, the one that has been idle longest makes room.
/// Threads: everything on the thread that runs `io`; `events` must outlive the server.
/// Errors: those of a connection end that connection only.
class BootServer {
public:
    /// Binds and begins to accept; :: serves IPv4 too. in_use when the port is taken.
    static Result<std::unique_ptr<BootServer>> open(boost::asio::io_context& io,
                                                    const config::Endpoint& listen,
                                                    FleetSource fleet, BootEvents& events,
                                                    BootServerOptions options = {});
    /// A server without a port of its own, for connections given to adopt().
    BootServer(boost::asio::io_context& io, FleetSource fleet, BootEvents& events,
               BootServerOptions options);
    /// Ends all connections.
    ~BootServer();
    BootServer(const BootServer&) = delete;
    BootServer& operator=(const BootServer&) = delete;

    /// Serves a connected stream socket.
    void adopt(Descriptor connected, const Reached& reached);
    std::size_t connections() const;

private:
    class State;
    std::shared_ptr<State> state_;
};

}  // namespace cowtgt::boot
