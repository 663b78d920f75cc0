#include <gtest/gtest.h>

#include <algorithm>
#include <optional>
#include <string>
#include <vector>

#include "tests/unit/identity/matrix_disk.h"

/// What must not be patched, made by the formats' own tools: every refusal says why and how to mend
/// it, and no damage of a structure that has a checksum or a second copy goes unnoticed.
namespace cowtgt::identity {
namespace {

namespace fs = std::filesystem;

constexpr std::uint64_t mib = 1024 * 1024;

std::string on_device(const std::string& command, const fs::path& image) {
    const LoopDevice device(image, 0, FileImage(image).size(), 512);
    const ToolResult result = run_tool("DEV=" + device.path() + "; " + command);
    EXPECT_EQ(result.exit_code, 0) << result.output;
    return result.output;
}

class RealVolume : public testing::Test {
protected:
    fs::path make(std::uint64_t size, const std::string& command) {
        const fs::path image = folder_.file("image");
        make_sparse_file(image, size);
        on_device(command, image);
        return image;
    }

    /// The image of before: its recipe must not lead to a patch of what became of it.
    void expect_kept(const fs::path& image, const std::string& reason) {
        const Recipe recipe = examine_file(image);
        ASSERT_EQ(recipe.structures.size(), 1U);
        EXPECT_NE(recipe.structures[0].kept_because.find(reason), std::string::npos)
            << recipe.structures[0].kept_because;
        EXPECT_TRUE(recipe.structures[0].places.empty());
        const auto patching = make_patches(recipe, FileImage(image), choice_of(1));
        ASSERT_TRUE(patching.has_value());
        EXPECT_TRUE(patching->patches.empty());
    }

    TemporaryFolder folder_;
};

TEST_F(RealVolume, XfsThatWasMountedSinceItsRecipeIsKept) {
    const fs::path image = make(320 * mib, "mkfs.xfs -q $DEV");
    const Recipe clean = examine_file(image);
    ASSERT_EQ(clean.structures.at(0).kept_because, "");
    {
        const LoopDevice device(image, 0, 320 * mib, 512);
        const Mount mount(device.path(), folder_.file("mount"));
        ASSERT_TRUE(mount.mounted()) << mount.error();
        const ToolResult crashed =
            run_tool("touch " + folder_.file("mount/file").string() +
                     " && xfs_io -x -c 'shutdown -f' " + folder_.file("mount").string());
        ASSERT_EQ(crashed.exit_code, 0) << crashed.output;
    }
    const auto patching = make_patches(clean, FileImage(image), choice_of(1));
    ASSERT_TRUE(patching.has_value());
    EXPECT_TRUE(patching->patches.empty());
    EXPECT_NE(patching->findings.at(0).kept_because, "");
    EXPECT_EQ(examine_file(image).structures.at(0).kept_because, "");  // its log can be patched
}

TEST_F(RealVolume, XfsWithAnotherDeviceIsKept) {
    const fs::path other = folder_.file("other");
    make_sparse_file(other, 80 * mib);
    const LoopDevice second(other, 0, 80 * mib, 512);
    expect_kept(make(320 * mib, "mkfs.xfs -q -l logdev=" + second.path() + " $DEV"),
                "its log is on another device");
    expect_kept(make(320 * mib, "mkfs.xfs -q -f -r rtdev=" + second.path() + " $DEV"),
                "it has a realtime device");
}

TEST_F(RealVolume, XfsWithUnknownFeaturesIsKept) {
    const fs::path image = make(320 * mib, "mkfs.xfs -q $DEV");
    ASSERT_EQ(
        run_tool("xfs_db -x -c 'sb 0' -c 'write -d features_incompat 0x80000003' " + image.string())
            .exit_code,
        0);
    expect_kept(image, "features that this version does not know");
}

TEST_F(RealVolume, BtrfsOfSeveralDevicesOrASeedIsKept) {
    const fs::path other = folder_.file("other");
    make_sparse_file(other, 160 * mib);
    const LoopDevice second(other, 0, 160 * mib, 512);
    expect_kept(make(160 * mib, "mkfs.btrfs -q $DEV " + second.path()),
                "it lies on several devices");
    expect_kept(make(160 * mib, "mkfs.btrfs -q -f $DEV && btrfstune -S 1 $DEV"), "it is a seed");
}

TEST_F(RealVolume, SwapOfAHibernatedMachineIsKept) {
    const fs::path image = make(16 * mib, "mkswap -q $DEV");
    write_file(image, 4086, bytes_of("S1SUSPEND"));
    expect_kept(image, "memory of a hibernated machine");
}

TEST_F(RealVolume, Lvm2OfSeveralDisksOrWithoutAGroupIsKept) {
    const fs::path other = folder_.file("other");
    make_sparse_file(other, 64 * mib);
    const LoopDevice second(other, 0, 64 * mib, 512);
    const std::string both = " --devices $DEV," + second.path() + " ";
    expect_kept(
        make(64 * mib, "pvcreate -q" + both + "$DEV " + second.path() +
                           " >/dev/null && vgcreate -q" + both + "two-disks $DEV " + second.path()),
        "several physical volumes");
    expect_kept(make(64 * mib, "pvcreate -q --devices $DEV $DEV"), "no volume group");
}

/// The image with one bit of it changed.
class Flipped : public BlockSource {
public:
    Flipped(const BlockSource& image, std::uint64_t offset, unsigned bit)
        : image_(image), offset_(offset), bit_(bit) {}

