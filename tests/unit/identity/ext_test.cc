#include <gtest/gtest.h>

#include "cow-store/base/checksum.h"
#include "tests/unit/identity/disk_images.h"

namespace cowtgt::identity {
namespace {

constexpr std::uint64_t mib = 1024 * 1024;
constexpr std::uint32_t csum_seed = 0x2000;

std::uint32_t checksum_at(const MemoryImage& image, std::uint64_t superblock) {
    return crc32c_update(crc32c_start, image.bytes(superblock, 0x3fc));
}

TEST(Ext, EveryCopyGetsUuidSeedAndChecksum) {
    MemoryImage image(80 * mib);
    const ExtSpec spec;
    write_ext(image, spec);
    const Recipe recipe = examine_image(image);
    ASSERT_EQ(recipe.structures.size(), 1U);
    EXPECT_EQ(recipe.structures[0].places.size(), 6U);
    const Patching patching = patch_image(recipe, image);
    ASSERT_EQ(patching.patches.size(), 6U);
    image.apply(patching.patches);
    const Finding& finding = patching.findings.at(0);
    EXPECT_EQ(finding.where, "ext4 on the whole disk");
    EXPECT_EQ(finding.kind, "fs-uuid");
    EXPECT_EQ(finding.label, "ROOT");
    EXPECT_EQ(finding.old_value, ext_uuid);
    EXPECT_NE(finding.note.find("metadata_csum_seed"), std::string::npos);
    for (const std::uint32_t group : spec.groups) {
        SCOPED_TRACE(group);
        const std::uint64_t at = ext_superblock_offset(spec, group);
        EXPECT_EQ(image.uuid(at + 0x68), finding.new_value);
        EXPECT_EQ(image.le(at + 0x60, 4), spec.incompat | csum_seed);
        EXPECT_EQ(image.le(at + 0x270, 4), ext_uuid_crc32c);
        EXPECT_EQ(image.le(at + 0x3fc, 4), checksum_at(image, at));
        EXPECT_EQ(image.le(at + 0x5a, 2), group);
    }
}

TEST(Ext, SeedOfTheFirstUuidIsKeptForever) {
    MemoryImage image(80 * mib);
    write_ext(image, {});
    const Recipe recipe = examine_image(image);
    image.apply(patch_image(recipe, image, 1).patches);
    const Patching second = patch_image(recipe, image, 2);
    image.apply(second.patches);
    EXPECT_EQ(image.le(1024 + 0x270, 4), ext_uuid_crc32c);
    EXPECT_EQ(image.uuid(1024 + 0x68), second.findings.at(0).new_value);
    EXPECT_EQ(second.findings.at(0).note, "");
    EXPECT_EQ(examine_image(image).structures.at(0).kept_because, "");
}

TEST(Ext, WithoutChecksumsNoFeatureIsTouched) {
    MemoryImage image(80 * mib);
    write_ext(image, {.ro_compat = 0x1});
    const Patching patching = patch_image(examine_image(image), image);
    image.apply(patching.patches);
    EXPECT_EQ(image.le(1024 + 0x60, 4), 0x42U);
    EXPECT_EQ(image.le(1024 + 0x270, 4), 0U);
    EXPECT_EQ(image.le(1024 + 0x3fc, 4), 0U);
    EXPECT_EQ(image.uuid(1024 + 0x68), patching.findings.at(0).new_value);
}

TEST(Ext, WorkDoesNotGrowWithTheFileSystem) {
    const std::uint64_t gib = 1024 * mib;
    MemoryImage image(16384 * gib);
    ExtSpec spec{
        .log_block_size = 2,
        .blocks_per_group = 32768,
        .blocks_count = 16384 * gib / 4096 - 1,
        .groups = {0,   1,   3,    5,    7,    9,    25,    27,    49,    81,    125,   243,   343,
                   625, 729, 2187, 2401, 3125, 6561, 15625, 16807, 19683, 59049, 78125, 117649}};
    write_ext(image, spec);
    const Recipe recipe = examine_image(image);
    image.bytes_read = 0;
    const Patching patching = patch_image(recipe, image);
    EXPECT_EQ(patching.patches.size(), spec.groups.size());
    EXPECT_LE(image.bytes_read, 26U * 1024);
}

struct Refusal {
    const char* name;
    ExtSpec spec;
    const char* message;
};
// Each one provokes a single rule; the superblocks are sound otherwise.
const Refusal refusals[] = {
    {"dirty_journal", {.incompat = 0x46}, "journal was not replayed"},
    {"not_clean", {.state = 0}, "not unmounted cleanly: run e2fsck -f"},
    {"errors", {.state = 3}, "marked as having errors: run e2fsck -f"},
    {"stable_inodes", {.compat = 0x804}, "feature stable_inodes"},
    {"external_journal", {.journal_inum = 0, .journal_dev = 0x801}, "journal is on another device"},
    {"no_journal_inode", {.journal_inum = 0}, "journal is on another device"},
    {"is_a_journal", {.incompat = 0x8}, "journal of a file system on another device"},
    {"old_revision", {.rev_level = 0}, "old revision"},
    {"checksum_type", {.checksum_type = 2}, "checksums are of an unknown type"},
    {"unknown_compat", {.compat = 0x10004}, "features that this version does not know"},
    {"unknown_incompat", {.incompat = 0x100042}, "features that this version does not know"},
    {"unknown_ro_compat", {.ro_compat = 0x20401}, "features that this version does not know"},
    {"block_size", {.log_block_size = 7}, "impossible block size"},
    {"group_of_nothing", {.blocks_per_group = 0}, "impossible blocks per group"},
    {"group_too_large", {.blocks_per_group = 8200}, "impossible blocks per group"},
    {"no_blocks", {.blocks_count = 1}, "impossible block count"},
    {"too_many_blocks",
     {.blocks_count = 1ULL << 62, .incompat = 0xc2, .desc_size = 64},
     "impossible block count"},
    {"descriptor_size", {.incompat = 0xc2, .desc_size = 48}, "impossible descriptor size"},
    {"backup_group", {.compat = 0x204, .backup_bgs = {1, 10}}, "impossible backup groups"},
    {"cluster_size", {.log_block_size = 2, .ro_compat = 0x601}, "impossible cluster size"},
    {"clusters_per_group",
     {.ro_compat = 0x601, .log_cluster_size = 4},
     "impossible clusters per group"},
    {"larger_than_disk", {.blocks_count = 11 * 8192}, "larger than the space it lies in"},
    {"no_backup", {.groups = {0, 1, 3, 5, 7}}, "group 9 differs from the primary"},
};

class ExtRefusal : public testing::TestWithParam<Refusal> {};

TEST_P(ExtRefusal, KeepsTheIdentityAndSaysWhy) {
    MemoryImage image(80 * mib);
    Recipe recipe;
    ExtSpec sound;
    write_ext(image, sound);
    recipe = examine_image(image);
    MemoryImage bad(80 * mib);
    ExtSpec spec = GetParam().spec;
    if (spec.log_block_size != 0 || spec.blocks_per_group == 0) spec.groups = {0};
    write_ext(bad, spec);
    const Recipe refused = examine_image(bad);
    ASSERT_EQ(refused.structures.size(), 1U);
    EXPECT_NE(refused.structures[0].kept_because.find(GetParam().message), std::string::npos)
        << refused.structures[0].kept_because;
    EXPECT_EQ(refused.structures[0].findings.at(0).kept_because,
              refused.structures[0].kept_because);
    EXPECT_EQ(expect_never_patched(bad, recipe, "ext"), refused.structures[0].kept_because);
}

INSTANTIATE_TEST_SUITE_P(Rules, ExtRefusal, testing::ValuesIn(refusals),
                         [](const auto& one) { return std::string(one.param.name); });

TEST(ExtRefusalOfScale, TooManyCopiesWithoutSparseSuper) {
    MemoryImage image(1025 * 8 * mib + 1024);
    write_ext(image, {.blocks_count = 1025ULL * 8192 + 1, .ro_compat = 0x400, .groups = {0}});
    EXPECT_EQ(examine_image(image).structures.at(0).kept_because,
              "it has 1025 copies of its superblock, more than 1024: switch on sparse_super with "
              "tune2fs and run e2fsck -f on it");
}

TEST(ExtRefusalOfScale, TooManyGroupsWithUninitBg) {
    MemoryImage image(2049 * 8 * mib + 1024);
    ExtSpec spec{.blocks_count = 2049ULL * 8192 + 1, .ro_compat = 0x11};
    spec.groups = {0, 1, 3, 5, 7, 9, 25, 27, 49, 81, 125, 243, 343, 625, 729};
    write_ext(image, spec);
    EXPECT_EQ(examine_image(image).structures.at(0).kept_because,
              "its 2049 block groups have checksums made of the UUID (uninit_bg), more than 2048: "
              "switch on metadata_csum with tune2fs");
}

TEST(ExtDamage, AnyFlippedBitOfAnyCopyIsRefused) {
    MemoryImage image(80 * mib);
    const ExtSpec spec;
    write_ext(image, spec);
    const Recipe recipe = examine_image(image);
    for (const std::uint32_t group : spec.groups) {
        const std::uint64_t at = ext_superblock_offset(spec, group);
        for (std::uint64_t bit = 0; bit < 8 * 1024 && !HasFailure(); ++bit) {
            SCOPED_TRACE(testing::Message() << "group " << group << " bit " << bit);
            image.flip_bit(at + bit / 8, bit % 8);
            expect_never_patched(image, recipe, "ext");
            image.flip_bit(at + bit / 8, bit % 8);
        }
    }
}

TEST(ExtDamage, BackupWithAnotherUuidIsRefusedWithoutChecksumsToo) {
    MemoryImage image(80 * mib);
    const ExtSpec spec{.ro_compat = 0x1};
    write_ext(image, spec);
    const Recipe recipe = examine_image(image);
    for (const std::uint32_t group : {1U, 3U, 5U, 7U, 9U}) {
        const std::uint64_t at = ext_superblock_offset(spec, group);
        for (const std::uint64_t field : {0x04, 0x18, 0x20, 0x38, 0x68, 0x77}) {
            image.flip_bit(at + field, 0);
            EXPECT_EQ(expect_never_patched(image, recipe, "ext"),
                      "the backup superblock in group " + std::to_string(group) +
                          " differs from the primary: run e2fsck -f on it");
            image.flip_bit(at + field, 0);
        }
    }
}

/// ext4 of Linux 2.6 with uninit_bg, and the checksums written by the rule of the documentation.
class ExtUninitBg : public testing::Test {
protected:
    static std::uint16_t crc16(std::uint16_t crc, Bytes bytes) {
        for (const std::byte byte : bytes) {
            crc = static_cast<std::uint16_t>(crc ^ std::to_integer<unsigned>(byte));
            for (int i = 0; i < 8; ++i) {
                crc = static_cast<std::uint16_t>((crc & 1) != 0 ? (crc >> 1) ^ 0xa001 : crc >> 1);
            }
        }
        return crc;
    }

