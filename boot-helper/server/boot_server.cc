#include "boot-helper/server/boot_server.h"

#include <fcntl.h>
#include <sys/sendfile.h>
#include <sys/stat.h>

#include <algorithm>
#include <boost/asio/generic/stream_protocol.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ip/v6_only.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/write.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http/empty_body.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/read.hpp>
#include <cerrno>
#include <map>
#include <optional>
#include <set>
#include <utility>

#include "boot-helper/server/response.h"
#include "cow-store/base/checksum.h"

namespace cowtgt::boot {

namespace asio = boost::asio;
namespace http = boost::beast::http;
using asio::ip::tcp;
using boost::system::error_code;
using Socket = asio::generic::stream_protocol::socket;

namespace {

/// A file goes out in pieces of this size; between them other connections have their turn.
constexpr std::uint64_t piece_bytes = 1U << 20;
constexpr std::uint64_t firmware_bytes_max = 64U << 20;
/// How long no connection is accepted after accept failed (too many open files).
constexpr std::chrono::milliseconds accept_pause{200};
constexpr std::string_view binary = "application/octet-stream";

std::int64_t system_now_ms() {
    return std::chrono::duration_cast<std::chrono::milliseconds>(
               std::chrono::system_clock::now().time_since_epoch())
        .count();
}

std::string hex(std::uint64_t number) {
    constexpr std::string_view digits = "0123456789abcdef";
    std::string text;
    for (int shift = 60; shift >= 0; shift -= 4)
        text += digits[number >> shift & 15];
    return text;
}

/// What is written as an answer: a header, and a text or a part of a file.
struct Response {
    std::string text;  ///< header, and the body of a document
    Descriptor file;
    std::uint64_t file_offset = 0;
    std::uint64_t file_bytes = 0;  ///< still to be sent
    bool keep_alive = false;
};

/// A request as far as answers depend on it.
struct Asked {
    bool is_get = false;
    bool is_head = false;
    bool keep_alive = false;
    std::string target;
    std::string if_none_match;
    std::string if_range;
    std::string range;
    Conditions conditions() const { return {if_none_match, if_range, range}; }
};

config::Endpoint endpoint_of(const tcp::endpoint& endpoint) {
    const asio::ip::address address = endpoint.address();
    if (address.is_v6() && address.to_v6().is_v4_mapped()) {
        const auto mapped = asio::ip::make_address_v4(asio::ip::v4_mapped, address.to_v6());
        return {mapped.to_string(), endpoint.port(), false};
    }
    return {address.to_string(), endpoint.port(), address.is_v6()};
}

/// The programs in the folders by their names. Requests are looked up here and nowhere else.
std::map<std::string, std::filesystem::path, std::less<>> list_firmware(
    const std::vector<std::filesystem::path>& folders) {
    std::map<std::string, std::filesystem::path, std::less<>> files;
    for (const std::filesystem::path& folder : folders) {
        std::error_code problem;
        for (std::filesystem::directory_iterator at(folder, problem), end; !problem && at != end;
             at.increment(problem)) {
            std::error_code unreadable;
            const std::string name = at->path().filename().string();
            if (!at->is_regular_file(unreadable) || name.starts_with('.')) continue;
            files.emplace(name, at->path());
        }
    }
    return files;
}

}  // namespace

class BootServer::State : public std::enable_shared_from_this<BootServer::State> {
public:
    class Connection;

    State(asio::io_context& io, FleetSource fleet, BootEvents& events, BootServerOptions options)
        : io_(io),
          fleet_(std::move(fleet)),
          events_(&events),
          options_(std::move(options)),
          firmware_(list_firmware(options_.firmware_folders)),
          acceptor_(io),
          pause_(io) {
        if (!options_.now_ms) options_.now_ms = system_now_ms;
    }

    Result<void> listen(const config::Endpoint& listen);
    void accept();
    void serve(Socket socket, const Reached& reached);
    void close();
    void forget(const std::shared_ptr<Connection>& connection) { connections_.erase(connection); }

    Response respond(const Asked& asked, const Reached& reached);
    Response refuse(int status, std::string_view sentence, const Asked& asked) const;

    asio::io_context& io() { return io_; }
    const BootServerOptions& options() const { return options_; }
    std::size_t connections() const { return connections_.size(); }

private:
    bool make_room();
    Response send_document(const Document& document, const Asked& asked) const;
    Response send_file(const std::filesystem::path& path, std::string etag, const Asked& asked,
                       std::string_view cache_control) const;
    Response send_blob(const Blob& blob, const Asked& asked) const;
    Response send_firmware(const std::string& name, const Asked& asked) const;

