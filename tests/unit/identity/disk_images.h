#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "cow-store/identity/identity.h"
#include "tests/unit/identity/memory_image.h"

/// Disks in memory, written byte by byte at the offsets of the standards: nothing of the code
/// under test is used, except for the checksums of base.
namespace cowtgt::identity {

struct GptPartition {
    std::uint64_t first_lba;
    std::uint64_t last_lba;
    std::string_view name;
};
struct GptSpec {
    std::uint32_t block_size = 512;
    std::uint32_t entry_count = 128;
    std::vector<GptPartition> partitions;  ///< entry i; an empty name makes an unused one
};
/// Protective MBR, both headers and both arrays. The disk GUID is aaaaaaaa-aaaa-..., those of the
/// partitions 01010101-..., 02020202-... and so on.
void write_gpt(MemoryImage& image, const GptSpec& spec);
/// Puts right the checksums of the copy whose header is in block `lba`.
void seal_gpt(MemoryImage& image, std::uint32_t block_size, std::uint64_t lba);

inline constexpr std::string_view ext_uuid = "11111111-2222-3333-4444-555555555555";
inline constexpr std::uint32_t ext_uuid_crc32c = 0x643dbf5b;  ///< without the final inversion

struct ExtSpec {
    std::uint64_t begin = 0;  ///< of the partition, bytes
    std::uint32_t log_block_size = 0;
    std::uint32_t blocks_per_group = 8192;
    std::uint64_t blocks_count = 10 * 8192;
    std::uint32_t compat = 0x4;        ///< has_journal
    std::uint32_t incompat = 0x42;     ///< filetype, extents
    std::uint32_t ro_compat = 0x0401;  ///< metadata_csum, sparse_super
    std::uint32_t log_cluster_size = 0;
    std::uint16_t state = 1;  ///< clean
    std::uint32_t journal_inum = 8;
    std::uint32_t journal_dev = 0;
    std::uint32_t rev_level = 1;
    std::uint16_t desc_size = 0;
    std::uint8_t checksum_type = 1;
    std::array<std::uint32_t, 2> backup_bgs = {0, 0};
    std::vector<std::uint32_t> groups = {0, 1, 3, 5, 7, 9};  ///< that hold a superblock
};
std::uint64_t ext_superblock_offset(const ExtSpec& spec, std::uint32_t group);
/// The superblocks and nothing else, which is all that identity looks at.
void write_ext(MemoryImage& image, const ExtSpec& spec);
/// Puts right the checksum of the superblock at byte `offset`.
void seal_ext(MemoryImage& image, std::uint64_t offset);

Recipe examine_image(const BlockSource& image);
Patching patch_image(const Recipe& recipe, const BlockSource& image, std::uint8_t seed = 1);
IdentityChoice choice_of(std::uint8_t seed);

/// No structure called `format` may be patched on `image`, neither by a recipe made now nor by
/// `recipe`, made before the damage. Gives the reason of the latter.
std::string expect_never_patched(const MemoryImage& image, const Recipe& recipe,
                                 std::string_view format);

}  // namespace cowtgt::identity
