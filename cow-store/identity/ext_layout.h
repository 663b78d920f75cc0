#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "cow-store/base/endian.h"
#include "cow-store/base/result.h"
#include "cow-store/base/uuid.h"

/// ext2, ext3 and ext4 as they lie on disk, with the names of the Linux documentation
/// (filesystems/ext4: super block, group descriptors). No I/O.
namespace cowtgt::identity::ext {

inline constexpr std::uint64_t superblock_offset = 1024;  ///< of the primary one, bytes
inline constexpr std::uint16_t superblock_magic = 0xef53;

inline constexpr std::uint16_t state_valid = 0x0001;
inline constexpr std::uint16_t state_error = 0x0002;

inline constexpr std::uint32_t compat_has_journal = 0x0004;
inline constexpr std::uint32_t compat_sparse_super2 = 0x0200;
inline constexpr std::uint32_t compat_stable_inodes = 0x0800;
inline constexpr std::uint32_t incompat_recover = 0x0004;
inline constexpr std::uint32_t incompat_journal_dev = 0x0008;
inline constexpr std::uint32_t incompat_meta_bg = 0x0010;
inline constexpr std::uint32_t incompat_64bit = 0x0080;
inline constexpr std::uint32_t incompat_ea_inode = 0x0400;
inline constexpr std::uint32_t incompat_csum_seed = 0x2000;
inline constexpr std::uint32_t ro_compat_sparse_super = 0x0001;
inline constexpr std::uint32_t ro_compat_gdt_csum = 0x0010;  ///< called uninit_bg by mke2fs
inline constexpr std::uint32_t ro_compat_bigalloc = 0x0200;
inline constexpr std::uint32_t ro_compat_metadata_csum = 0x0400;

/// Every feature whose dealings with the UUID are known (facts tried with e2fsprogs 1.47 and
/// Linux 6.1). A bit outside of these may depend on the UUID in ways we cannot know.
inline constexpr std::uint32_t compat_known = 0x1fbf;
inline constexpr std::uint32_t incompat_known = 0x3e7de;
inline constexpr std::uint32_t ro_compat_known = 0x1f77f;

/// Copies of the superblock that are patched at a clone; reached only without sparse_super.
inline constexpr std::uint64_t superblock_copies_max = 1024;
/// Groups whose descriptors are rewritten at a clone; only uninit_bg needs it. With blocks of
/// 4 KiB this is a file system of 256 GiB, and about 500 clusters to a clone.
inline constexpr std::uint64_t uninit_bg_groups_max = 2048;

struct Superblock {
    le32 s_inodes_count;
    le32 s_blocks_count_lo;
    le32 s_r_blocks_count_lo;
    le32 s_free_blocks_count_lo;  ///< of blocks, with bigalloc too
    le32 s_free_inodes_count;
    le32 s_first_data_block;
    le32 s_log_block_size;    ///< block size = 1024 << this
    le32 s_log_cluster_size;  ///< the same, for the clusters of bigalloc
    le32 s_blocks_per_group;
    le32 s_clusters_per_group;
    le32 s_inodes_per_group;
    std::array<std::byte, 0x0c> times_and_mounts_2c;
    le16 s_magic;
    le16 s_state;
    std::array<std::byte, 0x10> errors_and_checks_3c;
    le32 s_rev_level;
    std::array<std::byte, 0x08> reserved_owner_and_first_inode_50;
    le16 s_inode_size;
    le16 s_block_group_nr;  ///< where this copy lies; some tools leave 0 in the backups
    le32 s_feature_compat;
    le32 s_feature_incompat;
    le32 s_feature_ro_compat;
    std::array<std::byte, 16> s_uuid;         ///< order of RFC 4122
    std::array<std::byte, 16> s_volume_name;  ///< padded with NUL
    std::array<std::byte, 0x48> last_mounted_and_preallocation_88;
    std::array<std::byte, 16> s_journal_uuid;  ///< of an external journal
    le32 s_journal_inum;
    le32 s_journal_dev;  ///< not 0: the journal is on another device
    std::array<std::byte, 0x16> orphans_and_hash_e8;
    le16 s_desc_size;  ///< bytes; only with 64bit
    le32 s_default_mount_opts;
    le32 s_first_meta_bg;
    std::array<std::byte, 0x48> mkfs_time_and_journal_copy_108;
    le32 s_blocks_count_hi;  ///< only with 64bit
    le32 s_r_blocks_count_hi;
    le32 s_free_blocks_count_hi;
    std::array<std::byte, 0x19> extra_sizes_to_groups_15c;
    std::uint8_t s_checksum_type;  ///< 1: crc32c
    std::array<std::byte, 0xd6> writes_and_errors_176;
    std::array<le32, 2> s_backup_bgs;  ///< only with sparse_super2; 0: none
    std::array<std::byte, 0x1c> encryption_and_quota_254;
    le32 s_checksum_seed;  ///< only with csum_seed
    std::array<std::byte, 0x188> encoding_and_padding_274;
    le32 s_checksum;  ///< only with metadata_csum
};
static_assert(sizeof(Superblock) == 1024 && alignof(Superblock) == 1);
static_assert(offsetof(Superblock, s_magic) == 0x38 && offsetof(Superblock, s_rev_level) == 0x4c);
static_assert(offsetof(Superblock, s_block_group_nr) == 0x5a);
static_assert(offsetof(Superblock, s_uuid) == 0x68 && offsetof(Superblock, s_desc_size) == 0xfe);
static_assert(offsetof(Superblock, s_journal_uuid) == 0xd0);
static_assert(offsetof(Superblock, s_blocks_count_hi) == 0x150);
static_assert(offsetof(Superblock, s_checksum_type) == 0x175);
static_assert(offsetof(Superblock, s_backup_bgs) == 0x24c);
static_assert(offsetof(Superblock, s_checksum_seed) == 0x270);
static_assert(offsetof(Superblock, s_checksum) == 0x3fc);

inline bool has_compat(const Superblock& sb, std::uint32_t bit) {
    return (sb.s_feature_compat.get() & bit) != 0;
}
inline bool has_incompat(const Superblock& sb, std::uint32_t bit) {
    return (sb.s_feature_incompat.get() & bit) != 0;
}
inline bool has_ro_compat(const Superblock& sb, std::uint32_t bit) {
    return (sb.s_feature_ro_compat.get() & bit) != 0;
}
/// Checksums of uninit_bg over group descriptors, which contain the UUID itself and not a seed.
inline bool has_old_group_checksums(const Superblock& sb) {
    return has_ro_compat(sb, ro_compat_gdt_csum) && !has_ro_compat(sb, ro_compat_metadata_csum);
}

/// crc32c without the final inversion, as ext4 has it everywhere.
std::uint32_t checksum_of(const Superblock& sb);
/// What all other checksums start from while there is no csum_seed.
std::uint32_t seed_of(const std::array<std::byte, 16>& uuid);
/// bg_checksum of uninit_bg. Requires: `descriptor` has at least 32 bytes.
std::uint16_t group_checksum(std::uint16_t seed, std::uint32_t group, Bytes descriptor);
/// What the checksums of all groups begin with.
std::uint16_t group_checksum_seed(const std::array<std::byte, 16>& uuid);
inline constexpr std::size_t group_checksum_offset = 0x1e;  ///< in the descriptor

/// The numbers of the superblock that say where things lie, checked against each other.
struct Geometry {
    std::uint64_t block_size;  ///< bytes
    std::uint64_t blocks_count;
    std::uint64_t first_data_block;
    std::uint64_t blocks_per_group;
    std::uint64_t group_count;
    std::uint64_t descriptor_size;  ///< bytes

    std::uint64_t length() const { return blocks_count * block_size; }  ///< bytes
};
Result<Geometry> geometry_of(const Superblock& sb);

/// The first block of the group, or where its superblock and descriptors start, in bytes from the
/// start of the file system.
std::uint64_t group_offset(const Geometry& geometry, std::uint64_t group);

/// Groups that hold a copy of the superblock, ascending, group 0 first. refused above the limit.
Result<std::vector<std::uint64_t>> superblock_groups(const Superblock& sb,
                                                     const Geometry& geometry);

/// A run of group descriptors that lie behind each other.
struct DescriptorRun {
    std::uint64_t offset;  ///< bytes from the start of the file system
    std::uint64_t first_group;
    std::uint64_t group_count;
};
/// All copies of all group descriptors, the ones in use first. refused above the limit.
Result<std::vector<DescriptorRun>> descriptor_runs(const Superblock& sb, const Geometry& geometry);

}  // namespace cowtgt::identity::ext