    Result<void> read(std::uint64_t offset, MutableBytes into) const override {
        Result<void> done = image_.read(offset, into);
        if (offset_ >= offset && offset_ - offset < into.size()) {
            into[offset_ - offset] ^= std::byte{1} << bit_;
        }
        return done;
    }
    std::uint64_t size() const override { return image_.size(); }

private:
    const BlockSource& image_;
    std::uint64_t offset_;
    unsigned bit_;
};

struct DamageCase {
    const char* name;
    const char* make;
    std::uint64_t size;
    std::uint64_t stride;  ///< bytes between two flipped bits
};

const DamageCase damage_cases[] = {
    {"xfs", "mkfs.xfs -q $DEV", 320 * mib, 1},
    {"btrfs_crc32c", "mkfs.btrfs -q $DEV", 160 * mib, 1},
    {"btrfs_xxhash", "mkfs.btrfs -q --csum xxhash $DEV", 160 * mib, 3},
    {"btrfs_sha256", "mkfs.btrfs -q --csum sha256 $DEV", 160 * mib, 5},
    {"btrfs_blake2", "mkfs.btrfs -q --csum blake2 $DEV", 160 * mib, 5},
    {"luks2",
     "printf secret | cryptsetup luksFormat -q --type luks2 --pbkdf pbkdf2 "
     "--pbkdf-force-iterations 1000 $DEV -",
     32 * mib, 37},
    {"lvm2",
     "pvcreate -q --devices $DEV $DEV >/dev/null && vgcreate -q --devices $DEV cowtgt-flip $DEV",
     64 * mib, 1},
};

class Damage : public testing::TestWithParam<DamageCase> {
protected:
    /// Without the parts that nothing covers: none here, but for the log record of a fresh XFS.
    fs::path make_image() {
        const fs::path image = folder_.file("image");
        make_sparse_file(image, GetParam().size);
        on_device(GetParam().make, image);
        if (std::string_view(GetParam().name) == "xfs") {
            const LoopDevice device(image, 0, GetParam().size, 512);
            const Mount mount(device.path(), folder_.file("mount"));
            EXPECT_TRUE(mount.mounted()) << mount.error();
        }
        return image;
    }

