#include "tests/unit/identity/disk_images.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>

#include "cow-store/base/checksum.h"

namespace cowtgt::identity {

void seal_gpt(MemoryImage& image, std::uint32_t block_size, std::uint64_t lba) {
    const std::uint64_t header = lba * block_size;
    const std::uint64_t array = image.le(header + 72, 8) * block_size;
    const std::uint64_t length = image.le(header + 80, 4) * image.le(header + 84, 4);
    if (array + length <= image.size()) {
        image.write_le(header + 88, 4, crc32_ieee(image.bytes(array, length)));
    }
    image.write_le(header + 16, 4, 0);
    image.write_le(header + 16, 4, crc32_ieee(image.bytes(header, image.le(header + 12, 4))));
}

namespace {

void write_gpt_copy(MemoryImage& image, const GptSpec& spec, std::uint64_t my_lba,
                    std::uint64_t alternate_lba, std::uint64_t entry_lba) {
    const std::uint64_t array_blocks =
        (spec.entry_count * 128 + spec.block_size - 1) / spec.block_size;
    const std::uint64_t header = my_lba * spec.block_size;
    image.write(header, bytes_of("EFI PART"));
    image.write_le(header + 8, 4, 0x10000);
    image.write_le(header + 12, 4, 92);
    image.write_le(header + 24, 8, my_lba);
    image.write_le(header + 32, 8, alternate_lba);
    image.write_le(header + 40, 8, 2 + array_blocks);
    image.write_le(header + 48, 8, std::max(my_lba, alternate_lba) - array_blocks - 1);
    image.write(header + 56, std::vector<std::byte>(16, std::byte{0xaa}));
    image.write_le(header + 72, 8, entry_lba);
    image.write_le(header + 80, 4, spec.entry_count);
    image.write_le(header + 84, 4, 128);
    for (std::size_t i = 0; i < spec.partitions.size(); ++i) {
        const GptPartition& partition = spec.partitions[i];
        if (partition.name.empty()) continue;
        const std::uint64_t entry = entry_lba * spec.block_size + i * 128;
        image.write(entry, std::vector<std::byte>(16, std::byte{0x77}));
        image.write(entry + 16, std::vector<std::byte>(16, static_cast<std::byte>(i + 1)));
        image.write_le(entry + 32, 8, partition.first_lba);
        image.write_le(entry + 40, 8, partition.last_lba);
        for (std::size_t c = 0; c < partition.name.size(); ++c) {
            image.write_le(entry + 56 + 2 * c, 1, static_cast<unsigned char>(partition.name[c]));
        }
    }
    seal_gpt(image, spec.block_size, my_lba);
}

}  // namespace

void write_gpt(MemoryImage& image, const GptSpec& spec) {
    const std::uint64_t last_lba = image.size() / spec.block_size - 1;
    const std::uint64_t array_blocks =
        (spec.entry_count * 128 + spec.block_size - 1) / spec.block_size;
    image.write_le(446 + 4, 1, 0xee);
    image.write_le(446 + 8, 4, 1);
    image.write_le(446 + 12, 4, last_lba);
    image.write_le(510, 2, 0xaa55);
    write_gpt_copy(image, spec, 1, last_lba, 2);
    write_gpt_copy(image, spec, last_lba, 1, last_lba - array_blocks);
}

std::uint64_t ext_superblock_offset(const ExtSpec& spec, std::uint32_t group) {
    if (group == 0) return spec.begin + 1024;
    const std::uint64_t first = spec.log_block_size == 0 ? 1 : 0;
    return spec.begin +
           (first + std::uint64_t{group} * spec.blocks_per_group) * (1024U << spec.log_block_size);
}

void seal_ext(MemoryImage& image, std::uint64_t offset) {
    image.write_le(offset + 0x3fc, 4, crc32c_update(crc32c_start, image.bytes(offset, 0x3fc)));
}

void write_ext(MemoryImage& image, const ExtSpec& spec) {
    for (const std::uint32_t group : spec.groups) {
        const std::uint64_t at = ext_superblock_offset(spec, group);
        image.write_le(at + 0x00, 4, 20480);
        image.write_le(at + 0x04, 4, spec.blocks_count);
        image.write_le(at + 0x150, 4, spec.blocks_count >> 32);
        image.write_le(at + 0x14, 4, spec.log_block_size == 0 ? 1 : 0);
        image.write_le(at + 0x18, 4, spec.log_block_size);
        image.write_le(at + 0x1c, 4, spec.log_cluster_size);
        image.write_le(at + 0x20, 4, spec.blocks_per_group);
        image.write_le(at + 0x24, 4, spec.blocks_per_group);
        image.write_le(at + 0x28, 4, 2048);
        image.write_le(at + 0x38, 2, 0xef53);
        image.write_le(at + 0x3a, 2, spec.state);
        image.write_le(at + 0x4c, 4, spec.rev_level);
        image.write_le(at + 0x58, 2, 256);
        image.write_le(at + 0x5a, 2, group);
        image.write_le(at + 0x5c, 4, spec.compat);
        image.write_le(at + 0x60, 4, spec.incompat);
        image.write_le(at + 0x64, 4, spec.ro_compat);
        const std::optional<Uuid> uuid = parse_uuid(ext_uuid);
        image.write(at + 0x68, std::as_bytes(std::span(uuid->bytes)));
        image.write(at + 0x78, bytes_of("ROOT"));
        image.write_le(at + 0xe0, 4, spec.journal_inum);
        image.write_le(at + 0xe4, 4, spec.journal_dev);
        image.write_le(at + 0xfe, 2, spec.desc_size);
        image.write_le(at + 0x175, 1, spec.checksum_type);
        image.write_le(at + 0x24c, 4, spec.backup_bgs[0]);
        image.write_le(at + 0x250, 4, spec.backup_bgs[1]);
        if ((spec.ro_compat & 0x400) != 0) seal_ext(image, at);
    }
}

Recipe examine_image(const BlockSource& image) {
    Result<Recipe> recipe = examine(image);
    if (!recipe) ADD_FAILURE() << recipe.error().message;
    return *std::move(recipe);
}

IdentityChoice choice_of(std::uint8_t seed) {
    IdentityChoice choice;
    choice.seed.bytes.fill(seed);
    return choice;
}

Patching patch_image(const Recipe& recipe, const BlockSource& image, std::uint8_t seed) {
    Result<Patching> patching = make_patches(recipe, image, choice_of(seed));
    if (!patching) ADD_FAILURE() << patching.error().message;
    return *std::move(patching);
}

std::string expect_never_patched(const MemoryImage& image, const Recipe& recipe,
                                 std::string_view format) {
    for (const Structure& structure : examine_image(image).structures) {
        if (structure.format != format) continue;
        EXPECT_NE(structure.kept_because, "");
        EXPECT_TRUE(structure.places.empty());
    }
    Recipe only = recipe;
    std::erase_if(only.structures, [&](const Structure& one) { return one.format != format; });
    EXPECT_EQ(only.structures.size(), 1U);
    const Patching patching = patch_image(only, image);
    EXPECT_TRUE(patching.patches.empty());
    for (const Finding& finding : patching.findings) {
        EXPECT_NE(finding.kept_because, "");
        EXPECT_EQ(finding.new_value, "");
    }
    return patching.findings.front().kept_because;
}

}  // namespace cowtgt::identity
