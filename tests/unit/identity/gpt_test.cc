#include <gtest/gtest.h>

#include <algorithm>

#include "cow-store/base/checksum.h"
#include "tests/unit/identity/disk_images.h"

namespace cowtgt::identity {
namespace {

constexpr std::uint64_t mib = 1024 * 1024;
constexpr std::uint64_t disk_size = 4 * mib;

GptSpec spec_of(std::uint32_t block_size) {
    GptSpec spec;
    spec.block_size = block_size;
    spec.partitions = {{40, 99, "ESP"}, {0, 0, ""}, {100, 199, "root"}};
    return spec;
}

/// Checks both copies against each other and against their checksums, by the standard's offsets.
void expect_sound(const MemoryImage& image, std::uint64_t block_size) {
    const std::uint64_t last_lba = image.size() / block_size - 1;
    for (const std::uint64_t lba : {std::uint64_t{1}, last_lba}) {
        SCOPED_TRACE(lba);
        const std::uint64_t header = lba * block_size;
        EXPECT_EQ(image.le(header + 24, 8), lba);
        EXPECT_EQ(image.le(header + 32, 8), lba == 1 ? last_lba : 1);
        EXPECT_EQ(image.guid(header + 56), image.guid(block_size + 56));
        std::vector<std::byte> bytes = image.bytes(header, 92);
        std::fill_n(bytes.begin() + 16, 4, std::byte{0});
        EXPECT_EQ(image.le(header + 16, 4), crc32_ieee(bytes));
        const std::uint64_t array = image.le(header + 72, 8) * block_size;
        EXPECT_EQ(image.le(header + 88, 4),
                  crc32_ieee(image.bytes(array, image.le(header + 80, 4) * 128)));
    }
    const std::uint64_t backup_array = image.le(last_lba * block_size + 72, 8);
    EXPECT_EQ(image.le(block_size + 48, 8), image.le(last_lba * block_size + 48, 8));
    EXPECT_LT(image.le(block_size + 48, 8), backup_array);
    EXPECT_EQ(image.bytes(backup_array * block_size, 128 * 128),
              image.bytes(2 * block_size, 128 * 128));
}

class Gpt : public testing::TestWithParam<std::uint32_t> {};
INSTANTIATE_TEST_SUITE_P(BlockSize, Gpt, testing::Values(512U, 4096U),
                         [](const auto& one) { return std::to_string(one.param); });

TEST_P(Gpt, NewGuidsInBothCopiesAndAllElseAsItWas) {
    const std::uint64_t block_size = GetParam();
    MemoryImage image(disk_size);
    write_gpt(image, spec_of(GetParam()));
    const Recipe recipe = examine_image(image);
    EXPECT_EQ(recipe.block_size, block_size);
    const Patching patching = patch_image(recipe, image);
    const std::vector<std::byte> entry_before = image.bytes(2 * block_size + 2 * 128, 128);
    image.apply(patching.patches);
    expect_sound(image, block_size);
    ASSERT_EQ(patching.findings.size(), 3U);
    EXPECT_EQ(patching.findings[0].old_value, "aaaaaaaa-aaaa-aaaa-aaaa-aaaaaaaaaaaa");
    EXPECT_EQ(patching.findings[0].new_value, image.guid(block_size + 56));
    EXPECT_EQ(patching.findings[2].where, "partition 3");
    EXPECT_EQ(patching.findings[2].label, "root");
    EXPECT_EQ(patching.findings[2].old_value, "03030303-0303-0303-0303-030303030303");
    EXPECT_EQ(patching.findings[2].new_value, image.guid(2 * block_size + 2 * 128 + 16));
    std::vector<std::byte> entry = image.bytes(2 * block_size + 2 * 128, 128);
    std::copy_n(entry_before.begin() + 16, 16, entry.begin() + 16);
    EXPECT_EQ(entry, entry_before);
    EXPECT_EQ(image.le(2 * block_size + 128 + 16, 8), 0U) << "an unused entry got a GUID";
}

TEST_P(Gpt, BackupMovesWhenTheDiskIsLarger) {
    const std::uint64_t block_size = GetParam();
    for (const std::uint64_t blocks_more : {1, 2, 5, 40, 100'000}) {
        SCOPED_TRACE(blocks_more);
        MemoryImage image(disk_size);
        write_gpt(image, spec_of(GetParam()));
        IdentityChoice choice = choice_of(1);
        choice.disk_size = disk_size + blocks_more * block_size;
        const Result<Patching> patching = make_patches(examine_image(image), image, choice);
        ASSERT_TRUE(patching.has_value()) << patching.error().message;
        image.resize(choice.disk_size);
        image.apply(patching->patches);
        expect_sound(image, block_size);
        const std::uint64_t last_lba = choice.disk_size / block_size - 1;
        EXPECT_EQ(image.le(446 + 12, 4), last_lba) << "protective MBR";
        EXPECT_EQ(image.le(block_size + 48, 8), last_lba - 128 * 128 / block_size - 1);
        const std::vector<std::byte> old_header = image.bytes(disk_size - block_size, 8);
        EXPECT_FALSE(std::ranges::equal(old_header, bytes_of("EFI PART")));
        EXPECT_EQ(examine_image(image).structures.at(0).kept_because, "");
    }
}

TEST_P(Gpt, LastPartitionGrowsToTheLastWholeMebibyte) {
    const std::uint64_t block_size = GetParam();
    MemoryImage image(disk_size);
    write_gpt(image, spec_of(GetParam()));
    IdentityChoice choice = choice_of(1);
    choice.disk_size = 9 * mib;
    choice.growth = Growth::last_partition;
    const Result<Patching> patching = make_patches(examine_image(image), image, choice);
    ASSERT_TRUE(patching.has_value()) << patching.error().message;
    image.resize(choice.disk_size);
    image.apply(patching->patches);
    expect_sound(image, block_size);
    const std::uint64_t entries = 2 * block_size;
    EXPECT_EQ(image.le(entries + 40, 8), 99U) << "the first partition";
    EXPECT_EQ(image.le(entries + 2 * 128 + 32, 8), 100U);
    EXPECT_EQ(image.le(entries + 2 * 128 + 40, 8), 8 * mib / block_size - 1);
    EXPECT_NE(patching->findings.at(0).note.find("partition 3 ends there"), std::string::npos);
    EXPECT_EQ(examine_image(image).structures.at(0).kept_because, "");
}

TEST_P(Gpt, GuidsThatAreToStayDoSoWhenTheBackupMoves) {
    const std::uint64_t block_size = GetParam();
    MemoryImage image(disk_size);
    write_gpt(image, spec_of(GetParam()));
    const Recipe recipe = examine_image(image);
    IdentityChoice choice = choice_of(1);
    choice.values = Values::as_in_image;
    const Result<Patching> same_size = make_patches(recipe, image, choice);
    ASSERT_TRUE(same_size.has_value());
    EXPECT_TRUE(same_size->patches.empty());
    choice.disk_size = 9 * mib;
    const Result<Patching> larger = make_patches(recipe, image, choice);
    ASSERT_TRUE(larger.has_value());
    image.resize(choice.disk_size);
    image.apply(larger->patches);
    expect_sound(image, block_size);
    EXPECT_EQ(image.guid(block_size + 56), "aaaaaaaa-aaaa-aaaa-aaaa-aaaaaaaaaaaa");
    EXPECT_EQ(image.guid(2 * block_size + 2 * 128 + 16), "03030303-0303-0303-0303-030303030303");
    for (const Finding& finding : larger->findings) {
        EXPECT_EQ(finding.new_value, "");
        EXPECT_EQ(finding.kept_because, "it was asked to stay as it is");
    }
}

TEST(GptProtectiveMbr, SaysAllOnesAboveTwoTebibytes) {
    MemoryImage image(disk_size);
    write_gpt(image, spec_of(512));
    IdentityChoice choice = choice_of(1);
    choice.disk_size = 3ULL << 40;
    const Result<Patching> patching = make_patches(examine_image(image), image, choice);
    ASSERT_TRUE(patching.has_value());
    image.resize(choice.disk_size);
    image.apply(patching->patches);
    EXPECT_EQ(image.le(446 + 12, 4), 0xffffffffU);
    expect_sound(image, 512);
}

TEST(GptProtectiveMbr, HybridIsLeftAsItsOwnerMadeIt) {
    MemoryImage image(disk_size);
    write_gpt(image, spec_of(512));
    image.write_le(446 + 16 + 4, 1, 0x83);
    image.write_le(446 + 16 + 8, 4, 100);
    image.write_le(446 + 16 + 12, 4, 100);
    const std::vector<std::byte> before = image.bytes(0, 512);
    IdentityChoice choice = choice_of(1);
    choice.disk_size = 2 * disk_size;
    const Result<Patching> patching = make_patches(examine_image(image), image, choice);
    ASSERT_TRUE(patching.has_value());
    EXPECT_FALSE(patching->patches.empty());
    image.resize(choice.disk_size);
    image.apply(patching->patches);
    EXPECT_EQ(image.bytes(0, 512), before);
}

TEST(GptDamage, AnyFlippedBitOfAnyCopyIsRefused) {
    MemoryImage image(disk_size);
    GptSpec spec = spec_of(512);
    spec.entry_count = 4;
    write_gpt(image, spec);
    const Recipe recipe = examine_image(image);
    const std::uint64_t backup = disk_size - 512;
    for (const auto& [offset, length] :
         {std::pair{std::uint64_t{512}, 92U}, {1024, 512U}, {backup, 92U}, {backup - 512, 512U}}) {
        for (std::uint64_t bit = 0; bit < 8 * length && !HasFailure(); ++bit) {
            SCOPED_TRACE(testing::Message() << "byte " << offset << " bit " << bit);
            image.flip_bit(offset + bit / 8, bit % 8);
            expect_never_patched(image, recipe, "gpt");
            image.flip_bit(offset + bit / 8, bit % 8);
        }
    }
}

/// Sound checksums, but a rule is broken.
class GptRefusal : public testing::Test {
protected:
    void SetUp() override {
        write_gpt(image_, spec_of(512));
        recipe_ = examine_image(image_);
        ASSERT_EQ(recipe_.structures.at(0).kept_because, "");
    }

    void expect_kept(std::string_view message) {
        const Recipe now = examine_image(image_);
        ASSERT_FALSE(now.structures.empty());
        EXPECT_EQ(now.structures[0].where, "gpt");
        EXPECT_NE(now.structures[0].kept_because.find(message), std::string::npos)
            << now.structures[0].kept_because;
        expect_never_patched(image_, recipe_, "gpt");
    }

    void change_both(std::uint64_t offset_in_header, unsigned width, std::uint64_t value) {
        for (const std::uint64_t lba : {std::uint64_t{1}, last_lba_}) {
            image_.write_le(lba * 512 + offset_in_header, width, value);
            seal_gpt(image_, 512, lba);
        }
    }

    MemoryImage image_{disk_size};
    Recipe recipe_;
    const std::uint64_t last_lba_ = disk_size / 512 - 1;
    const std::uint64_t backup_ = last_lba_ * 512;
};

TEST_F(GptRefusal, CopiesThatDiffer) {
    image_.flip_bit(backup_ - 32 * 512 + 2 * 128 + 16, 0);
    seal_gpt(image_, 512, last_lba_);
    expect_kept("the primary and the backup GPT differ: repair them with sgdisk or gdisk");
}

TEST_F(GptRefusal, ImageCutOff) {
    image_.resize(disk_size - 512);
    const Recipe now = examine_image(image_);
    EXPECT_NE(now.structures.at(0).kept_because.find("past the end of the image (cut off?)"),
              std::string::npos);
}

TEST_F(GptRefusal, BackupGone) {
    image_.write(backup_, std::vector<std::byte>(512));
    expect_kept("the backup GPT is damaged (no signature): repair it with sgdisk or gdisk");
}

TEST_F(GptRefusal, PrimaryGoneButBackupThere) {
    image_.write(512, std::vector<std::byte>(512));
    expect_kept("the primary GPT is damaged (no signature)");
}

TEST_F(GptRefusal, NoProtectiveMbr) {
    image_.write(0, std::vector<std::byte>(512));
    const Recipe now = examine_image(image_);
    EXPECT_NE(now.structures.at(0).kept_because.find("no protective MBR"), std::string::npos);
}

TEST_F(GptRefusal, UnknownRevision) {
    change_both(8, 4, 0x20000);
    expect_kept("unknown revision");
}

TEST_F(GptRefusal, EntriesOfUnsupportedSize) {
    change_both(84, 4, 192);
    expect_kept("array of a size that is not supported");
}

TEST_F(GptRefusal, MoreEntriesThanTheLimit) {
    change_both(80, 4, 1025);
    expect_kept("array of a size that is not supported");
}

TEST_F(GptRefusal, UsableBlocksAmongTheEntries) {
    change_both(40, 8, 10);
    expect_kept("impossible usable blocks");
}

TEST_F(GptRefusal, LastUsableBlockPastTheDisk) {
    change_both(48, 8, 1'000'000);
    expect_kept("impossible usable blocks");
}

TEST_F(GptRefusal, OverlappingPartitions) {
    for (const std::uint64_t array : {std::uint64_t{1024}, backup_ - 32 * 512}) {
        image_.write_le(array + 2 * 128 + 32, 8, 99);
    }
    change_both(0, 1, 'E');
    expect_kept("partition 3 overlaps another");
}

TEST_F(GptRefusal, BackupEntriesAmongThePartitions) {
    const std::vector<std::byte> array = image_.bytes(1024, 128 * 128);
    image_.write(300 * 512, array);
    image_.write_le(backup_ + 72, 8, 300);
    seal_gpt(image_, 512, last_lba_);
    expect_kept("its entries lie among the partitions");
}

TEST(GptRecipe, OfAnotherImageChangesNothing) {
    MemoryImage image(disk_size);
    write_gpt(image, spec_of(512));
    GptSpec spec = spec_of(512);
    spec.entry_count = 64;
    MemoryImage other(disk_size);
    write_gpt(other, spec);
    const Patching patching = patch_image(examine_image(other), image);
    EXPECT_TRUE(patching.patches.empty());
    EXPECT_EQ(patching.findings.at(0).kept_because,
              "gpt is not where it was when the template was imported: import the image again");
}

}  // namespace
}  // namespace cowtgt::identity
