#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "cow-store/base/endian.h"

/// What of XFS says whose a block is, with the names of "XFS Algorithms & Data Structures".
/// (The superblock and the log: cow-store/identity/xfs_layout.h.) No I/O.
namespace cowtgt::references::xfs {

/// xfs_agf: the free space of an allocation group, in its second sector.
struct FreeSpaceHeader {
    be32 agf_magicnum;
    be32 agf_versionnum;
    be32 agf_seqno;  ///< of the group
    be32 agf_length;
    be32 agf_bno_root;  ///< of the tree of free space, sorted by block
    be32 agf_cnt_root;
    be32 agf_rmap_root;
    be32 agf_bno_level;
    be32 agf_cnt_level;
    be32 agf_rmap_level;
    be32 agf_flfirst;  ///< what of the list in the fourth sector is in use
    be32 agf_fllast;
    be32 agf_flcount;
};
static_assert(sizeof(FreeSpaceHeader) == 52 && alignof(FreeSpaceHeader) == 1);
inline constexpr std::uint32_t free_space_magic = 0x58414746;  ///< "XAGF"
inline constexpr std::uint64_t free_space_sector = 1;
inline constexpr std::uint64_t free_list_sector = 3;
inline constexpr std::uint64_t free_list_header_size = 36;  ///< bytes; only in version 5

/// xfs_agi: the inodes of an allocation group, in its third sector.
struct InodeHeader {
    be32 agi_magicnum;
    be32 agi_versionnum;
    be32 agi_seqno;  ///< of the group
    be32 agi_length;
    be32 agi_count;
    be32 agi_root;  ///< of the tree of inodes
    be32 agi_level;
};
static_assert(sizeof(InodeHeader) == 28 && alignof(InodeHeader) == 1);
inline constexpr std::uint32_t inode_header_magic = 0x58414749;  ///< "XAGI"
inline constexpr std::uint64_t inode_header_sector = 2;

/// What all blocks of trees begin with. Neighbours and, in version 5, owner and checksum follow.
struct TreeBlockHeader {
    be32 bb_magic;
    be16 bb_level;  ///< 0: a leaf, which holds records
    be16 bb_numrecs;
};
static_assert(sizeof(TreeBlockHeader) == 8 && alignof(TreeBlockHeader) == 1);

/// How the blocks of one kind of tree are laid out.
struct TreeKind {
    std::uint32_t magic_4;
    std::uint32_t magic_5;
    std::uint32_t header_4;  ///< bytes
    std::uint32_t header_5;
    std::uint32_t key_size;
    std::uint32_t pointer_size;  ///< 4: within the group; 8: a block number of AG and block
    std::uint32_t record_size;
};
inline constexpr TreeKind free_space_tree = {0x41425442, 0x41423342, 16, 56, 8, 4, 8};
inline constexpr TreeKind inode_tree = {0x49414254, 0x49414233, 16, 56, 4, 4, 16};
inline constexpr TreeKind extent_tree = {0x424d4150, 0x424d4133, 24, 72, 8, 8, 16};
inline constexpr std::uint32_t tree_levels_max = 16;

/// xfs_alloc_rec.
struct FreeRecord {
    be32 ar_startblock;
    be32 ar_blockcount;
};
static_assert(sizeof(FreeRecord) == 8);

/// xfs_inobt_rec: 64 inodes that lie side by side.
struct InodeRecord {
    be32 ir_startino;  ///< within the group
    be16 ir_holemask;  ///< each bit: four inodes that are not there; only with sparse inodes
    std::uint8_t ir_count;
    std::uint8_t ir_freecount;
    be64 ir_free;  ///< a bit for each inode that is not in use
};
static_assert(sizeof(InodeRecord) == 16 && alignof(InodeRecord) == 1);
inline constexpr std::uint32_t inodes_per_record = 64;
inline constexpr std::uint32_t inodes_per_hole = 4;

/// xfs_dinode.
struct Dinode {
    be16 di_magic;
    be16 di_mode;
    std::uint8_t di_version;
    std::uint8_t di_format;  ///< of the data, a Format
    be16 di_onlink;          ///< links, in version 1
    be32 di_uid;
    be32 di_gid;
    be32 di_nlink;
    be16 di_projid_lo;
    be16 di_projid_hi;
    be64 di_big_nextents;  ///< with nrext64
    std::array<std::byte, 24> times_20;
    be64 di_size;  ///< bytes
    be64 di_nblocks;
    be32 di_extsize;
    be32 di_nextents;  ///< with nrext64: of the attributes
    be16 di_anextents;
    std::uint8_t di_forkoff;  ///< where the attributes begin behind the data, in 8 bytes; 0: none
    std::uint8_t di_aformat;  ///< of the attributes, a Format
    be32 di_dmevmask;
    be16 di_dmstate;
    be16 di_flags;
    be32 di_gen;
    be32 di_next_unlinked;
    // Only in version 3:
    le32 di_crc;
    be64 di_changecount;
    be64 di_lsn;
    be64 di_flags2;
    be32 di_cowextsize;
    std::array<std::byte, 20> padding_and_time_84;
    be64 di_ino;
    std::array<std::byte, 16> di_uuid;
};
static_assert(sizeof(Dinode) == 176 && alignof(Dinode) == 1);
static_assert(offsetof(Dinode, di_size) == 56 && offsetof(Dinode, di_forkoff) == 82);
static_assert(offsetof(Dinode, di_crc) == 100 && offsetof(Dinode, di_ino) == 152);
inline constexpr std::uint16_t inode_magic = 0x494e;  ///< "IN"
inline constexpr std::size_t inode_size_2 = offsetof(Dinode, di_crc);
inline constexpr std::uint16_t flag_realtime = 0x0001;
inline constexpr std::uint64_t flag2_large_extent_counts = 0x0010;

enum class Format : std::uint8_t { device = 0, local = 1, extents = 2, tree = 3 };

/// xfs_bmbt_rec: flag (1 bit), block of the file (54), number of AG and block (52), count (21).
struct ExtentRecord {
    be64 l0;
    be64 l1;

