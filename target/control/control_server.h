#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <string>

#include "cow-store/base/result.h"
#include "cow-store/descriptor.h"

namespace boost::asio {
class io_context;
}

namespace cowtgt::control {

/// One request as it came in.
struct ControlRequest {
    std::string command;
    std::unique_ptr<nlohmann::json> arguments;  ///< an object, never null
    Descriptor descriptor;                      ///< what came with it (SCM_RIGHTS), or none
};

/// Where the answer to one request goes. May be kept and used on any thread.
class ControlReply {
public:
    virtual ~ControlReply() = default;
    /// Says how far it is; may be called often.
    virtual void progress(std::uint64_t done, std::uint64_t total) = 0;
    /// Ends the request. Called once; a reply that is dropped without it ends as "failed".
    virtual void finish(Result<nlohmann::json> result) = 0;
    /// True once nobody waits for the answer any more: long work should end.
    virtual bool is_cancelled() const = 0;
};

/// Called on the thread that runs the io_context; it must not wait for long there.
using ControlHandler = std::function<void(ControlRequest, std::shared_ptr<ControlReply>)>;

struct ControlLimits {
    std::size_t request_bytes_max = 64U << 10;  ///< of one line
    std::size_t connections_max = 64;
    std::chrono::milliseconds request_time{10'000};  ///< from connecting, or the last answer
    std::chrono::milliseconds answer_time{30'000};   ///< to take an answer that is ready
};

/// The daemon's admin socket: a filesystem socket of mode 0600 on which lines of JSON are
/// exchanged (protocol.h). Only root and the daemon's own user are served.
///
/// Threads: everything on the thread that runs `io`, but see ControlReply.
/// Errors: those of a connection end that connection only.
class ControlServer {
public:
    /// Binds `socket`, however long its path is, and begins to accept. A socket that nobody
    /// answers is replaced; in_use when another daemon listens there.
    static Result<std::unique_ptr<ControlServer>> open(boost::asio::io_context& io,
                                                       const std::filesystem::path& socket,
                                                       ControlHandler handler,
                                                       ControlLimits limits = {});
    /// A server without a socket of its own, for connections given to adopt().
    ControlServer(boost::asio::io_context& io, ControlHandler handler, ControlLimits limits);
    /// Ends all connections and removes the socket if it is still ours.
    ~ControlServer();
    ControlServer(const ControlServer&) = delete;
    ControlServer& operator=(const ControlServer&) = delete;

    /// Serves a connected stream socket.
    void adopt(Descriptor connected);

private:
    class State;
    std::shared_ptr<State> state_;
};

}  // namespace cowtgt::control
