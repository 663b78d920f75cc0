#include "target/control/unix_socket.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <string>

#include "cow-store/file_posix.h"

namespace cowtgt::control {

namespace {

constexpr int backlog = 64;
constexpr int descriptors_max = 4;  ///< received at once; all but one are closed again

/// An address that stays good while the folder is open.
struct Reachable {
    Descriptor folder;
    sockaddr_un address{};
};

Result<Reachable> reach(const std::filesystem::path& socket, const std::string& name) {
    Reachable reachable;
    const std::filesystem::path parent =
        socket.has_parent_path() ? socket.parent_path() : std::filesystem::path(".");
    auto folder = open_descriptor(parent, O_PATH | O_DIRECTORY);
    if (!folder) return folder.error();
    reachable.folder = std::move(*folder);
    const std::string text = "/proc/self/fd/" + std::to_string(reachable.folder.get()) + "/" + name;
    reachable.address.sun_family = AF_UNIX;
    if (text.size() >= sizeof(reachable.address.sun_path)) {
        return Error{ErrorCode::refused, "the file name of the socket " + socket.string() +
                                             " is too long; choose a shorter one"};
    }
    std::memcpy(reachable.address.sun_path, text.c_str(), text.size() + 1);
    return reachable;
}

Result<Descriptor> new_socket(const std::filesystem::path& socket) {
    Descriptor made(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    if (!made.is_open()) return system_error("opening the socket " + socket.string(), errno);
    return made;
}

const sockaddr* generic(const sockaddr_un& address) {
    return reinterpret_cast<const sockaddr*>(&address);
}

}  // namespace

Result<std::optional<Descriptor>> connect_unix(const std::filesystem::path& socket) {
    std::error_code ignored;
    if (!std::filesystem::exists(socket, ignored)) return std::optional<Descriptor>();
    auto reachable = reach(socket, socket.filename().string());
    if (!reachable) return reachable.error();
    auto made = new_socket(socket);
    if (!made) return made.error();
    if (::connect(made->get(), generic(reachable->address), sizeof(reachable->address)) != 0) {
        if (errno == ECONNREFUSED || errno == ENOENT) return std::optional<Descriptor>();
        return system_error("connecting to the daemon at " + socket.string(), errno);
    }
    return std::optional(std::move(*made));
}

Result<Descriptor> listen_unix(const std::filesystem::path& socket) {
    auto live = connect_unix(socket);
    if (live && live->has_value()) {
        return Error{ErrorCode::in_use, "another cowtgtd listens on " + socket.string() +
                                            "; stop it, or give this one its own 'socket'"};
    }
    if (socket.has_parent_path()) {
        std::error_code problem;
        std::filesystem::create_directories(socket.parent_path(), problem);
        if (problem) {
            return system_error("making the folder " + socket.parent_path().string(),
                                problem.value());
        }
    }
    // Bound under another name and renamed: the file is never there without a listener behind it.
    const std::string fresh_name = "." + std::to_string(::getpid()) + ".sock";
    auto fresh = reach(socket, fresh_name);
    if (!fresh) return fresh.error();
    const std::filesystem::path fresh_path = socket.parent_path() / fresh_name;
    ::unlink(fresh_path.c_str());
    auto made = new_socket(socket);
    if (!made) return made.error();
    const std::string doing = "listening on " + socket.string();
    // The mode of the socket becomes that of its file: there is no moment with a wider one.
    if (::fchmod(made->get(), 0600) != 0 || ::fcntl(made->get(), F_SETFL, O_NONBLOCK) != 0 ||
        ::bind(made->get(), generic(fresh->address), sizeof(fresh->address)) != 0) {
        return system_error(doing, errno);
    }
    if (::listen(made->get(), backlog) != 0 || ::rename(fresh_path.c_str(), socket.c_str()) != 0) {
        const int problem = errno;
        ::unlink(fresh_path.c_str());
        return system_error(doing, problem);
    }
    return made;
}

std::uint64_t inode_of_socket(const std::filesystem::path& socket) {
    struct stat found {};
    return ::lstat(socket.c_str(), &found) == 0 && S_ISSOCK(found.st_mode) ? found.st_ino : 0;
}

void remove_unix(const std::filesystem::path& socket, std::uint64_t inode) {
    if (inode != 0 && inode_of_socket(socket) == inode) ::unlink(socket.c_str());
}

Result<Received> receive_with_descriptor(int socket, char* into, std::size_t size) {
    alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(int) * descriptors_max)> control{};
    iovec piece{into, size};
    msghdr message{};
    message.msg_iov = &piece;
    message.msg_iovlen = 1;
    message.msg_control = control.data();
    message.msg_controllen = control.size();
    ssize_t count = 0;
    do {
        count = ::recvmsg(socket, &message, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
    } while (count < 0 && errno == EINTR);
    Received received;
    if (count < 0) {
        if (errno != EAGAIN && errno != EWOULDBLOCK) {
            return system_error("receiving on the admin socket", errno);
        }
        received.would_wait = true;
        return received;
    }
    received.count = static_cast<std::size_t>(count);
    for (cmsghdr* part = CMSG_FIRSTHDR(&message); part != nullptr;
         part = CMSG_NXTHDR(&message, part)) {
        if (part->cmsg_level != SOL_SOCKET || part->cmsg_type != SCM_RIGHTS) continue;
        const std::size_t descriptors = (part->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        for (std::size_t i = 0; i < descriptors; ++i) {
            int descriptor = -1;
            std::memcpy(&descriptor, CMSG_DATA(part) + i * sizeof(int), sizeof(int));
            Descriptor owned(descriptor);  // closes what nobody takes
            if (!received.descriptor.is_open()) received.descriptor = std::move(owned);
        }
    }
    return received;
}

Result<void> send_with_descriptor(int socket, std::string_view text, int descriptor) {
    alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(int))> control{};
    while (!text.empty()) {
        iovec piece{const_cast<char*>(text.data()), text.size()};
        msghdr message{};
        message.msg_iov = &piece;
        message.msg_iovlen = 1;
        if (descriptor >= 0) {
            message.msg_control = control.data();
            message.msg_controllen = control.size();
            cmsghdr* part = CMSG_FIRSTHDR(&message);
            part->cmsg_level = SOL_SOCKET;
            part->cmsg_type = SCM_RIGHTS;
            part->cmsg_len = CMSG_LEN(sizeof(int));
            std::memcpy(CMSG_DATA(part), &descriptor, sizeof(int));
        }
        const ssize_t count = ::sendmsg(socket, &message, MSG_NOSIGNAL);
        if (count < 0 && errno == EINTR) continue;
        if (count < 0) return system_error("sending to the daemon", errno);
        text.remove_prefix(static_cast<std::size_t>(count));
        descriptor = -1;
    }
    return {};
}

}  // namespace cowtgt::control