    std::uint16_t checksum(std::uint64_t descriptor, std::uint8_t group) {
        const std::array<std::byte, 4> number = {std::byte{group}};
        std::uint16_t crc = crc16(0xffff, image_.bytes(1024 + 0x68, 16));
        crc = crc16(crc, number);
        return crc16(crc, image_.bytes(descriptor, 0x1e));
    }

    void SetUp() override {
        write_ext(image_, spec_);
        for (const std::uint32_t group : spec_.groups) {
            for (std::uint8_t i = 0; i < 10; ++i) {
                const std::uint64_t at = ext_superblock_offset(spec_, group) + 1024 + i * 32U;
                image_.write_le(at, 4, 0x1234U * (i + 1) + group);
                image_.write_le(at + 0x1e, 2, checksum(at, i));
            }
        }
    }

    MemoryImage image_{80 * mib};
    ExtSpec spec_{.ro_compat = 0x11};
};

TEST_F(ExtUninitBg, ChecksumsOfAllDescriptorsFollowTheUuid) {
    const Recipe recipe = examine_image(image_);
    EXPECT_EQ(recipe.structures.at(0).kept_because, "");
    EXPECT_EQ(recipe.structures.at(0).places.size(), 12U);
    image_.apply(patch_image(recipe, image_).patches);
    for (const std::uint32_t group : spec_.groups) {
        for (std::uint8_t i = 0; i < 10; ++i) {
            const std::uint64_t at = ext_superblock_offset(spec_, group) + 1024 + i * 32U;
            EXPECT_EQ(image_.le(at + 0x1e, 2), checksum(at, i));
            EXPECT_EQ(image_.le(at, 4), 0x1234U * (i + 1) + group);
        }
    }
    EXPECT_EQ(image_.le(1024 + 0x60, 4), spec_.incompat) << "a seed has no meaning here";
}

TEST_F(ExtUninitBg, AnyFlippedBitOfAnyDescriptorIsRefused) {
    const Recipe recipe = examine_image(image_);
    for (const std::uint32_t group : spec_.groups) {
        const std::uint64_t at = ext_superblock_offset(spec_, group) + 1024;
        for (std::uint64_t bit = 0; bit < 10 * 32 * 8 && !HasFailure(); ++bit) {
            SCOPED_TRACE(testing::Message() << "table of group " << group << " bit " << bit);
            image_.flip_bit(at + bit / 8, bit % 8);
            const std::string reason = expect_never_patched(image_, recipe, "ext");
            EXPECT_EQ(reason, "the descriptor of group " + std::to_string(bit / 256) +
                                  " has a wrong checksum: run e2fsck -f on it");
            image_.flip_bit(at + bit / 8, bit % 8);
        }
    }
}

}  // namespace
}  // namespace cowtgt::identity
