#include <gtest/gtest.h>

#include <algorithm>

#include "tests/unit/identity/disk_images.h"

namespace cowtgt::identity {
namespace {

constexpr std::uint64_t mib = 1024 * 1024;

/// GPT with two ext4 of the label ROOT in partitions 1 and 2, and F2FS in partition 3.
class Disk : public testing::Test {
protected:
    void SetUp() override {
        const std::uint64_t blocks = 90 * mib / 512;
        write_gpt(image_, {.partitions = {{2048, 2047 + blocks, "first"},
                                          {2048 + blocks, 2047 + 2 * blocks, "second"},
                                          {2048 + 2 * blocks, 4095 + 2 * blocks, "third"}}});
        write_ext(image_, {.begin = 1 * mib});
        write_ext(image_, {.begin = 91 * mib});
        image_.write(181 * mib + 1024, bytes_of("\x10\x20\xf5\xf2"));
        recipe_ = examine_image(image_);
        ASSERT_EQ(recipe_.structures.size(), 4U);
    }

    Error error_of(const IdentityChoice& choice) {
        const Result<Patching> patching = make_patches(recipe_, image_, choice);
        EXPECT_FALSE(patching.has_value());
        return patching ? Error{} : patching.error();
    }

    MemoryImage image_{200 * mib};
    Recipe recipe_;
};

TEST_F(Disk, AllValuesAreNewAndDistinct) {
    const Patching patching = patch_image(recipe_, image_);
    std::vector<std::string> values;
    for (const Finding& finding : patching.findings) {
        if (finding.kind == "fs-uuid" && finding.where == "F2FS on partition 3") {
            EXPECT_EQ(finding.kept_because, "F2FS is not supported yet");
            continue;
        }
        EXPECT_EQ(finding.kept_because, "");
        EXPECT_EQ(finding.new_value.at(14), '4') << "a random UUID, RFC 4122 section 4.4";
        values.push_back(finding.new_value);
    }
    EXPECT_EQ(values.size(), 6U);
    std::ranges::sort(values);
    EXPECT_EQ(std::ranges::adjacent_find(values), values.end());
    EXPECT_EQ(findings_of(recipe_).size(), patching.findings.size());
}

TEST_F(Disk, SameSeedSamePatchesOtherSeedOthers) {
    EXPECT_EQ(patch_image(recipe_, image_, 1).patches, patch_image(recipe_, image_, 1).patches);
    const Patching one = patch_image(recipe_, image_, 1);
    const Patching two = patch_image(recipe_, image_, 2);
    for (std::size_t i = 0; i < 6; ++i) {
        EXPECT_NE(one.findings[i].new_value, two.findings[i].new_value);
    }
}

TEST_F(Disk, PatchesAreSortedDisjointAndInside) {
    IdentityChoice choice = choice_of(1);
    choice.disk_size = 300 * mib;
    const Result<Patching> patching = make_patches(recipe_, image_, choice);
    ASSERT_TRUE(patching.has_value());
    std::uint64_t free_from = 0;
    for (const Patch& patch : patching->patches) {
        EXPECT_GE(patch.offset, free_from);
        EXPECT_FALSE(patch.bytes.empty());
        free_from = patch.offset + patch.bytes.size();
    }
    EXPECT_EQ(free_from, 300 * mib - 512 + 92);
}

TEST_F(Disk, OverrideByPlace) {
    IdentityChoice choice = choice_of(1);
    choice.labels = {{"ext4 on partition 2", "0123456789abcdef"}};
    choice.uuids = {{"ext4 on partition 1", "00000000-1111-4222-8333-444444444444"}};
    const Result<Patching> patching = make_patches(recipe_, image_, choice);
    ASSERT_TRUE(patching.has_value()) << patching.error().message;
    image_.apply(patching->patches);
    EXPECT_EQ(image_.uuid(1 * mib + 1024 + 0x68), "00000000-1111-4222-8333-444444444444");
    EXPECT_EQ(text_of(image_.bytes(91 * mib + 1024 + 0x78, 16)), "0123456789abcdef");
    EXPECT_EQ(text_of(image_.bytes(1 * mib + 1024 + 0x78, 4)), "ROOT");
    const Recipe again = examine_image(image_);
    EXPECT_EQ(again.structures.at(2).findings.at(0).label, "0123456789abcdef");
    EXPECT_EQ(again.structures.at(2).kept_because, "");
}

TEST_F(Disk, OverridesThatCannotBe) {
    struct Row {
        Override label;
        Override uuid;
        ErrorCode code;
        const char* message;
    };
    const Row rows[] = {
        {{"ROOT", "x"}, {}, ErrorCode::usage, "\"ROOT\" names more than one file system"},
        {{"HOME", "x"}, {}, ErrorCode::not_found, "there is no file system \"HOME\""},
        {{"ext4 on partition 1", "0123456789abcdefg"}, {}, ErrorCode::usage, "has 17 bytes"},
        {{"F2FS on partition 3", "x"},
         {},
         ErrorCode::refused,
         "F2FS on partition 3 cannot be changed"},
        {{}, {"ext4 on partition 1", "12345"}, ErrorCode::usage, "\"12345\" is not a UUID"},
    };
    for (const Row& row : rows) {
        SCOPED_TRACE(row.message);
        IdentityChoice choice = choice_of(1);
        if (!row.label.target.empty()) choice.labels = {row.label};
        if (!row.uuid.target.empty()) choice.uuids = {row.uuid};
        const Error error = error_of(choice);
        EXPECT_EQ(error.code, row.code);
        EXPECT_NE(error.message.find(row.message), std::string::npos) << error.message;
    }
}

TEST_F(Disk, SmallerDiskIsAnError) {
    IdentityChoice choice = choice_of(1);
    choice.disk_size = image_.size() - 512;
    EXPECT_EQ(error_of(choice).code, ErrorCode::usage);
}

TEST_F(Disk, ReadErrorIsAnErrorEverywhere) {
    for (const std::uint64_t offset :
         {std::uint64_t{0}, std::uint64_t{512}, std::uint64_t{1024}, 200 * mib - 500,
          1 * mib + 1024, 1 * mib + 8 * mib + 1024, 181 * mib}) {
        SCOPED_TRACE(offset);
        MemoryImage broken = image_;
        broken.fail_at(offset);
        const Result<Recipe> recipe = examine(broken);
        ASSERT_FALSE(recipe.has_value());
        EXPECT_EQ(recipe.error().code, ErrorCode::io);
        if (offset == 181 * mib || offset == 0) continue;  // not read again
        const Result<Patching> patching = make_patches(recipe_, broken, choice_of(1));
        ASSERT_FALSE(patching.has_value());
        EXPECT_EQ(patching.error().code, ErrorCode::io);
    }
}

TEST_F(Disk, DamagedRecipeNeverMakesPatches) {
    for (std::size_t i = 0; i < 3; ++i) {
        const auto expect_kept = [&](const char* what, auto change) {
            SCOPED_TRACE(what);
            Recipe bad = recipe_;
            bad.structures = {recipe_.structures[i]};
            change(bad.structures[0]);
            const Patching patching = patch_image(bad, image_);
            EXPECT_TRUE(patching.patches.empty());
            EXPECT_NE(patching.findings.at(0).kept_because, "");
        };
        expect_kept("begin", [](Structure& one) { one.begin += 512; });
        expect_kept("far away", [](Structure& one) { one.begin = ~std::uint64_t{0}; });
        expect_kept("length", [](Structure& one) { one.length = 2000; });
        expect_kept("place", [](Structure& one) { one.places.back().offset += 1024; });
        expect_kept("no places", [](Structure& one) { one.places.clear(); });
        expect_kept("format", [](Structure& one) { one.format = "zfs"; });
    }
    Recipe twice = recipe_;
    twice.structures.push_back(twice.structures[1]);
    EXPECT_FALSE(make_patches(twice, image_, choice_of(1)).has_value());
    Recipe newer = recipe_;
    newer.version = recipe_version + 1;
    EXPECT_EQ(make_patches(newer, image_, choice_of(1)).error().code, ErrorCode::unsupported);
    Recipe blocks = recipe_;
    blocks.block_size = 0;
    EXPECT_EQ(make_patches(blocks, image_, choice_of(1)).error().code, ErrorCode::corrupt);
}

TEST(Examine, TinyAndEmptyImagesHaveNoIdentity) {
    for (const std::uint64_t size : {0, 1, 511, 512, 1024, 1536, 2048, 4096, 8192}) {
        EXPECT_TRUE(examine_image(MemoryImage(size)).structures.empty()) << size;
    }
}

TEST(Examine, NamesWhatItCannotPatch) {
    struct Row {
        std::uint64_t offset;
        std::string_view magic;
        const char* where;
    };
    const Row rows[] = {
        {0, "XFSB", "XFS on the whole disk"},
        {0x10040, "_BHRfS_M", "Btrfs on the whole disk"},
        {4086, "SWAPSPACE2", "swap on the whole disk"},
        {4086, "S1SUSPEND", "swap on the whole disk"},
        {4096, "\xfc\x4e\x2b\xa9", "MD RAID on the whole disk"},
        {mib - 8192, "\xfc\x4e\x2b\xa9", "MD RAID on the whole disk"},
        {1024, "\x10\x20\xf5\xf2", "F2FS on the whole disk"},
        {512, "LABELONE................LVM2 001", "LVM2 on the whole disk"},
        {0, "LUKS\xba\xbe", "LUKS on the whole disk"},
        {0x52, "FAT32   ", "FAT on the whole disk"},
        {0x36, "FAT16   ", "FAT on the whole disk"},
        {3, "NTFS    ", "NTFS on the whole disk"},
        {3, "EXFAT   ", "exFAT on the whole disk"},
    };
    for (const Row& row : rows) {
        MemoryImage image(mib);
        image.write(row.offset, bytes_of(row.magic));
        const Recipe recipe = examine_image(image);
        ASSERT_EQ(recipe.structures.size(), 1U) << row.where;
        EXPECT_EQ(recipe.structures[0].where, row.where);
        EXPECT_NE(recipe.structures[0].kept_because, "");
        EXPECT_TRUE(patch_image(recipe, image).patches.empty());
    }
}

}  // namespace
}  // namespace cowtgt::identity
