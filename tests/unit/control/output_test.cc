// Where exports go: sparse files, pipes that get the zeros, files that are appended to.

#include "target/control/output.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <fstream>
#include <iterator>
#include <string>
#include <thread>

#include "cow-store/descriptor.h"
#include "tests/unit/control/temporary_folder.h"

namespace cowtgt::control {
namespace {

constexpr std::uint64_t disk_bytes = 1 << 20;

/// Writes "head" at 0 and "mid" in the middle of a disk of zeros.
Result<void> write_disk(int descriptor) {
    ExportOutput output(descriptor, disk_bytes, [] { return false; });
    if (auto done = output.begin(); !done) return done;
    if (auto done = output.write(0, bytes_of("head")); !done) return done;
    if (auto done = output.write(disk_bytes / 2, bytes_of("mid")); !done) return done;
    return output.end();
}

std::string disk_content() {
    std::string content(disk_bytes, '\0');
    content.replace(0, 4, "head");
    content.replace(disk_bytes / 2, 3, "mid");
    return content;
}

std::string content_of(const std::filesystem::path& file) {
    std::ifstream in(file, std::ios::binary);
    return {std::istreambuf_iterator<char>(in), {}};
}

TEST(ExportOutput, AFileIsSparseAndWhole) {
    const TemporaryFolder folder;
    const std::filesystem::path file = folder.path() / "disk.raw";
    std::ofstream(file) << std::string(2 * disk_bytes, 'o');  // longer than the disk
    const Descriptor out(::open(file.c_str(), O_RDWR));
    ASSERT_TRUE(write_disk(out.get()));
    EXPECT_EQ(content_of(file), disk_content());
    struct stat found {};
    ASSERT_EQ(::fstat(out.get(), &found), 0);
    EXPECT_LE(found.st_blocks * 512, 64 << 10);
    EXPECT_EQ(::lseek(out.get(), 0, SEEK_CUR), static_cast<off_t>(disk_bytes));
}

TEST(ExportOutput, WhatWasInTheFileBeforeStays) {
    const TemporaryFolder folder;
    for (const int flags : {O_WRONLY | O_APPEND, O_WRONLY}) {
        const std::filesystem::path file = folder.path() / "disk.raw";
        std::ofstream(file) << "before";
        const Descriptor out(::open(file.c_str(), flags));
        ::lseek(out.get(), 0, SEEK_END);
        ASSERT_TRUE(write_disk(out.get()));
        EXPECT_EQ(content_of(file), "before" + disk_content());
    }
}

TEST(ExportOutput, APipeGetsTheZeros) {
    std::array<int, 2> ends{};
    ASSERT_EQ(::pipe(ends.data()), 0);
    const Descriptor reading(ends[0]);
    Descriptor writing(ends[1]);
    std::string read;
    std::thread reader([&] {
        std::array<char, 8192> piece{};
        for (ssize_t count = 0; (count = ::read(ends[0], piece.data(), piece.size())) > 0;) {
            read.append(piece.data(), static_cast<std::size_t>(count));
        }
    });
    const auto written = write_disk(writing.get());
    writing = Descriptor();
    reader.join();
    EXPECT_TRUE(written);
    EXPECT_TRUE(read == disk_content());
}

TEST(ExportOutput, AFullPipeIsLeftWhenNobodyWaitsAnyMore) {
    std::array<int, 2> ends{};
    ASSERT_EQ(::pipe(ends.data()), 0);
    const Descriptor reading(ends[0]);
    const Descriptor writing(ends[1]);
    int asked = 0;
    ExportOutput output(writing.get(), disk_bytes, [&asked] { return ++asked > 20; });
    ASSERT_TRUE(output.begin());
    EXPECT_FALSE(output.end());
    EXPECT_GT(asked, 20);
}

}  // namespace
}  // namespace cowtgt::control
