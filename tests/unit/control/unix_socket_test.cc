// Sockets in the file system: paths of any length, stale files, live listeners.

#include "target/control/unix_socket.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <string>

#include "tests/unit/control/temporary_folder.h"

namespace cowtgt::control {
namespace {

namespace fs = std::filesystem;

bool can_connect(const fs::path& socket) {
    const auto connected = connect_unix(socket);
    EXPECT_TRUE(connected) << connected.error().message;
    return connected && connected->has_value();
}

TEST(UnixSocket, APathOfAnyLengthWorks) {
    const TemporaryFolder folder;
    fs::path deep = folder.path();
    for (int i = 0; i < 6; ++i)
        deep /= std::string(200, 'd');
    const fs::path socket = deep / "control.sock";
    EXPECT_FALSE(can_connect(socket));
    const auto listening = listen_unix(socket);  // makes the folders
    ASSERT_TRUE(listening) << listening.error().message;
    EXPECT_TRUE(can_connect(socket));
    struct stat found {};
    ASSERT_EQ(::stat(socket.c_str(), &found), 0);
    EXPECT_TRUE(S_ISSOCK(found.st_mode));
    EXPECT_EQ(found.st_mode & 07777U, 0600U);
    EXPECT_EQ(std::distance(fs::directory_iterator(deep), {}), 1);
}

TEST(UnixSocket, AStaleFileIsReplacedALiveListenerIsNot) {
    const TemporaryFolder folder;
    const fs::path socket = folder.path() / "control.sock";
    auto first = listen_unix(socket);
    ASSERT_TRUE(first);
    const auto second = listen_unix(socket);
    ASSERT_FALSE(second);
    EXPECT_EQ(second.error().code, ErrorCode::in_use);
    EXPECT_TRUE(can_connect(socket));

    *first = Descriptor();  // as after kill -9: the file stays
    EXPECT_TRUE(fs::exists(socket));
    EXPECT_FALSE(can_connect(socket));
    EXPECT_TRUE(listen_unix(socket));
}

TEST(UnixSocket, OnlyTheOwnFileIsRemoved) {
    const TemporaryFolder folder;
    const fs::path socket = folder.path() / "control.sock";
    auto first = listen_unix(socket);
    ASSERT_TRUE(first);
    const std::uint64_t inode = inode_of_socket(socket);
    remove_unix(socket, inode + 1);
    EXPECT_TRUE(fs::exists(socket));
    remove_unix(socket, inode);
    EXPECT_FALSE(fs::exists(socket));
    EXPECT_EQ(inode_of_socket(socket), 0U);
}

TEST(UnixSocket, ADescriptorGoesAlongWithTheFirstByte) {
    std::array<int, 2> ends{};
    ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM, 0, ends.data()), 0);
    const Descriptor left(ends[0]);
    const Descriptor right(ends[1]);
    std::array<int, 2> pipe_ends{};
    ASSERT_EQ(::pipe(pipe_ends.data()), 0);
    const Descriptor reading(pipe_ends[0]);
    Descriptor writing(pipe_ends[1]);

    std::array<char, 16> into{};
    auto nothing = receive_with_descriptor(right.get(), into.data(), into.size());
    ASSERT_TRUE(nothing);
    EXPECT_TRUE(nothing->would_wait);

    ASSERT_TRUE(send_with_descriptor(left.get(), "text", writing.get()));
    writing = Descriptor();
    auto received = receive_with_descriptor(right.get(), into.data(), into.size());
    ASSERT_TRUE(received);
    EXPECT_EQ(std::string(into.data(), received->count), "text");
    ASSERT_TRUE(received->descriptor.is_open());
    EXPECT_NE(::fcntl(received->descriptor.get(), F_GETFD) & FD_CLOEXEC, 0);
    ASSERT_EQ(::write(received->descriptor.get(), "x", 1), 1);
    received->descriptor = Descriptor();
    EXPECT_EQ(::read(reading.get(), into.data(), into.size()), 1);
    EXPECT_EQ(::read(reading.get(), into.data(), into.size()), 0) << "a copy stayed open";
}

}  // namespace
}  // namespace cowtgt::control
