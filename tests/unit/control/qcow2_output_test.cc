// A qcow2 image must be whole in QEMU's eyes and read like the disk.

#include "target/control/qcow2_output.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <fstream>
#include <iterator>
#include <random>
#include <string>

#include "cow-store/descriptor.h"
#include "tests/unit/control/temporary_folder.h"

namespace cowtgt::control {
namespace {

constexpr std::size_t page = 4096;

std::string content_of(const std::filesystem::path& file) {
    std::ifstream in(file, std::ios::binary);
    return {std::istreambuf_iterator<char>(in), {}};
}

bool run(const std::string& command) {
    return std::system((command + " >/dev/null 2>&1").c_str()) == 0;
}

class Qcow2 : public ::testing::Test {
protected:
    /// Writes the pages of `disk` that are not zero, as an export would.
    void write_image(const std::string& disk) {
        const Descriptor out(::open(image_.c_str(), O_RDWR | O_CREAT | O_TRUNC, 0600));
        ASSERT_GE(out.get(), 0);
        Qcow2Output output(out.get(), disk.size(), [] { return false; });
        ASSERT_TRUE(output.begin());
        for (std::size_t at = 0; at < disk.size(); at += page) {
            const std::string piece = disk.substr(at, page);
            if (piece.find_first_not_of('\0') == std::string::npos) continue;
            ASSERT_TRUE(output.write(at, bytes_of(piece)));
        }
        ASSERT_TRUE(output.end());
    }
    void expect_reads_as(const std::string& disk) {
        EXPECT_TRUE(run("qemu-img check -f qcow2 " + image_.string()));
        EXPECT_TRUE(
            run("qemu-img convert -f qcow2 -O raw " + image_.string() + " " + raw_.string()));
        EXPECT_TRUE(content_of(raw_) == disk);
    }

    TemporaryFolder folder_;
    std::filesystem::path image_ = folder_.path() / "disk.qcow2";
    std::filesystem::path raw_ = folder_.path() / "disk.raw";
};

TEST_F(Qcow2, ReadsLikeTheDiskAndTakesNoSpaceForZeros) {
    constexpr std::uint32_t seed = 1;
    SCOPED_TRACE(seed);
    std::mt19937 random(seed);
    std::string disk((48 << 20) + 512, '\0');
    for (int i = 0; i < 40; ++i) {
        const std::size_t at = random() % (disk.size() / page) * page;
        for (std::size_t j = at; j < std::min(at + 3 * page, disk.size()); ++j)
            disk[j] = static_cast<char>(random());
    }
    disk.back() = 'z';
    write_image(disk);
    expect_reads_as(disk);
    struct stat found {};
    ASSERT_EQ(::stat(image_.c_str(), &found), 0);
    EXPECT_LT(found.st_blocks * 512, 4 << 20);
}

TEST_F(Qcow2, AnEmptyDiskAndOneOfASingleBlock) {
    for (const std::string& disk : {std::string(1 << 20, '\0'), std::string(512, 'x')}) {
        write_image(disk);
        expect_reads_as(disk);
    }
}

TEST_F(Qcow2, NeedsAFileAndCanBeCancelled) {
    int ends[2];
    ASSERT_EQ(::pipe(ends), 0);
    const Descriptor reading(ends[0]), writing(ends[1]);
    Qcow2Output to_pipe(writing.get(), 1 << 20, [] { return false; });
    EXPECT_EQ(to_pipe.begin().error().code, ErrorCode::usage);
    const Descriptor out(::open(image_.c_str(), O_RDWR | O_CREAT, 0600));
    Qcow2Output cancelled(out.get(), 1 << 20, [] { return true; });
    ASSERT_TRUE(cancelled.begin());
    EXPECT_FALSE(cancelled.write(0, bytes_of("x")));
}

}  // namespace
}  // namespace cowtgt::control
