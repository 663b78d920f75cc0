#pragma once

#include <filesystem>
#include <optional>

#include "cow-store/base/result.h"
#include "cow-store/descriptor.h"

/// Unix stream sockets with a place in the file system, for paths of any length: sun_path has 108
/// bytes, so the folder is opened and the socket is reached through /proc/self/fd.
namespace cowtgt::control {

/// Connected, or nothing when nobody listens there (no such file, or a stale one).
Result<std::optional<Descriptor>> connect_unix(const std::filesystem::path& socket);

/// A listening socket, non-blocking, mode 0600; missing folders are made. A stale file is replaced
/// in one step, so that clients find the old one or the new one; in_use when somebody listens.
Result<Descriptor> listen_unix(const std::filesystem::path& socket);

/// Removes the file if it is the one that `listening` was bound to.
void remove_unix(const std::filesystem::path& socket, std::uint64_t inode);
/// The inode of the socket's file, 0 when there is none.
std::uint64_t inode_of_socket(const std::filesystem::path& socket);

/// One read of what is there; with it, a descriptor if one came along. Never waits.
struct Received {
    std::size_t count = 0;  ///< 0: the peer has closed
    bool would_wait = false;
    Descriptor descriptor;
};
Result<Received> receive_with_descriptor(int socket, char* into, std::size_t size);

/// Sends all; the descriptor (or -1) goes with the first byte.
Result<void> send_with_descriptor(int socket, std::string_view text, int descriptor);

}  // namespace cowtgt::control