    asio::io_context& io_;
    FleetSource fleet_;
    BootEvents* events_;
    BootServerOptions options_;
    std::map<std::string, std::filesystem::path, std::less<>> firmware_;
    tcp::acceptor acceptor_;
    asio::steady_timer pause_;
    std::set<std::shared_ptr<Connection>> connections_;
};

/// One client: reads a request, sends the answer, and again.
class BootServer::State::Connection final : public std::enable_shared_from_this<Connection> {
public:
    using Clock = std::chrono::steady_clock;

    Connection(std::shared_ptr<State> server, Socket socket, Reached reached)
        : server_(std::move(server)),
          socket_(std::move(socket)),
          timer_(server_->io()),
          reached_(std::move(reached)) {}

    void start() {
        error_code ignored;
        socket_.non_blocking(true, ignored);
        await_request();
    }

    void close() {
        error_code ignored;
        socket_.close(ignored);
        timer_.cancel(ignored);
        server_->forget(shared_from_this());
    }

    bool is_idle() const { return is_idle_; }
    Clock::time_point idle_since() const { return idle_since_; }

private:
    void set_deadline(std::chrono::milliseconds time) {
        timer_.expires_after(time);
        timer_.async_wait([self = shared_from_this()](error_code problem) {
            // A wait that was replaced may have its turn already: only the last one counts.
            const bool is_over = self->timer_.expiry() <= asio::steady_timer::clock_type::now();
            if (!problem && is_over && self->socket_.is_open()) self->close();
        });
    }

    void await_request() {
        is_idle_ = true;
        idle_since_ = Clock::now();
        parser_.emplace();
        parser_->header_limit(static_cast<std::uint32_t>(server_->options().header_bytes_max));
        parser_->body_limit(boost::none);
        set_deadline(server_->options().request_time);
        http::async_read_header(
            socket_, buffer_, *parser_,
            [self = shared_from_this()](error_code problem, std::size_t) { self->read(problem); });
    }

    void read(error_code problem) {
        if (!socket_.is_open()) return;
        is_idle_ = false;
        Asked asked;
        if (problem == http::error::header_limit) {
            send(server_->refuse(431, "the request header is too long", asked));
        } else if (problem &&
                   problem.category() ==
                       http::make_error_code(http::error::bad_target).category() &&
                   problem != http::error::end_of_stream &&
                   problem != http::error::partial_message) {
            send(server_->refuse(400, "this is no HTTP request: " + problem.message(), asked));
        } else if (problem) {
            close();
        } else {
            send(server_->respond(take_request(), reached_));
        }
    }

    Asked take_request() const {
        const auto& request = parser_->get();
        const auto field = [&request](http::field name) { return std::string(request[name]); };
        Asked asked;
        asked.is_get = request.method() == http::verb::get;
        asked.is_head = request.method() == http::verb::head;
        // A body is not read, so where the next request begins is unknown.
        const bool has_body = parser_->chunked() || parser_->content_length().value_or(0) != 0;
        asked.keep_alive = request.keep_alive() && !has_body;
        asked.target = std::string(request.target());
        asked.if_none_match = field(http::field::if_none_match);
        asked.if_range = field(http::field::if_range);
        asked.range = field(http::field::range);
        return asked;
    }

    void send(Response response) {
        response_ = std::move(response);
        set_deadline(server_->options().piece_time);
        asio::async_write(socket_, asio::buffer(response_.text),
                          [self = shared_from_this()](error_code problem, std::size_t) {
                              if (!self->socket_.is_open()) return;
                              problem ? self->close() : self->send_piece();
                          });
    }

    /// Up to a piece of the file; waits for the socket in between.
    void send_piece() {
        if (piece_left_ == 0) {
            piece_left_ = std::min(piece_bytes, response_.file_bytes);
            set_deadline(server_->options().piece_time);
        }
        if (response_.file_bytes == 0) {
            end_response();
            return;
        }
        auto offset = static_cast<off_t>(response_.file_offset);
        const ssize_t count = ::sendfile(socket_.native_handle(), response_.file.get(), &offset,
                                         static_cast<std::size_t>(piece_left_));
        const bool would_wait = count < 0 && (errno == EAGAIN || errno == EINTR);
        if (count == 0 || (count < 0 && !would_wait)) {  // the file became shorter, or a dead peer
            close();
            return;
        }
        if (count > 0) {
            const auto sent = static_cast<std::uint64_t>(count);
            response_.file_offset += sent;
            response_.file_bytes -= sent;
            piece_left_ -= sent;
        }
        socket_.async_wait(Socket::wait_write, [self = shared_from_this()](error_code problem) {
            if (!self->socket_.is_open()) return;
            problem ? self->close() : self->send_piece();
        });
    }

