#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "cow-store/base/endian.h"
#include "cow-store/base/result.h"
#include "cow-store/identity/window.h"

/// XFS as it lies on disk, with the names of "XFS Algorithms & Data Structures". No I/O.
namespace cowtgt::identity::xfs {

inline constexpr std::uint32_t superblock_magic = 0x58465342;  ///< "XFSB"
inline constexpr std::uint32_t log_record_magic = 0xfeedbabe;
inline constexpr std::uint64_t basic_block = 512;  ///< the unit of the log, bytes

inline constexpr std::uint16_t version_mask = 0x000f;
inline constexpr std::uint32_t incompat_meta_uuid = 0x0004;
inline constexpr std::uint32_t incompat_needs_repair = 0x0010;
/// Every feature whose dealings with the UUID are known: finobt, rmapbt, reflink and inobtcount;
/// ftype, spinodes, meta_uuid, needsrepair, bigtime and nrext64.
inline constexpr std::uint32_t ro_compat_known = 0x000f;
inline constexpr std::uint32_t incompat_known = 0x003f;

inline constexpr std::uint64_t allocation_groups_max = 1024;           ///< patched at a clone
inline constexpr std::uint64_t log_size_max = std::uint64_t{2} << 30;  ///< bytes
inline constexpr std::uint64_t log_record_size_max = std::uint64_t{256} << 10;  ///< bytes

/// xfs_dsb. Integers are big endian but for the checksum.
struct Superblock {
    be32 sb_magicnum;
    be32 sb_blocksize;  ///< bytes
    be64 sb_dblocks;
    be64 sb_rblocks;  ///< not 0: there is a realtime device
    be64 sb_rextents;
    std::array<std::byte, 16> sb_uuid;
    be64 sb_logstart;  ///< a block number of AG and block; 0: the log is on another device
    be64 sb_rootino;
    be64 sb_rbmino;
    be64 sb_rsumino;
    be32 sb_rextsize;
    be32 sb_agblocks;
    be32 sb_agcount;
    be32 sb_rbmblocks;
    be32 sb_logblocks;
    be16 sb_versionnum;  ///< the low nibble is the version
    be16 sb_sectsize;    ///< bytes
    be16 sb_inodesize;
    be16 sb_inopblock;
    std::array<std::byte, 12> sb_fname;  ///< the label, padded with NUL
    std::uint8_t sb_blocklog;
    std::uint8_t sb_sectlog;
    std::uint8_t sb_inodelog;
    std::uint8_t sb_inopblog;
    std::uint8_t sb_agblklog;
    std::uint8_t sb_rextslog;
    std::uint8_t sb_inprogress;  ///< 1: mkfs has not ended; and in all copies but the first
    std::uint8_t sb_imax_pct;
    std::array<std::byte, 0x40> counters_and_alignment_80;
    std::uint8_t sb_dirblklog;  ///< blocks of a folder's block, as a power of two
    std::uint8_t sb_logsectlog;
    be16 sb_logsectsize;
    be32 sb_logsunit;
    be32 sb_features2;
    be32 sb_bad_features2;
    be32 sb_features_compat;
    be32 sb_features_ro_compat;
    be32 sb_features_incompat;
    be32 sb_features_log_incompat;
    le32 sb_crc;  ///< of the whole sector, only in version 5
    be32 sb_spino_align;
    be64 sb_pquotino;
    be64 sb_lsn;
    std::array<std::byte, 16> sb_meta_uuid;  ///< only with meta_uuid
};
static_assert(sizeof(Superblock) == 264 && alignof(Superblock) == 1);
static_assert(offsetof(Superblock, sb_uuid) == 32 && offsetof(Superblock, sb_logstart) == 48);
static_assert(offsetof(Superblock, sb_agblocks) == 84 && offsetof(Superblock, sb_logblocks) == 96);
static_assert(offsetof(Superblock, sb_fname) == 108 && offsetof(Superblock, sb_agblklog) == 124);
static_assert(offsetof(Superblock, sb_inprogress) == 126);
static_assert(offsetof(Superblock, sb_rootino) == 56 && offsetof(Superblock, sb_dirblklog) == 192);
static_assert(offsetof(Superblock, sb_features2) == 200);
static_assert(offsetof(Superblock, sb_features_incompat) == 216);
static_assert(offsetof(Superblock, sb_crc) == 224 && offsetof(Superblock, sb_meta_uuid) == 248);

inline bool is_version_5(const Superblock& sb) {
    return (sb.sb_versionnum.get() & version_mask) == 5;
}
inline bool has_meta_uuid(const Superblock& sb) {
    return is_version_5(sb) && (sb.sb_features_incompat.get() & incompat_meta_uuid) != 0;
}

/// The primary superblock, if everything that says where things lie is possible. The error is a
/// reason to keep the identity.
Result<Superblock> read_superblock(const Window& window);

/// xlog_rec_header.
struct LogRecordHeader {
    be32 h_magicno;
    be32 h_cycle;
    be32 h_version;
    be32 h_len;  ///< of the data behind all headers, bytes
    be64 h_lsn;  ///< cycle and basic block of this record
    be64 h_tail_lsn;
    le32 h_crc;  ///< 0: none
    be32 h_prev_block;
    be32 h_num_logops;
    std::array<be32, 64> h_cycle_data;
    be32 h_fmt;  ///< 1: by a little endian Linux
    std::array<std::byte, 16> h_fs_uuid;
    be32 h_size;                           ///< of the buffers that the log was written with, bytes
    std::array<std::byte, 4> padding_324;  ///< not hashed by 32 bit kernels of the PC
};
static_assert(sizeof(LogRecordHeader) == 328 && alignof(LogRecordHeader) == 1);
static_assert(offsetof(LogRecordHeader, h_crc) == 32);
static_assert(offsetof(LogRecordHeader, h_fs_uuid) == 304);
static_assert(offsetof(LogRecordHeader, h_size) == 320);

/// The internal log as a circle of basic blocks.
class Log {
public:
    Log(const Window& window, std::uint64_t offset, std::uint64_t length)
        : window_(&window), offset_(offset), length_(length) {}

