#include <gtest/gtest.h>

#include <algorithm>
#include <cstdio>

#include "tests/unit/identity/disk_images.h"

namespace cowtgt::identity {
namespace {

constexpr std::uint64_t mib = 1024 * 1024;

void write_entry(MemoryImage& image, std::uint64_t record, std::uint64_t slot, std::uint8_t type,
                 std::uint32_t first, std::uint32_t count) {
    const std::uint64_t entry = record + 446 + 16 * slot;
    image.write_le(entry + 4, 1, type);
    image.write_le(entry + 8, 4, first);
    image.write_le(entry + 12, 4, count);
    image.write_le(record + 510, 2, 0xaa55);
}

class Mbr : public testing::Test {
protected:
    void SetUp() override {
        image_.write_le(0x1b8, 4, 0xdeadbeef);
        write_entry(image_, 0, 0, 0x83, 2048, 163840);
        write_ext(image_, {.begin = 2048 * 512});
    }
    MemoryImage image_{100 * mib};
};

TEST_F(Mbr, OnlyTheSignatureChanges) {
    const std::vector<std::byte> before = image_.bytes(0, 512);
    const Recipe recipe = examine_image(image_);
    EXPECT_EQ(recipe.block_size, 512U);
    ASSERT_EQ(recipe.structures.size(), 2U);
    EXPECT_EQ(recipe.structures[1].where, "ext4 on partition 1");
    const Patching patching = patch_image(recipe, image_);
    image_.apply(patching.patches);
    EXPECT_EQ(patching.findings.at(0).kind, "disk-signature");
    EXPECT_EQ(patching.findings.at(0).old_value, "deadbeef");
    char text[9];
    snprintf(text, sizeof(text), "%08x", static_cast<unsigned>(image_.le(0x1b8, 4)));
    EXPECT_EQ(patching.findings.at(0).new_value, text);
    EXPECT_NE(patching.findings.at(0).new_value, "deadbeef");
    std::vector<std::byte> after = image_.bytes(0, 512);
    std::copy_n(before.begin() + 0x1b8, 4, after.begin() + 0x1b8);
    EXPECT_EQ(after, before);
    EXPECT_EQ(image_.uuid(2048 * 512 + 1024 + 0x68), patching.findings.at(1).new_value);
}

TEST_F(Mbr, LastPartitionGrowsOnRequest) {
    IdentityChoice choice = choice_of(1);
    choice.disk_size = 200 * mib + 512;
    choice.growth = Growth::last_partition;
    choice.values = Values::as_in_image;
    const Result<Patching> patching = make_patches(examine_image(image_), image_, choice);
    ASSERT_TRUE(patching.has_value());
    ASSERT_EQ(patching->patches.size(), 1U);
    image_.apply(patching->patches);
    EXPECT_EQ(image_.le(446 + 8, 4), 2048U);
    EXPECT_EQ(image_.le(446 + 12, 4), 200 * mib / 512 - 2048);
    EXPECT_EQ(image_.le(0x1b8, 4), 0xdeadbeefU);
}

TEST_F(Mbr, DiskWithoutSignatureIsKept) {
    image_.write_le(0x1b8, 4, 0);
    EXPECT_EQ(examine_image(image_).structures.at(0).kept_because,
              "the disk has no signature, so nothing can refer to it");
}

TEST_F(Mbr, ChainOfLogicalPartitionsMayBeACircle) {
    write_entry(image_, 0, 1, 0x0f, 180000, 20000);
    write_entry(image_, 180000 * 512, 0, 0x83, 100, 100);
    write_entry(image_, 180000 * 512, 1, 0x05, 1000, 100);
    write_entry(image_, 181000 * 512, 1, 0x05, 1000, 100);  // itself
    EXPECT_EQ(examine_image(image_).structures.size(), 2U);
}

TEST_F(Mbr, FileSystemsOfOverlappingPartitionsAreKept) {
    write_entry(image_, 0, 1, 0x83, 4096, 100);
    const Recipe recipe = examine_image(image_);
    ASSERT_EQ(recipe.structures.size(), 2U);
    EXPECT_EQ(recipe.structures[1].kept_because,
              "its partition overlaps another: repair the partition table");
}

TEST_F(Mbr, FileSystemOverABootRecordIsKept) {
    write_entry(image_, 0, 1, 0x05, 2048 + 100, 1000);  // in the middle of partition 1
    write_entry(image_, (2048 + 100) * 512, 0, 0x83, 190000, 10);
    const Recipe recipe = examine_image(image_);
    ASSERT_EQ(recipe.structures.size(), 2U);
    EXPECT_EQ(recipe.structures[1].kept_because,
              "its partition overlaps another: repair the partition table");
}

TEST_F(Mbr, BootSectorOfAFileSystemIsNoTable) {
    image_.write(446, std::vector<std::byte>(64));
    EXPECT_TRUE(examine_image(image_).structures.empty());
    image_.write_le(446, 1, 'n');  // text of a boot loader
    image_.write_le(450, 1, 'o');
    EXPECT_TRUE(examine_image(image_).structures.empty());
}

TEST_F(Mbr, TableThatBecameProtectiveIsKept) {
    const Recipe recipe = examine_image(image_);
    image_.write_le(446 + 4, 1, 0xee);
    const Patching patching = patch_image(recipe, image_);
    EXPECT_EQ(patching.findings.at(0).kept_because, "the disk has no MBR partition table any more");
}

}  // namespace
}  // namespace cowtgt::identity
