#include <gtest/gtest.h>

#include <optional>
#include <string>
#include <vector>

#include "cow-store/identity/fat_layout.h"
#include "cow-store/references/files.h"
#include "tests/unit/identity/memory_image.h"

namespace cowtgt::references {
namespace {

namespace fat = identity::fat;
using identity::MemoryImage;
using identity::Window;

constexpr std::uint64_t sector = 512;
constexpr std::uint64_t cluster_count = 5000;  // so it is FAT16
constexpr std::uint64_t fat_sectors = 20;
constexpr std::uint64_t root_begin = (1 + fat_sectors) * sector;
constexpr std::uint64_t data_begin = root_begin + sector;
constexpr std::uint64_t last_cluster = 0xffff;

/// FAT16 with clusters of one sector, written at the offsets of the overview.
class FatFilesTest : public testing::Test {
protected:
    FatFilesTest() : image_(data_begin + cluster_count * sector) {
        image_.write_le(11, 2, sector);
        image_.write_le(13, 1, 1);   // sectors of a cluster
        image_.write_le(14, 2, 1);   // reserved sectors
        image_.write_le(16, 1, 1);   // tables
        image_.write_le(17, 2, 16);  // entries of the root
        image_.write_le(19, 2, data_begin / sector + cluster_count);
        image_.write_le(22, 2, fat_sectors);
        image_.write_le(38, 1, 0x29);
        image_.write(54, bytes_of("FAT16   "));
        image_.write_le(510, 2, 0xaa55);
    }

    static std::uint64_t place_of(std::uint64_t cluster) {
        return data_begin + (cluster - 2) * sector;
    }
    void follows(std::uint64_t cluster, std::uint64_t next) {
        image_.write_le(sector + 2 * cluster, 2, next);
    }
    void entry(std::uint64_t at, std::string_view name, std::uint8_t attributes,
               std::uint64_t first, std::uint64_t size) {
        image_.write(at, bytes_of(name));
        image_.write_le(at + 11, 1, attributes);
        image_.write_le(at + 26, 2, first);
        image_.write_le(at + 28, 4, size);
    }
    /// The path of what owns a byte of the cluster; the message of the error if there is one.
    std::string owner_of(std::uint64_t cluster) {
        const Window window(image_, 0, image_.size());
        auto files = open_fat_files(window);
        if (!files) return files.error().message;
        const auto owners = (*files)->owners_of({place_of(cluster)});
        return owners ? owners->front().path : owners.error().message;
    }

    MemoryImage image_;
};

TEST_F(FatFilesTest, AFileOwnsItsClustersWhereverTheyLie) {
    entry(root_begin, "DIR        ", fat::attribute_directory, 2, 0);
    follows(2, last_cluster);
    entry(place_of(2), "ONE     TXT", 0, 3, 2 * sector);
    entry(place_of(2) + 32, "TWO     TXT", 0, 4, sector);
    follows(3, 5);
    follows(5, last_cluster);
    follows(4, last_cluster);
    EXPECT_EQ(owner_of(3), "/DIR/ONE.TXT");
    EXPECT_EQ(owner_of(4), "/DIR/TWO.TXT");
    EXPECT_EQ(owner_of(5), "/DIR/ONE.TXT");
    EXPECT_EQ(owner_of(6), "");
}

TEST_F(FatFilesTest, AFolderThatIsInItselfEndsTheWalk) {
    entry(root_begin, "DIR        ", fat::attribute_directory, 2, 0);
    entry(place_of(2), "DIR        ", fat::attribute_directory, 2, 0);
    follows(2, last_cluster);
    EXPECT_EQ(owner_of(2), "its folders are nested too deep: run fsck.fat on it");
}

TEST_F(FatFilesTest, FilesThatShareTheirClustersAreNotFollowedOneByOne) {
    for (std::uint64_t cluster = 2; cluster < 3000; ++cluster)
        follows(cluster, cluster + 1);
    follows(3000, last_cluster);
    entry(root_begin, "ONE        ", 0, 2, 3000 * sector);
    entry(root_begin + 32, "TWO        ", 0, 2, 3000 * sector);
    EXPECT_EQ(owner_of(2), "files of it share clusters: run fsck.fat on it");
}

TEST_F(FatFilesTest, AChainThatEndsInItselfIsDamage) {
    entry(root_begin, "ONE        ", 0, 2, 3 * sector);
    follows(2, 3);
    follows(3, 2);
    EXPECT_EQ(owner_of(2), "a chain of clusters is damaged: run fsck.fat on it");
}

}  // namespace
}  // namespace cowtgt::references