    std::uint64_t offset() const { return offset_; }  ///< bytes from the start of the window
    std::uint64_t length() const { return length_; }  ///< bytes
    std::uint64_t blocks() const { return length_ / basic_block; }

    /// Bytes from `at`, around the end if need be.
    Result<std::vector<std::byte>> read(std::uint64_t at, std::uint64_t length) const;

private:
    const Window* window_;
    std::uint64_t offset_;
    std::uint64_t length_;
};

/// The log of a file system whose superblock was found good.
Log log_of(const Window& window, const Superblock& sb);

std::uint64_t header_blocks(const LogRecordHeader& header);
/// Headers behind the first one that describe data, as the checksum covers them.
std::uint64_t extended_headers_of(const LogRecordHeader& header);
std::uint64_t size_of(const LogRecordHeader& header);  ///< of headers and data, bytes
/// The number of the cycle in which a basic block was written.
std::uint32_t cycle_of(Bytes block);

/// A record that was found good, and how its checksum is made.
struct CheckedRecord {
    std::uint64_t at;  ///< bytes from the start of the log
    LogRecordHeader header;
    std::uint64_t hashed_size;    ///< of the header, bytes; 0: it has no checksum
    std::vector<std::byte> rest;  ///< further headers and data, as they are hashed
};
std::uint32_t checksum_of(const CheckedRecord& record);

/// Basic block of the newest record of the log, which is read whole. corrupt when there is none.
Result<std::uint64_t> find_newest_record(const Log& log);

/// The record at `at` (bytes from the start of the log).
Result<CheckedRecord> read_record(const Log& log, std::uint64_t at,
                                  const std::array<std::byte, 16>& uuid);

/// Whether the record is the last one and says that the file system was unmounted.
Result<bool> is_clean_end(const Log& log, const CheckedRecord& record);

}  // namespace cowtgt::identity::xfs
