// An export's file appears whole or not at all.

#include "tools/cowtgt_output_file.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include "tests/unit/tools/temporary_folder.h"

namespace cowtgt::tools {
namespace {

TEST(OutputFile, AppearsAtTheCommit) {
    const TemporaryFolder folder;
    std::ofstream(folder.path() / "disk.raw") << "old";
    std::filesystem::create_symlink("disk.raw", folder.path() / "link");
    auto output = OutputFile::open(folder.path() / "link");
    ASSERT_TRUE(output);
    EXPECT_TRUE(output->is_seekable());
    ASSERT_EQ(::write(output->descriptor(), "new", 3), 3);
    EXPECT_EQ(folder.content("disk.raw"), "old");
    ASSERT_TRUE(output->commit());
    EXPECT_EQ(folder.content("disk.raw"), "new");
    EXPECT_TRUE(std::filesystem::is_symlink(folder.path() / "link"));
    EXPECT_EQ(folder.entries(), 2);
}

TEST(OutputFile, IsGoneWithoutACommit) {
    const TemporaryFolder folder;
    {
        auto output = OutputFile::open(folder.path() / "disk.raw");
        ASSERT_TRUE(output);
        EXPECT_EQ(folder.entries(), 1);
        const OutputFile moved = std::move(*output);
        EXPECT_EQ(folder.entries(), 1);
    }
    EXPECT_EQ(folder.entries(), 0);
}

TEST(OutputFile, AFolderIsRefusedAPipeIsTakenAsItIs) {
    const TemporaryFolder folder;
    EXPECT_FALSE(OutputFile::open(folder.path()));
    EXPECT_FALSE(OutputFile::open(folder.path() / "none" / "disk.raw"));
    auto null = OutputFile::open("/dev/null");
    ASSERT_TRUE(null);
    EXPECT_FALSE(null->is_seekable());
    EXPECT_TRUE(null->commit());
}

}  // namespace
}  // namespace cowtgt::tools