    void end_response() {
        const bool keep_alive = response_.keep_alive;
        response_ = {};
        if (keep_alive) {
            await_request();
            return;
        }
        error_code ignored;
        socket_.shutdown(Socket::shutdown_send, ignored);
        close();
    }

    std::shared_ptr<State> server_;
    Socket socket_;
    asio::steady_timer timer_;
    Reached reached_;
    boost::beast::flat_buffer buffer_;
    std::optional<http::request_parser<http::empty_body>> parser_;
    Response response_;
    std::uint64_t piece_left_ = 0;
    bool is_idle_ = false;
    Clock::time_point idle_since_;
};

Result<void> BootServer::State::listen(const config::Endpoint& listen) {
    error_code problem;
    const auto address = asio::ip::make_address(listen.address, problem);
    if (problem) return Error{ErrorCode::usage, listen.address + " is no address"};
    const tcp::endpoint endpoint(address, listen.port);
    acceptor_.open(endpoint.protocol(), problem);
    if (!problem) acceptor_.set_option(tcp::acceptor::reuse_address(true), problem);
    if (!problem && address.is_v6()) {
        acceptor_.set_option(asio::ip::v6_only(!listen.is_wildcard()), problem);
    }
    if (!problem) acceptor_.bind(endpoint, problem);
    if (!problem) acceptor_.listen(tcp::acceptor::max_listen_connections, problem);
    if (problem == asio::error::address_in_use) {
        return Error{ErrorCode::in_use, "HTTP: " + to_string(listen) +
                                            " is in use by another program; see `ss -ltnp`"};
    }
    if (problem) return system_error("HTTP: listening on " + to_string(listen), problem.value());
    accept();
    return {};
}

void BootServer::State::accept() {
    acceptor_.async_accept([self = shared_from_this()](error_code problem, tcp::socket socket) {
        if (!self->acceptor_.is_open()) return;
        if (problem) {
            self->pause_.expires_after(accept_pause);
            self->pause_.async_wait([self](error_code cancelled) {
                if (!cancelled && self->acceptor_.is_open()) self->accept();
            });
            return;
        }
        error_code gone;
        const tcp::endpoint local = socket.local_endpoint(gone);
        const tcp::endpoint peer = gone ? tcp::endpoint() : socket.remote_endpoint(gone);
        if (!gone) {
            socket.set_option(tcp::no_delay(true), gone);
            self->serve(Socket(std::move(socket)), {endpoint_of(local), endpoint_of(peer).address});
        }
        self->accept();
    });
}

/// True when there is room for one more connection.
bool BootServer::State::make_room() {
    if (connections_.size() < options_.connections_max) return true;
    std::shared_ptr<Connection> oldest;
    for (const std::shared_ptr<Connection>& connection : connections_) {
        if (!connection->is_idle()) continue;
        if (!oldest || connection->idle_since() < oldest->idle_since()) oldest = connection;
    }
    if (!oldest) return false;
    oldest->close();
    return true;
}

void BootServer::State::serve(Socket socket, const Reached& reached) {
    if (!make_room()) return;
    const auto connection =
        std::make_shared<Connection>(shared_from_this(), std::move(socket), reached);
    connections_.insert(connection);
    connection->start();
}

void BootServer::State::close() {
    error_code ignored;
    acceptor_.close(ignored);
    pause_.cancel(ignored);
    const std::set<std::shared_ptr<Connection>> open = connections_;
    for (const std::shared_ptr<Connection>& connection : open)
        connection->close();
}

Response BootServer::State::refuse(int status, std::string_view sentence,
                                   const Asked& asked) const {
    return send_document(plain_answer(status, sentence), asked);
}

Response BootServer::State::respond(const Asked& asked, const Reached& reached) {
    if (!asked.is_get && !asked.is_head) {
        return refuse(405, "only GET and HEAD; changes are made by the cowtgt command", asked);
    }
    const std::shared_ptr<const Fleet> fleet = fleet_();
    const Outcome outcome = answer_request(asked.target, *fleet, reached, options_.now_ms());
    if (asked.is_get && outcome.event) events_->boot_event(*outcome.event);
    if (const auto* blob = std::get_if<BlobAnswer>(&outcome.answer)) {
        return send_blob(blob->blob, asked);
    }
    if (const auto* firmware = std::get_if<FirmwareAnswer>(&outcome.answer)) {
        return send_firmware(firmware->name, asked);
    }
    return send_document(std::get<Document>(outcome.answer), asked);
}

Response BootServer::State::send_document(const Document& document, const Asked& asked) const {
    ResponseHeader header;
    header.selection = {document.status, 0, document.body.size()};
    std::string etag;
    if (document.status == 200) {
        etag = "\"" + hex(xxh3_64(bytes_of(document.body))) + "\"";
        header.selection = select_bytes(asked.conditions(), etag, document.body.size());
    }
    header.size_bytes = document.body.size();
    header.content_type = document.content_type;
    header.etag = etag;
    header.cache_control = "no-cache";  // may be kept, but is asked for each time
    header.now_ms = options_.now_ms();
    header.keep_alive = asked.keep_alive;
    Response response;
    response.keep_alive = asked.keep_alive;
    response.text = response_header(header);
    if (!asked.is_head) {
        response.text += document.body.substr(static_cast<std::size_t>(header.selection.first),
                                              static_cast<std::size_t>(header.selection.count));
    }
    return response;
}

/// An empty `etag` is made from what tells one version of the file from the next.
Response BootServer::State::send_file(const std::filesystem::path& path, std::string etag,
                                      const Asked& asked, std::string_view cache_control) const {
    Descriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
    struct stat status {};
    if (!file.is_open() || ::fstat(file.get(), &status) != 0 || !S_ISREG(status.st_mode)) {
        return refuse(500, "the file behind this cannot be read: " + path.filename().string(),
                      asked);
    }
    const auto size = static_cast<std::uint64_t>(status.st_size);
    if (etag.empty()) {
        const auto modified_ns =
            static_cast<std::uint64_t>(status.st_mtim.tv_sec) * 1'000'000'000U +
            static_cast<std::uint64_t>(status.st_mtim.tv_nsec);
        etag = hex(size) + hex(modified_ns);
    }
    etag = "\"" + etag + "\"";
    ResponseHeader header;
    header.selection = select_bytes(asked.conditions(), etag, size);
    header.size_bytes = size;
    header.content_type = binary;
    header.etag = etag;
    header.cache_control = cache_control;
    header.now_ms = options_.now_ms();
    header.keep_alive = asked.keep_alive;
    Response response;
    response.keep_alive = asked.keep_alive;
    response.text = response_header(header);
    if (!asked.is_head && header.selection.count > 0) {
        response.file_offset = header.selection.first;
        response.file_bytes = header.selection.count;
        // The disk is read ahead, so that sendfile does not wait for it piece by piece.
        ::posix_fadvise(file.get(), static_cast<off_t>(response.file_offset),
                        static_cast<off_t>(response.file_bytes), POSIX_FADV_WILLNEED);
        response.file = std::move(file);
    }
    return response;
}

Response BootServer::State::send_blob(const Blob& blob, const Asked& asked) const {
    return send_file(blob.file, blob.sha256, asked, "public, max-age=31536000, immutable");
}

Response BootServer::State::send_firmware(const std::string& name, const Asked& asked) const {
    const auto found = firmware_.find(name);
    std::error_code problem;
    if (found == firmware_.end() ||
        std::filesystem::file_size(found->second, problem) > firmware_bytes_max || problem) {
        return refuse(404, "there is no such iPXE program; Debian has them in the package ipxe",
                      asked);
    }
    return send_file(found->second, "", asked, "no-cache");
}

Result<std::unique_ptr<BootServer>> BootServer::open(asio::io_context& io,
                                                     const config::Endpoint& listen,
                                                     FleetSource fleet, BootEvents& events,
                                                     BootServerOptions options) {
    auto server = std::make_unique<BootServer>(io, std::move(fleet), events, std::move(options));
    if (auto done = server->state_->listen(listen); !done) return done.error();
    return server;
}

BootServer::BootServer(asio::io_context& io, FleetSource fleet, BootEvents& events,
                       BootServerOptions options)
    : state_(std::make_shared<State>(io, std::move(fleet), events, std::move(options))) {}

BootServer::~BootServer() {
    state_->close();
}

void BootServer::adopt(Descriptor connected, const Reached& reached) {
    sockaddr_storage address{};
    socklen_t size = sizeof(address);
    ::getsockname(connected.get(), reinterpret_cast<sockaddr*>(&address), &size);
    Socket socket(state_->io());
    error_code problem;
    socket.assign(asio::generic::stream_protocol(address.ss_family, 0), connected.get(), problem);
    if (problem) return;
    static_cast<void>(connected.release());
    state_->serve(std::move(socket), reached);
}

std::size_t BootServer::connections() const {
    return state_->connections();
}

}  // namespace cowtgt::boot