    bool is_unwritten() const { return (l0.get() >> 63) != 0; }
    std::uint64_t file_block() const { return (l0.get() & ~(std::uint64_t{1} << 63)) >> 9; }
    std::uint64_t start_block() const { return (l0.get() & 0x1ff) << 43 | l1.get() >> 21; }
    std::uint64_t block_count() const { return l1.get() & ((std::uint64_t{1} << 21) - 1); }
};
static_assert(sizeof(ExtentRecord) == 16);

/// xfs_bmdr_block: the root of a tree of extents, in the inode.
struct TreeRootHeader {
    be16 bb_level;
    be16 bb_numrecs;
};
static_assert(sizeof(TreeRootHeader) == 4);

/// A folder's blocks with entries lie below this byte of it; hashes and free space behind.
inline constexpr std::uint64_t folder_data_end = std::uint64_t{32} << 30;
inline constexpr std::uint32_t folder_block_magic_4 = 0x58443242;  ///< "XD2B": the only block
inline constexpr std::uint32_t folder_block_magic_5 = 0x58444233;  ///< "XDB3"
inline constexpr std::uint32_t folder_data_magic_4 = 0x58443244;   ///< "XD2D"
inline constexpr std::uint32_t folder_data_magic_5 = 0x58444433;   ///< "XDD3"
inline constexpr std::uint64_t folder_header_4 = 16;               ///< bytes
inline constexpr std::uint64_t folder_header_5 = 64;               ///< bytes
inline constexpr std::uint16_t unused_entry_tag = 0xffff;
/// xfs_dir2_block_tail: the only block ends with it, and with a hash and address for each entry.
struct FolderBlockTail {
    be32 count;
    be32 stale;
};
static_assert(sizeof(FolderBlockTail) == 8);

/// With a feature entries say what they name.
enum class EntryType : std::uint8_t { unknown = 0, file = 1, folder = 2 };

inline constexpr std::uint32_t incompat_file_type = 0x1;
inline constexpr std::uint32_t incompat_sparse_inodes = 0x2;
inline constexpr std::uint32_t features2_file_type = 0x200;

}  // namespace cowtgt::references::xfs
