#include "target/control/output.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <linux/fs.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <utility>

#include "cow-store/file_posix.h"
#include "target/control/qcow2_output.h"

namespace cowtgt::control {

namespace {

constexpr int patience_ms = 200;  ///< between two looks at is_cancelled
/// A pipe that says it has room takes this much without waiting (PIPE_BUF).
constexpr std::size_t stream_piece_bytes = 4096;
constexpr std::size_t zero_bytes = 65536;

const std::array<std::byte, zero_bytes>& zeros() {
    static const std::array<std::byte, zero_bytes> bytes{};
    return bytes;
}

constexpr const char* output_name = "the export";

}  // namespace

std::unique_ptr<DiskOutput> make_output(ExportFormat format, int descriptor,
                                        std::uint64_t size_bytes,
                                        std::function<bool()> is_cancelled) {
    if (format == ExportFormat::qcow2) {
        return std::make_unique<Qcow2Output>(descriptor, size_bytes, std::move(is_cancelled));
    }
    return std::make_unique<ExportOutput>(descriptor, size_bytes, std::move(is_cancelled));
}

ExportOutput::ExportOutput(int descriptor, std::uint64_t size_bytes,
                           std::function<bool()> is_cancelled)
    : descriptor_(descriptor), size_bytes_(size_bytes), is_cancelled_(std::move(is_cancelled)) {}

Result<void> ExportOutput::begin() {
    struct stat found {};
    if (::fstat(descriptor_, &found) != 0) return system_error("looking at the output", errno);
    const bool appends = (::fcntl(descriptor_, F_GETFL) & O_APPEND) != 0;
    if (S_ISREG(found.st_mode) && !appends && ::lseek(descriptor_, 0, SEEK_CUR) == 0) {
        kind_ = Kind::file;
        if (::ftruncate(descriptor_, 0) != 0 ||
            ::ftruncate(descriptor_, static_cast<off_t>(size_bytes_)) != 0) {
            return system_error("setting the size of the output", errno);
        }
    } else if (S_ISBLK(found.st_mode)) {
        kind_ = Kind::device;
        std::uint64_t device_bytes = 0;
        if (::ioctl(descriptor_, BLKGETSIZE64, &device_bytes) != 0) {
            return system_error("asking the output device for its size", errno);
        }
        if (device_bytes < size_bytes_) {
            return Error{ErrorCode::no_space,
                         "the output device has " + std::to_string(device_bytes) +
                             " bytes, the disk needs " + std::to_string(size_bytes_)};
        }
    }
    return {};
}

Result<void> ExportOutput::write(std::uint64_t offset, Bytes bytes) {
    if (is_cancelled_()) return Error{ErrorCode::failed, "the export was cancelled"};
    if (kind_ == Kind::file) return write_all_at(descriptor_, offset, bytes, output_name);
    if (auto filled = write_zeros_up_to(offset); !filled) return filled;
    if (kind_ == Kind::device) {
        if (auto done = write_all_at(descriptor_, offset, bytes, output_name); !done) return done;
    } else {
        if (auto done = write_stream(bytes); !done) return done;
    }
    position_ = offset + bytes.size();
    return {};
}

Result<void> ExportOutput::end() {
    if (kind_ != Kind::file) {
        if (auto filled = write_zeros_up_to(size_bytes_); !filled) return filled;
    }
    if (kind_ == Kind::file) ::lseek(descriptor_, static_cast<off_t>(size_bytes_), SEEK_SET);
    if (kind_ != Kind::stream && ::fsync(descriptor_) != 0) {
        return system_error("syncing the output", errno);
    }
    return {};
}

Result<void> ExportOutput::write_zeros_up_to(std::uint64_t offset) {
    while (position_ < offset) {
        if (is_cancelled_()) return Error{ErrorCode::failed, "the export was cancelled"};
        const Bytes piece =
            Bytes(zeros()).first(std::min<std::uint64_t>(offset - position_, zero_bytes));
        Result<void> done = kind_ == Kind::device
                                ? write_all_at(descriptor_, position_, piece, output_name)
                                : write_stream(piece);
        if (!done) return done;
        position_ += piece.size();
    }
    return {};
}

Result<void> ExportOutput::write_stream(Bytes bytes) {
    while (!bytes.empty()) {
        if (auto room = await_room(); !room) return room;
        const std::size_t wanted = std::min(bytes.size(), stream_piece_bytes);
        // A socket takes as much as it can; it is the daemon's way out to the command.
        ssize_t count =
            ::send(descriptor_, bytes.data(), bytes.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
        if (count < 0 && errno == ENOTSOCK) count = ::write(descriptor_, bytes.data(), wanted);
        if (count < 0 && (errno == EINTR || errno == EAGAIN)) continue;
        if (count < 0) return system_error("writing the export", errno);
        bytes = bytes.subspan(static_cast<std::size_t>(count));
    }
    return {};
}

Result<void> ExportOutput::await_room() {
    while (true) {
        if (is_cancelled_()) return Error{ErrorCode::failed, "the export was cancelled"};
        pollfd room{descriptor_, POLLOUT, 0};
        const int ready = ::poll(&room, 1, patience_ms);
        if (ready > 0) return {};
        if (ready < 0 && errno != EINTR) return system_error("waiting for the output", errno);
    }
}

}  // namespace cowtgt::control
