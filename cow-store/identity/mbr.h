#pragma once

#include <array>
#include <cstdint>
#include <optional>

#include "cow-store/base/endian.h"
#include "cow-store/identity/formats.h"
#include "cow-store/identity/partition_table.h"

namespace cowtgt::identity {

/// One of the four entries of a master (or extended) boot record.
struct MbrEntry {
    std::uint8_t status;  ///< 0x80: boot from it; else 0
    std::array<std::uint8_t, 3> first_chs;
    std::uint8_t type;  ///< 0: unused
    std::array<std::uint8_t, 3> last_chs;
    le32 first_lba;  ///< in an extended boot record relative, see logical_partitions
    le32 block_count;
};
static_assert(sizeof(MbrEntry) == 16 && alignof(MbrEntry) == 1);

/// The master boot record; its numbers count blocks of 512 bytes.
struct Mbr {
    std::array<std::uint8_t, 0x1b8> boot_code;
    le32 disk_signature;  ///< PARTUUID= of Linux is made from it
    std::array<std::uint8_t, 2> reserved_1bc;
    std::array<MbrEntry, 4> entries;
    le16 magic;  ///< 0xaa55
};
static_assert(sizeof(Mbr) == 512 && alignof(Mbr) == 1);
static_assert(offsetof(Mbr, disk_signature) == 0x1b8 && offsetof(Mbr, entries) == 0x1be);

inline constexpr std::uint16_t mbr_magic = 0xaa55;
inline constexpr std::uint8_t mbr_type_gpt_protective = 0xee;

/// The disk has a GPT, and the MBR only keeps old software away from it.
bool is_protective(const Mbr& mbr);

/// Nothing when sector 0 holds no table: no magic, no used entry, or entries no partitioning tool
/// would write (a boot sector of a file system ends with the same magic).
Result<std::optional<Mbr>> read_mbr(const Window& disk);

/// Requires: `mbr` is what read_mbr found, and is not protective.
Result<PartitionTable> examine_mbr(const Window& disk, const Mbr& mbr);
Result<Patching> patch_mbr(const PatchRequest& request);

}  // namespace cowtgt::identity
