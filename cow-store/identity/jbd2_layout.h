#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "cow-store/base/endian.h"

/// The journal of ext3 and ext4 as it lies on disk, with the names of the Linux documentation
/// (filesystems/ext4/journal). All integers are big endian.
namespace cowtgt::identity::jbd2 {

inline constexpr std::uint32_t magic = 0xc03b3998;

enum class BlockType : std::uint32_t {
    descriptor = 1,
    commit = 2,
    superblock_v1 = 3,
    superblock_v2 = 4,
    revoke = 5,
};

inline constexpr std::uint32_t incompat_revoke = 0x01;
inline constexpr std::uint32_t incompat_64bit = 0x02;
inline constexpr std::uint32_t incompat_csum_v2 = 0x08;
inline constexpr std::uint32_t incompat_csum_v3 = 0x10;
/// What a replay here can do; asynchronous commits and fast commits are not among it.
inline constexpr std::uint32_t incompat_known = 0x1b;

inline constexpr std::uint32_t tag_escaped = 1;    ///< the block began with the magic number
inline constexpr std::uint32_t tag_same_uuid = 2;  ///< no UUID follows the tag
inline constexpr std::uint32_t tag_last = 8;

struct Header {
    be32 h_magic;
    be32 h_blocktype;
    be32 h_sequence;  ///< of the transaction
};
static_assert(sizeof(Header) == 12 && alignof(Header) == 1);

struct Superblock {
    Header s_header;
    be32 s_blocksize;  ///< bytes
    be32 s_maxlen;     ///< blocks of the journal
    be32 s_first;      ///< its first block behind the superblock
    be32 s_sequence;   ///< of the first transaction to be replayed
    be32 s_start;      ///< where it begins; 0: the journal is empty
    be32 s_errno;
    be32 s_feature_compat;
    be32 s_feature_incompat;
    be32 s_feature_ro_compat;
    std::array<std::byte, 16> s_uuid;
    std::array<std::byte, 0x10> users_40;
    std::uint8_t s_checksum_type;  ///< 4: crc32c
    std::array<std::byte, 0xab> padding_51;
    be32 s_checksum;
    std::array<std::byte, 0x300> s_users;
};
static_assert(sizeof(Superblock) == 1024 && alignof(Superblock) == 1);
static_assert(offsetof(Superblock, s_uuid) == 0x30 && offsetof(Superblock, s_checksum) == 0xfc);

struct Commit {
    Header header;
    std::array<std::byte, 4> h_chksum_type;
    std::array<be32, 8> h_chksum;
    be64 h_commit_sec;
};
static_assert(offsetof(Commit, h_chksum) == 16 && offsetof(Commit, h_commit_sec) == 48);

struct Revoke {
    Header header;
    be32 r_count;  ///< bytes in use, with this header
};
static_assert(sizeof(Revoke) == 16);

/// One block of a transaction in its descriptor, in the two forms of it.
struct TagV3 {
    be32 t_blocknr;
    be32 t_flags;
    be32 t_blocknr_high;
    be32 t_checksum;
};
struct Tag {
    be32 t_blocknr;
    be16 t_checksum;
    be16 t_flags;
    be32 t_blocknr_high;  ///< only with 64bit
};
static_assert(sizeof(TagV3) == 16 && sizeof(Tag) == 12);

}  // namespace cowtgt::identity::jbd2
