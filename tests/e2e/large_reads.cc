// Large reads of a template, which the daemon sends from the page cache without a copy: many at
// once, to an initiator that cannot take them as fast; with and without digests; across blocks that
// the machine has written; when the template has left the page cache; when the initiator goes away
// in the middle.

#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <random>
#include <string>
#include <vector>

#include "tests/e2e/daemon.h"
#include "tests/e2e/initiator.h"
#include "tests/e2e/socket_initiator.h"

namespace cowtgt::e2e {
namespace {

constexpr std::uint64_t seed = 20261123;
constexpr std::size_t disk_bytes = 24U << 20;  // more than the socket has room for
constexpr std::uint32_t read_bytes = 1U << 20;
constexpr std::uint8_t read_10 = 0x28, write_10 = 0x2a;

std::vector<std::uint8_t> cdb10(std::uint8_t operation, std::size_t offset, std::size_t bytes) {
    const std::size_t lba = offset / block_size, count = bytes / block_size;
    return {operation,
            0,
            static_cast<std::uint8_t>(lba >> 24),
            static_cast<std::uint8_t>(lba >> 16 & 0xff),
            static_cast<std::uint8_t>(lba >> 8 & 0xff),
            static_cast<std::uint8_t>(lba & 0xff),
            0,
            static_cast<std::uint8_t>(count >> 8),
            static_cast<std::uint8_t>(count & 0xff),
            0};
}

test::InitiatorCommand read_command(std::size_t offset, std::uint32_t bytes) {
    return {.cdb = cdb10(read_10, offset, bytes), .read_length = bytes};
}

std::vector<std::byte> random_bytes(std::size_t count) {
    std::mt19937_64 random(seed);
    std::vector<std::byte> bytes(count);
    std::ranges::generate(bytes, [&] { return static_cast<std::byte>(random()); });
    return bytes;
}

class LargeReads : public ::testing::Test {
protected:
    LargeReads() : content_(random_bytes(disk_bytes)) {
        SCOPED_TRACE(seed);
        std::string name = std::filesystem::temp_directory_path() / "large_reads.XXXXXX";
        const int file = mkstemp(name.data());
        const ssize_t put = write(file, content_.data(), content_.size());
        close(file);
        EXPECT_EQ(put, static_cast<ssize_t>(content_.size()));
        daemon_.command({"template", "import", name, "--name", "noise"});
        std::filesystem::remove(name);
        daemon_.command({"clone", "noise", "web01"});
        daemon_.start();
    }

    test::InitiatorSettings settings(const std::string& digest = "None") const {
        test::InitiatorSettings wanted;
        wanted.target_name = daemon_.target("web01");
        wanted.header_digest = wanted.data_digest = digest;
        return wanted;
    }

    /// Logs in; what a new session is told first (a unit attention) is heard.
    void begin(SocketInitiator& session) {
        ASSERT_EQ(session.log_in(), 0);
        session.run({.cdb = {0, 0, 0, 0, 0, 0}});
    }

    /// Reads the whole disk by commands of 1 MiB that are under way at the same time.
    void expect_content(SocketInitiator& session) {
        std::vector<std::uint32_t> tags;
        for (std::size_t at = 0; at < disk_bytes; at += read_bytes) {
            tags.push_back(session.protocol().submit(read_command(at, read_bytes)));
            session.protocol().send_ping(bytes_of("between"));
        }
        const auto all_done = [&] { return session.protocol().outstanding() == 0; };
        for (int patience = 0; patience < 6 && !session.is_closed() && !all_done(); ++patience)
            session.run_until(all_done);
        ASSERT_TRUE(all_done());
        for (std::size_t i = 0; i < tags.size(); ++i) {
            const auto completion = session.protocol().take_completion(tags[i]);
            ASSERT_TRUE(completion.has_value());
            EXPECT_EQ(completion->status, 0);
            EXPECT_TRUE(std::ranges::equal(completion->data_in,
                                           Bytes(content_).subspan(i * read_bytes, read_bytes)));
        }
        EXPECT_TRUE(session.protocol().violations().empty());
    }

    /// The templates' files leave the page cache.
    void forget_templates() const {
        const std::filesystem::path open_files = "/proc/" + std::to_string(daemon_.pid()) + "/fd";
        int forgotten = 0;
        for (const auto& entry : std::filesystem::directory_iterator(open_files)) {
            std::error_code gone;
            const auto name = std::filesystem::read_symlink(entry.path(), gone);
            if (gone || name.filename() != "image.raw") continue;
            const int file = open(name.c_str(), O_RDONLY | O_CLOEXEC);
            fdatasync(file);
            posix_fadvise(file, 0, 0, POSIX_FADV_DONTNEED);
            close(file);
            ++forgotten;
        }
        EXPECT_GT(forgotten, 0);
    }

    std::vector<std::byte> content_;
    Daemon daemon_;
};

TEST_F(LargeReads, AreRightWithAndWithoutDigests) {
    for (const char* digest : {"None", "CRC32C"}) {
        SCOPED_TRACE(digest);
        SocketInitiator session(daemon_.portal(), settings(digest));
        begin(session);
        expect_content(session);
    }
    daemon_.stop();
}

TEST_F(LargeReads, SeeWhatTheMachineHasWritten) {
    SocketInitiator session(daemon_.portal(), settings());
    begin(session);
    const std::vector<std::byte> fresh(3 * block_size, std::byte{0x5a});
    for (const std::size_t at :
         {std::size_t{0}, std::size_t{5 * read_bytes / 2}, disk_bytes - fresh.size()}) {
        const auto write =
            session.run({.cdb = cdb10(write_10, at, fresh.size()), .data_out = fresh});
        EXPECT_EQ(write.status, 0);
        std::ranges::copy(fresh, content_.begin() + static_cast<std::ptrdiff_t>(at));
        expect_content(session);
    }
    daemon_.stop();
}

TEST_F(LargeReads, ComeFromTheDiskWhenTheTemplateIsNotInMemory) {
    SocketInitiator session(daemon_.portal(), settings());
    begin(session);
    expect_content(session);
    forget_templates();
    expect_content(session);
    daemon_.stop();
}

TEST_F(LargeReads, OfAnInitiatorThatGoesAwayHarmNobody) {
    {
        SocketInitiator session(daemon_.portal(), settings());
        begin(session);
        for (std::size_t at = 0; at < disk_bytes; at += read_bytes)
            session.protocol().submit(read_command(at, read_bytes));
        // Its first answer is there, most of the others cannot be.
        const std::uint32_t last = session.protocol().submit(read_command(0, block_size));
        EXPECT_TRUE(session.run_until(
            [&] { return session.protocol().outstanding() < disk_bytes / read_bytes + 1; }));
        EXPECT_FALSE(session.protocol().take_completion(last).has_value());
    }
    SocketInitiator session(daemon_.portal(), settings());
    begin(session);
    expect_content(session);
    daemon_.stop();
}

}  // namespace
}  // namespace cowtgt::e2e
