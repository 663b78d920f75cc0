#include "target/control/control_server.h"

#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <cerrno>
#include <nlohmann/json.hpp>
#include <set>
#include <utility>

#include "target/control/protocol.h"
#include "target/control/unix_socket.h"

namespace cowtgt::control {

namespace asio = boost::asio;
using asio::posix::stream_descriptor;
using nlohmann::json;

namespace {

constexpr std::size_t receive_bytes = 16384;
/// How long no connection is accepted after accept failed (too many open files).
constexpr std::chrono::milliseconds accept_pause{200};

bool is_allowed_peer(int socket) {
    ucred peer{};
    socklen_t size = sizeof(peer);
    if (::getsockopt(socket, SOL_SOCKET, SO_PEERCRED, &peer, &size) != 0) return false;
    return peer.uid == 0 || peer.uid == ::geteuid();
}

class Connection;

/// The answer's way back from whatever thread has it to the connection, if that still exists.
class Reply final : public ControlReply {
public:
    Reply(asio::io_context& io, std::weak_ptr<Connection> connection)
        : io_(io), connection_(std::move(connection)) {}
    ~Reply() override;

    void progress(std::uint64_t done, std::uint64_t total) override;
    void finish(Result<json> result) override;
    bool is_cancelled() const override { return cancelled_.load(std::memory_order_relaxed); }
    void cancel() { cancelled_.store(true, std::memory_order_relaxed); }

private:
    asio::io_context& io_;
    std::weak_ptr<Connection> connection_;
    std::atomic<bool> cancelled_ = false;
    bool finished_ = false;
};

/// What the connections of one server share.
struct Shared {
    asio::io_context& io;
    ControlHandler handler;
    ControlLimits limits;
    std::set<std::shared_ptr<Connection>> connections;
};

/// One client: reads a request, waits for its answer, sends it, and again.
class Connection final : public std::enable_shared_from_this<Connection> {
public:
    Connection(std::shared_ptr<Shared> shared, Descriptor socket)
        : shared_(std::move(shared)), socket_(shared_->io, socket.release()), timer_(shared_->io) {}

    void start() { await_request(); }

    /// Ends the connection; what still runs for it is told that nobody waits.
    void close() {
        if (const auto reply = reply_.lock()) reply->cancel();
        boost::system::error_code ignored;
        socket_.close(ignored);
        timer_.cancel(ignored);
        shared_->connections.erase(shared_from_this());
    }

    void progressed(const AnswerProgress& step) {
        // A client that does not read gets no more news, so nothing piles up.
        if (!is_working_ || !outgoing_.empty()) return;
        outgoing_ = encode_progress(step);
        send();
    }

    void answered(const Result<json>& answer) {
        if (!is_working_) return;
        is_working_ = false;
        outgoing_ += encode_answer(answer);
        send();
    }

private:
    void set_deadline(std::chrono::milliseconds time) {
        boost::system::error_code ignored;
        timer_.expires_after(time);
        timer_.async_wait([self = shared_from_this()](boost::system::error_code problem) {
            // A wait that was replaced may have its turn already: only the last one counts.
            const bool is_over = self->timer_.expiry() <= asio::steady_timer::clock_type::now();
            if (!problem && is_over && self->socket_.is_open()) self->close();
        });
    }

    void await_request() {
        set_deadline(shared_->limits.request_time);
        if (take_request()) return;
        watch();
    }

    /// Waits for bytes, or for the end of the connection.
    void watch() {
        if (is_watching_) return;
        is_watching_ = true;
        socket_.async_wait(stream_descriptor::wait_read,
                           [self = shared_from_this()](boost::system::error_code problem) {
                               self->is_watching_ = false;
                               if (!problem && self->socket_.is_open()) self->readable();
                           });
    }

    void readable() {
        if (is_working_ || is_sending_) {
            look_for_end();
            return;
        }
        const std::size_t before = incoming_.size();
        incoming_.resize(before + receive_bytes);
        auto received = receive_with_descriptor(socket_.native_handle(), incoming_.data() + before,
                                                receive_bytes);
        incoming_.resize(before + (received ? received->count : 0));
        if (!received || (received->count == 0 && !received->would_wait)) {
            close();
            return;
        }
        if (received->descriptor.is_open()) descriptor_ = std::move(received->descriptor);
        if (!take_request()) watch();
    }

    /// While the answer is being made: is the client still there?
    void look_for_end() {
        char byte = 0;
        const ssize_t count = ::recv(socket_.native_handle(), &byte, 1, MSG_PEEK | MSG_DONTWAIT);
        if (count == 0 || (count < 0 && errno != EAGAIN && errno != EINTR)) {
            close();
        } else if (count < 0) {
            watch();
        }
        // Bytes of the next request: they are read when this one is answered.
    }

    /// True when a request was found, or when there will be none.
    bool take_request() {
        const std::size_t end = incoming_.find('\n');
        if (end == std::string::npos) {
            if (incoming_.size() <= shared_->limits.request_bytes_max) return false;
            // Where the next line begins is unknown: this is the connection's last answer.
            is_ending_ = true;
            refuse({ErrorCode::usage, "the request is longer than " +
                                          std::to_string(shared_->limits.request_bytes_max) +
                                          " bytes"});
            return true;
        }
        auto request = decode_request(std::string_view(incoming_).substr(0, end));
        incoming_.erase(0, end + 1);
        if (!request) {
            refuse(request.error());
            return true;
        }
        boost::system::error_code ignored;
        timer_.cancel(ignored);
        is_working_ = true;
        watch();
        auto reply = std::make_shared<Reply>(shared_->io, weak_from_this());
        reply_ = reply;
        shared_->handler(
            {std::move(request->command), std::make_unique<json>(std::move(request->arguments)),
             std::move(descriptor_)},
            std::move(reply));
        return true;
    }

