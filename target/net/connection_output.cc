#include <sys/sendfile.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "target/net/connection_driver.h"

/// What a connection sends. What lies in memory goes through the ring. What is lent goes from the
/// page cache to the socket by sendfile, for which the ring has no operation; what stands before it
/// goes by a system call as well, so that the order stays.
namespace cowtgt::net {

namespace {

/// By system calls, in one turn of the loop: others wait meanwhile.
constexpr std::size_t direct_bytes_per_turn = 2U << 20;

bool is_lent(const iscsi::OutputPiece& piece) {
    return piece.lent != nullptr;
}

/// As send() answers.
ssize_t send_lent(int socket, const iscsi::OutputPiece& piece) {
    auto at = static_cast<off_t>(piece.lent->offset + piece.lent_offset);
    return sendfile(socket, piece.lent->file, &at, piece.lent_length);
}

}  // namespace

void ConnectionDriver::start_send() {
    std::size_t left = direct_bytes_per_turn;
    while (const std::size_t count = connection_.gather(pieces_)) {
        const auto lent = std::find_if(
            pieces_.begin(), pieces_.begin() + static_cast<std::ptrdiff_t>(count), is_lent);
        const auto in_memory = static_cast<std::size_t>(lent - pieces_.begin());
        set_message(in_memory);
        if (in_memory == count) {
            sending_ = true;
            worker_->ring().send(socket_, message_, send_);
            return;
        }
        const ssize_t put =
            in_memory > 0 ? sendmsg(socket_, &message_, MSG_MORE | MSG_DONTWAIT | MSG_NOSIGNAL)
                          : send_lent(socket_, *lent);
        if (put < 0 && errno == EINTR) continue;
        if (put < 0 && errno == EAGAIN) break;
        if (put <= 0) {
            drop(put == 0 ? "a file of the disk has become shorter" : std::strerror(errno));
            return;
        }
        const auto sent = static_cast<std::size_t>(put);
        connection_.sent(sent);
        if (sent >= left) break;
        left -= sent;
    }
    if (!connection_.has_output()) return;
    sending_ = true;
    worker_->ring().wait_writable(socket_, writable_);
}

void ConnectionDriver::set_message(std::size_t piece_count) {
    for (std::size_t i = 0; i < piece_count; ++i) {
        const Bytes bytes = pieces_[i].bytes;
        vectors_[i] = {const_cast<std::byte*>(bytes.data()), bytes.size()};
    }
    message_ = {};
    message_.msg_iov = vectors_.data();
    message_.msg_iovlen = piece_count;
}

void ConnectionDriver::was_sent(const ring::Completion::Outcome& outcome) {
    sending_ = false;
    if (outcome.result > 0 && !dropped_) {
        connection_.sent(static_cast<std::size_t>(outcome.result));
    } else if (outcome.result <= 0 && outcome.result != -EINTR && !dropped_) {
        drop(std::strerror(-outcome.result));
    }
    wake();
}

/// What has failed meanwhile shows when it is sent to again.
void ConnectionDriver::became_writable(const ring::Completion::Outcome& outcome) {
    sending_ = false;
    if (outcome.result < 0 && !dropped_) drop(std::strerror(-outcome.result));
    wake();
}

}  // namespace cowtgt::net