    TemporaryFolder folder_;
};

TEST_P(Damage, NoFlippedBitIsPatchedOver) {
    const fs::path path = make_image();
    const FileImage image(path);
    const Recipe recipe = examine_file(path);
    ASSERT_EQ(recipe.structures.size(), 1U);
    ASSERT_EQ(recipe.structures[0].kept_because, "");
    for (const Place& place : recipe.structures[0].places) {
        for (std::uint64_t i = 0; i < place.length; i += GetParam().stride) {
            const auto bit = static_cast<unsigned>(i % 8);
            const Flipped damaged(image, place.offset + i, bit);
            const auto patching = make_patches(recipe, damaged, choice_of(1));
            ASSERT_TRUE(patching.has_value());
            ASSERT_TRUE(patching->patches.empty())
                << place.role << " " << place.number << ", byte " << i << ", bit " << bit;
            ASSERT_NE(patching->findings.at(0).kept_because, "");
        }
    }
}

INSTANTIATE_TEST_SUITE_P(Checksums, Damage, testing::ValuesIn(damage_cases),
                         [](const auto& one) { return std::string(one.param.name); });

/// Formats without checksums: the second copy is the only proof.
TEST_F(RealVolume, CopiesThatDifferAreKept) {
    struct Row {
        const char* make;
        std::uint64_t size;
        std::uint64_t damaged_byte;  ///< of the second copy
        const char* reason;
    };
    const Row rows[] = {
        {"mkfs.fat -F 32 -s 1 $DEV >/dev/null", 64 * mib, 6 * 512 + 67, "the backup of it differ"},
        {"mkfs.exfat $DEV >/dev/null", 64 * mib, 12 * 512 + 100, "checksum of the backup"},
        {"mkntfs -F -q -f $DEV 2>/dev/null", 64 * mib, 64 * mib - 512 + 0x48, "the copy of it"},
        {"mkfs.xfs -q -f -m crc=0 $DEV", 320 * mib, 80 * mib + 32, "differs from the primary"},
    };
    for (const Row& row : rows) {
        SCOPED_TRACE(row.make);
        const fs::path image = make(row.size, row.make);
        ASSERT_EQ(examine_file(image).structures.at(0).kept_because, "");
        flip_bit(image, row.damaged_byte, 0);
        expect_kept(image, row.reason);
    }
}

TEST_F(RealVolume, LabelsAndValuesAreWhatWasAskedFor) {
    struct Row {
        const char* make;
        std::uint64_t size;
        const char* check;
        const char* label;
        const char* uuid;
    };
    constexpr const char* uuid = "0f0e0d0c-0b0a-4908-8706-050403020100";
    const Row rows[] = {
        {"mkfs.xfs -q -L OLD $DEV", 320 * mib, "xfs_repair -n $DEV", "web01-root", uuid},
        {"mkfs.btrfs -q -f -L OLD $DEV", 160 * mib, "btrfs check $DEV", "web01-root", uuid},
        {"mkswap -q -L OLD $DEV", 16 * mib, "true", "web01-swap", uuid},
        {"mkfs.fat -F 12 -n OLD $DEV", 8 * mib, "fsck.fat -n $DEV", "WEB01", "1234-ABCD"},
        {"mkfs.fat -F 32 -s 1 -n OLD $DEV", 64 * mib, "fsck.fat -n $DEV", "WEB01", "1234-ABCD"},
        {"mkfs.fat -F 32 -s 1 $DEV", 64 * mib, "fsck.fat -n $DEV", "WEB01", "1234-ABCD"},
        {"mkfs.exfat -L OLD $DEV", 64 * mib, "fsck.exfat -n $DEV", "web01", "1234-ABCD"},
        {"mkfs.exfat $DEV", 64 * mib, "fsck.exfat -n $DEV", "web01", "1234-ABCD"},
    };
    for (const Row& row : rows) {
        SCOPED_TRACE(row.make);
        const fs::path image = make(row.size, row.make);
        const Recipe recipe = examine_file(image);
        IdentityChoice choice = choice_of(1);
        choice.labels = {{recipe.structures.at(0).where, row.label}};
        choice.uuids = {{recipe.structures.at(0).where, row.uuid}};
        const fs::path clone = folder_.file("clone");
        clone_image(image, clone, recipe, choice);
        EXPECT_EQ(blkid(clone, "LABEL"), row.label);
        EXPECT_EQ(blkid(clone, "UUID"), row.uuid);
        on_device(row.check, clone);
    }
}

TEST_F(RealVolume, FirstUuidOfBtrfsNeedsNoFeature) {
    const fs::path image = make(160 * mib, "mkfs.btrfs -q -f -L R $DEV");
    const std::string first = blkid(image, "UUID");
    const fs::path clone = folder_.file("clone");
    clone_image(image, clone, examine_file(image), choice_of(1));
    IdentityChoice back = choice_of(2);
    back.uuids = {{"R", first}};
    const fs::path again = folder_.file("again");
    clone_image(clone, again, examine_file(clone), back);
    on_device("btrfs check $DEV", again);
    EXPECT_EQ(run_tool("btrfs inspect-internal dump-super " + again.string())
                  .output.find("METADATA_UUID"),
              std::string::npos);
}

}  // namespace
}  // namespace cowtgt::identity
