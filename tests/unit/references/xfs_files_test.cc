#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "cow-store/references/files.h"
#include "tests/unit/references/xfs_image.h"

namespace cowtgt::references {
namespace {

using identity::Window;

class XfsFilesTest : public testing::Test {
protected:
    static std::uint64_t byte_of(std::uint64_t block) { return block * XfsImage::block_size; }

    Owner owner_at(std::uint64_t offset) {
        const Window window(image_, 0, image_.size());
        auto files = open_xfs_files(window);
        EXPECT_TRUE(files.has_value()) << files.error().message;
        const auto owners = (*files)->owners_of({offset});
        EXPECT_TRUE(owners.has_value()) << owners.error().message;
        return owners ? owners->front() : Owner();
    }
    /// What is said instead of the owner of block `free`.
    std::string error() {
        const Window window(image_, 0, image_.size());
        auto files = open_xfs_files(window);
        if (!files) return files.error().message;
        const auto owners = (*files)->owners_of({byte_of(XfsImage::free), 0});
        return owners ? "" : owners.error().message;
    }
    std::string content_of(const std::string& path) {
        const Window window(image_, 0, image_.size());
        auto files = open_xfs_files(window);
        EXPECT_TRUE(files.has_value());
        std::string text;
        const auto done =
            (*files)->read(path, 1 << 20, [&](Bytes piece) { text += text_of(piece); });
        return done ? text : done.error().message;
    }