    void refuse(const Error& error) {
        is_working_ = true;
        answered(error);
    }

    void send() {
        if (is_sending_) return;
        set_deadline(shared_->limits.answer_time);
        send_more();
    }

    void send_more() {
        while (!outgoing_.empty()) {
            const ssize_t count = ::send(socket_.native_handle(), outgoing_.data(),
                                         outgoing_.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
            if (count >= 0) {
                outgoing_.erase(0, static_cast<std::size_t>(count));
                continue;
            }
            if (errno == EINTR) continue;
            if (errno != EAGAIN && errno != EWOULDBLOCK) {
                close();
                return;
            }
            is_sending_ = true;
            socket_.async_wait(stream_descriptor::wait_write,
                               [self = shared_from_this()](boost::system::error_code problem) {
                                   self->is_sending_ = false;
                                   if (!problem && self->socket_.is_open()) self->send_more();
                               });
            return;
        }
        sent();
    }

    void sent() {
        boost::system::error_code ignored;
        timer_.cancel(ignored);
        if (is_working_) return;  // that was only progress
        if (is_ending_) {
            close();
            return;
        }
        // Not at once: a client that sends many requests must not deepen the stack.
        asio::post(shared_->io, [self = shared_from_this()] {
            if (self->socket_.is_open()) self->await_request();
        });
    }

    std::shared_ptr<Shared> shared_;
    stream_descriptor socket_;
    asio::steady_timer timer_;
    std::string incoming_;
    std::string outgoing_;
    Descriptor descriptor_;  ///< came with the request that is being read
    std::weak_ptr<Reply> reply_;
    bool is_working_ = false;   ///< between a request and its answer
    bool is_watching_ = false;  ///< a wait for reading is under way
    bool is_sending_ = false;   ///< a wait for writing is under way
    bool is_ending_ = false;    ///< close after the answer
};

Reply::~Reply() {
    if (!finished_) finish(Error{ErrorCode::failed, "the daemon dropped the request"});
}

void Reply::progress(std::uint64_t done, std::uint64_t total) {
    asio::post(io_, [connection = connection_, step = AnswerProgress{done, total}] {
        if (const auto alive = connection.lock()) alive->progressed(step);
    });
}

void Reply::finish(Result<json> result) {
    finished_ = true;
    asio::post(io_, [connection = connection_, answer = std::move(result)] {
        if (const auto alive = connection.lock()) alive->answered(answer);
    });
}

}  // namespace

class ControlServer::State final : public std::enable_shared_from_this<State> {
public:
    State(asio::io_context& io, ControlHandler handler, ControlLimits limits)
        : shared_(std::make_shared<Shared>(Shared{io, std::move(handler), limits, {}})),
          listening_(io),
          pause_(io) {}

    void listen(Descriptor listening, std::filesystem::path path) {
        path_ = std::move(path);
        inode_ = inode_of_socket(path_);
        listening_.assign(listening.release());
        accept_next();
    }

    void adopt(Descriptor socket) {
        if (!is_allowed_peer(socket.get())) return;
        if (shared_->connections.size() >= shared_->limits.connections_max) {
            // The buffer of a new socket has room for this; if not, the client sees the end.
            const std::string busy = encode_answer(
                Error{ErrorCode::in_use, "the daemon has too many admin connections; try again"});
            (void)::send(socket.get(), busy.data(), busy.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
            return;
        }
        auto connection = std::make_shared<Connection>(shared_, std::move(socket));
        shared_->connections.insert(connection);
        connection->start();
    }

    void stop() {
        boost::system::error_code ignored;
        listening_.close(ignored);
        pause_.cancel(ignored);
        remove_unix(path_, inode_);
        while (!shared_->connections.empty()) {
            const std::shared_ptr<Connection> connection = *shared_->connections.begin();
            connection->close();
        }
    }

private:
    void accept_next() {
        listening_.async_wait(stream_descriptor::wait_read,
                              [self = shared_from_this()](boost::system::error_code problem) {
                                  if (!problem && self->listening_.is_open()) self->accept_all();
                              });
    }

    void accept_all() {
        while (true) {
            Descriptor accepted(
                ::accept4(listening_.native_handle(), nullptr, nullptr, SOCK_CLOEXEC));
            if (accepted.is_open()) {
                adopt(std::move(accepted));
                continue;
            }
            if (errno == EINTR || errno == ECONNABORTED) continue;
            if (errno == EAGAIN || errno == EWOULDBLOCK) {
                accept_next();
                return;
            }
            pause_.expires_after(accept_pause);
            pause_.async_wait([self = shared_from_this()](boost::system::error_code problem) {
                if (!problem && self->listening_.is_open()) self->accept_next();
            });
            return;
        }
    }

    std::shared_ptr<Shared> shared_;
    stream_descriptor listening_;
    asio::steady_timer pause_;
    std::filesystem::path path_;
    std::uint64_t inode_ = 0;
};

Result<std::unique_ptr<ControlServer>> ControlServer::open(asio::io_context& io,
                                                           const std::filesystem::path& socket,
                                                           ControlHandler handler,
                                                           ControlLimits limits) {
    auto listening = listen_unix(socket);
    if (!listening) return listening.error();
    auto server = std::make_unique<ControlServer>(io, std::move(handler), limits);
    server->state_->listen(std::move(*listening), socket);
    return server;
}

ControlServer::ControlServer(asio::io_context& io, ControlHandler handler, ControlLimits limits)
    : state_(std::make_shared<State>(io, std::move(handler), limits)) {}

ControlServer::~ControlServer() {
    state_->stop();
}

void ControlServer::adopt(Descriptor connected) {
    state_->adopt(std::move(connected));
}

}  // namespace cowtgt::control
