#include "cow-store/file_posix.h"

#include <fcntl.h>

#include <algorithm>

#include "cow-store/store/file_system.h"
#include "tests/unit/store/store_fixture.h"

namespace cowtgt::store {
namespace {

using FilePosix = StoreTest;

TEST_F(FilePosix, ReadsZerosBehindTheEndAndInHoles) {
    const std::unique_ptr<PosixFile> file =
        std::move(PosixFile::open(folder() / "f", O_RDWR | O_CREAT)).value();
    ASSERT_TRUE(file->write_at(8192, bytes_of("abc")));
    std::vector<std::byte> content(8, std::byte{0xff});
    ASSERT_TRUE(file->read_at(8190, content));
    EXPECT_EQ(text_of(content), std::string_view("\0\0abc\0\0\0", 8));
    EXPECT_EQ(file->size().value(), 8195U);
    EXPECT_NE(file->inode(), 0U);
}

TEST_F(FilePosix, AllocateExtendsAndKeepsAndPunchGivesBack) {
    const std::filesystem::path path = folder() / "f";
    const std::unique_ptr<PosixFile> file =
        std::move(PosixFile::open(path, O_RDWR | O_CREAT)).value();
    ASSERT_TRUE(file->write_at(0, bytes_of("abc")));
    ASSERT_TRUE(file->allocate(0, mebibyte));
    EXPECT_EQ(file->size().value(), mebibyte);
    EXPECT_GE(allocated_bytes_of(path), mebibyte);
    std::vector<std::byte> content(4);
    ASSERT_TRUE(file->read_at(0, content));
    EXPECT_EQ(text_of(content), std::string_view("abc\0", 4));
    ASSERT_TRUE(file->punch_hole(0, mebibyte));
    ASSERT_TRUE(file->sync_data());
    EXPECT_EQ(file->size().value(), mebibyte);
    EXPECT_LT(allocated_bytes_of(path), mebibyte);
    ASSERT_TRUE(file->read_at(0, content));
    EXPECT_TRUE(std::ranges::all_of(content, [](std::byte b) { return b == std::byte{0}; }));
}

TEST_F(FilePosix, ALockBelongsToTheDescriptionAndToOneByte) {
    const std::filesystem::path path = write_file("f", "x");
    const Descriptor first = open_descriptor(path, O_RDWR).value();
    const Descriptor second = open_descriptor(path, O_RDWR).value();
    const std::chrono::milliseconds none{0};
    EXPECT_TRUE(lock_description(first.get(), 0, none, "f").value());
    EXPECT_TRUE(lock_description(first.get(), 0, none, "f").value());
    EXPECT_FALSE(lock_description(second.get(), 0, none, "f").value());
    EXPECT_TRUE(lock_description(second.get(), 1, none, "f").value());
}

TEST_F(FilePosix, ErrorsNameTheFile) {
    const Result<std::unique_ptr<PosixFile>> missing = PosixFile::open("/nowhere/f", O_RDONLY);
    ASSERT_FALSE(missing);
    EXPECT_EQ(missing.error().message, "opening /nowhere/f: No such file or directory");
    const auto read_only = PosixFile::open(write_file("f", "x"), O_RDONLY);
    const Result<void> written = (*read_only)->write_at(0, bytes_of("y"));
    ASSERT_FALSE(written);
    EXPECT_EQ(written.error().message,
              "writing " + (folder() / "f").string() + ": Bad file descriptor");
}

}  // namespace
}  // namespace cowtgt::store