    XfsImage image_;
};

TEST_F(XfsFilesTest, AFileOwnsItsExtentsWhereverTheyLie) {
    const Owner first = owner_at(byte_of(XfsImage::fstab_1) + 7);
    EXPECT_EQ(first.kind, Owner::Kind::file);
    EXPECT_EQ(first.path, "/etc/fstab");
    EXPECT_EQ(first.position, 7U);
    EXPECT_EQ(first.run_begin, byte_of(XfsImage::fstab_1));
    EXPECT_EQ(first.run_length, XfsImage::block_size);
    const Owner second = owner_at(byte_of(XfsImage::fstab_2) + 7);
    EXPECT_EQ(second.position, XfsImage::block_size + 7);
    EXPECT_EQ(second.run_length, 1500 - XfsImage::block_size);
    const Owner third = owner_at(byte_of(XfsImage::pieces + 1));
    EXPECT_EQ(third.path, "/pieces");
    EXPECT_EQ(third.position, 6 * XfsImage::block_size);
}

TEST_F(XfsFilesTest, NobodyReadsWhatIsFreeUnwrittenUnlinkedOrBehindTheEnd) {
    using Kind = Owner::Kind;
    EXPECT_EQ(owner_at(byte_of(XfsImage::free) + 5).kind, Kind::nobody);
    EXPECT_EQ(owner_at(byte_of(XfsImage::block_count) - 1).kind, Kind::nobody);
    EXPECT_EQ(owner_at(byte_of(XfsImage::log) + 600).kind, Kind::nobody);
    EXPECT_EQ(owner_at(byte_of(XfsImage::unwritten)).kind, Kind::nobody);
    EXPECT_EQ(owner_at(byte_of(XfsImage::unlinked)).kind, Kind::nobody);
    EXPECT_EQ(owner_at(byte_of(XfsImage::fstab_2) + 476).kind, Kind::nobody);
    EXPECT_EQ(owner_at(XfsImage::inode_at(60)).kind, Kind::nobody);
}

TEST_F(XfsFilesTest, WhatHasChecksumsOrNoOwnerIsLeft) {
    using Kind = Owner::Kind;
    EXPECT_EQ(owner_at(byte_of(XfsImage::etc)).kind, Kind::untouchable);
    EXPECT_EQ(owner_at(byte_of(XfsImage::etc)).path, "/etc");
    EXPECT_EQ(owner_at(byte_of(XfsImage::attributes)).kind, Kind::untouchable);
    EXPECT_EQ(owner_at(byte_of(XfsImage::pieces_tree)).reason, "no file is known to own it");
    const Owner link = owner_at(XfsImage::inode_at(20) + 105);
    EXPECT_EQ(link.kind, Kind::untouchable);
    EXPECT_EQ(link.path, "/link");
    EXPECT_EQ(link.reason, "it is kept in the inode, which has a checksum");
}

TEST_F(XfsFilesTest, BlocksOfTwoFilesAreLeft) {
    image_.put_file(21, 0100644, 1000, {{0, XfsImage::fstab_1, 1}});
    const Owner owner = owner_at(byte_of(XfsImage::fstab_1));
    EXPECT_EQ(owner.kind, Owner::Kind::untouchable);
    EXPECT_NE(owner.reason.find("shares it with another"), std::string::npos);
}

TEST_F(XfsFilesTest, AFileThatNoFolderNamesIsLeft) {
    image_.put64(byte_of(XfsImage::etc) + 16 + 2 * 16, 20);  // the entry of fstab
    const Owner owner = owner_at(byte_of(XfsImage::fstab_1));
    EXPECT_EQ(owner.kind, Owner::Kind::untouchable);
    EXPECT_EQ(owner.reason, "it is in a file whose name was not found");
}

TEST_F(XfsFilesTest, ContentHasItsHolesAndItsEnd) {
    image_.write(byte_of(XfsImage::fstab_1), bytes_of("UUID=1"));
    image_.write(byte_of(XfsImage::fstab_2), bytes_of("UUID=2"));
    image_.write(byte_of(XfsImage::fstab_2) + 476, bytes_of("behind"));
    const std::string fstab = content_of("/etc/fstab");
    EXPECT_EQ(fstab.size(), 1500U);
    EXPECT_EQ(fstab.substr(0, 6), "UUID=1");
    EXPECT_EQ(fstab.substr(1024, 6), "UUID=2");
    image_.write(byte_of(XfsImage::pieces), bytes_of("piece"));
    image_.write(byte_of(XfsImage::unwritten), bytes_of("old"));
    const std::string pieces = content_of("/pieces");
    EXPECT_EQ(pieces.size(), 8 * XfsImage::block_size);
    EXPECT_EQ(pieces.find_first_not_of('\0'), 5 * XfsImage::block_size);
    EXPECT_EQ(pieces.find("old"), std::string::npos);
    EXPECT_EQ(content_of("/etc/absent"), "absent is not there");
}

TEST_F(XfsFilesTest, BootArchivesAreFoundInTheRoot) {
    const std::uint64_t name = XfsImage::inode_at(16) + 100 + 6 + 10 + 3;  // "pieces"
    image_.write(name, bytes_of("initrd"));
    const Window window(image_, 0, image_.size());
    const auto paths = (*open_xfs_files(window))->boot_archives();
    ASSERT_TRUE(paths.has_value());
    EXPECT_EQ(*paths, std::vector<std::string>{"/initrd"});
}

TEST_F(XfsFilesTest, TreesThatPointAtThemselvesAreDamage) {
    image_.put32(512 + 28, 2);                          // two levels of free space
    image_.put16(byte_of(XfsImage::free_tree) + 4, 1);  // the root is no leaf
    image_.put32(byte_of(XfsImage::free_tree) + 16 + 84 * 8, XfsImage::free_tree);
    EXPECT_EQ(error(), "a tree of it is damaged: run xfs_repair");
}

TEST_F(XfsFilesTest, WhatIsSharedWithoutEndIsNotFollowed) {
    // A tree of inodes whose nodes name one leaf again and again.
    const std::uint64_t root = byte_of(XfsImage::free);
    image_.put32(1024 + 20, XfsImage::free);
    image_.put32(1024 + 24, 2);
    image_.write(root, bytes_of("IABT"));
    image_.put16(root + 4, 1);
    image_.put16(root + 6, 126);
    for (std::uint64_t i = 0; i < 126; ++i)
        image_.put32(root + 16 + 126 * 4 + i * 4, XfsImage::inode_tree);
    EXPECT_EQ(error(), "it has too much in it to look through");
}

TEST_F(XfsFilesTest, FoldersThatAreInThemselvesEndTheWalk) {
    image_.put64(byte_of(XfsImage::etc) + 16 + 2 * 16, 17);  // fstab names its own folder
    EXPECT_EQ(owner_at(byte_of(XfsImage::fstab_1)).kind, Owner::Kind::untouchable);
}

TEST_F(XfsFilesTest, NumbersThatPointOutsideAreDamage) {
    const std::uint64_t leaf = byte_of(XfsImage::pieces_tree);
    image_.put_extent(leaf + 24, {5, 63, 2});
    EXPECT_EQ(error(), "an extent of it is damaged: run xfs_repair");
    image_.put_extent(leaf + 24, {5, 64, 1});
    EXPECT_EQ(error(), "a block number of it is damaged: run xfs_repair");
    image_.put16(leaf + 6, 63);  // more records than fit
    EXPECT_EQ(error(), "a tree of it is damaged: run xfs_repair");
    image_.write(leaf, bytes_of("BAAP"));
    EXPECT_EQ(error(), "a tree of it is damaged: run xfs_repair");
    image_.write_le(XfsImage::inode_at(18) + 4, 1, 3);  // an inode of version 5
    EXPECT_EQ(error(), "an inode of it is damaged: run xfs_repair");
    image_.write(1024, bytes_of("XAGX"));
    EXPECT_EQ(error(), "the header of inodes of it is damaged: run xfs_repair");
    image_.write(512, bytes_of("XAGX"));
    EXPECT_EQ(error(), "the header of free space of it is damaged: run xfs_repair");
    image_.put16(104, 300);
    EXPECT_EQ(error(), "the superblock of it is damaged: run xfs_repair");
}

}  // namespace
}  // namespace cowtgt::references
