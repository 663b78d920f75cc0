#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include "cow-store/base/endian.h"
#include "cow-store/base/result.h"
#include "cow-store/identity/window.h"

/// FAT12, FAT16 and FAT32 as they lie on disk. No I/O but through a Window.
namespace cowtgt::identity::fat {

/// The BIOS parameter block, with the names of Microsoft's "FAT: General Overview".
struct BootSector {
    std::array<std::byte, 3> jump;
    std::array<std::byte, 8> oem_name;
    le16 bytes_per_sector;
    std::uint8_t sectors_per_cluster;
    le16 reserved_sectors;
    std::uint8_t fat_count;
    le16 root_entries;      ///< 0 on FAT32
    le16 total_sectors_16;  ///< 0: see total_sectors_32
    std::uint8_t media;
    le16 fat_sectors_16;  ///< 0 on FAT32
    le16 sectors_per_track;
    le16 heads;
    le32 hidden_sectors;
    le32 total_sectors_32;
    // Only on FAT32:
    le32 fat_sectors_32;
    le16 extended_flags;
    le16 version;
    le32 root_cluster;
    le16 info_sector;
    le16 backup_sector;
    std::array<std::byte, 12> reserved_34;
};
static_assert(sizeof(BootSector) == 64 && alignof(BootSector) == 1);
static_assert(offsetof(BootSector, fat_sectors_32) == 36);

/// Behind the parameter block of either kind.
struct ExtendedFields {
    std::uint8_t drive;
    std::uint8_t flags;      ///< bit 0: not unmounted cleanly
    std::uint8_t signature;  ///< 0x29: the fields below are there
    le32 serial;
    std::array<std::byte, 11> label;  ///< padded with blanks
    std::array<std::byte, 8> type;    ///< "FAT32   "
};
static_assert(sizeof(ExtendedFields) == 26 && alignof(ExtendedFields) == 1);

struct DirectoryEntry {
    std::array<std::byte, 11> name;  ///< eight and three, padded with blanks
    std::uint8_t attributes;
    std::uint8_t small_letters;  ///< bit 3: in the first eight; bit 4: in the last three
    std::array<std::byte, 7> times_13;
    le16 first_cluster_high;  ///< only on FAT32
    std::array<std::byte, 4> times_22;
    le16 first_cluster_low;  ///< 0: an empty file
    le32 size;               ///< bytes; of a file
};
inline constexpr std::uint8_t attribute_volume_id = 0x08;
inline constexpr std::uint8_t attribute_directory = 0x10;
inline constexpr std::uint8_t attributes_of_long_name = 0x0f;
static_assert(sizeof(DirectoryEntry) == 32 && alignof(DirectoryEntry) == 1);

inline constexpr std::byte deleted{0xe5};  ///< in the place of a name's first byte
inline constexpr std::byte never_used{0};  ///< the same, and in all entries behind it

struct Run {
    std::uint64_t offset;  ///< bytes from the start of the window
    std::uint64_t length;  ///< bytes
};

/// Where things lie, as far as the numbers have been checked.
struct Volume {
    BootSector boot;
    ExtendedFields fields;
    std::uint64_t fields_offset;  ///< bytes, in each boot sector
    std::uint64_t sector_size;    ///< bytes
    std::uint64_t cluster_bytes;
    std::uint64_t fat_begin;   ///< bytes; of the one in use
    std::uint64_t data_begin;  ///< bytes; of cluster 2
    std::uint64_t cluster_count;
    std::optional<std::uint64_t> backup;  ///< bytes; of the second boot sector

    bool is_fat32() const { return boot.fat_sectors_16.get() == 0; }
};

/// The fields behind the parameter block, by the text that says so: the other fields of a boot
/// sector may be anybody's. Requires: `sector` has 512 bytes.
std::optional<std::uint64_t> fields_offset_of(Bytes sector);
std::optional<ExtendedFields> fields_at(Bytes sector, std::uint64_t offset);

/// Checked, the backup of the boot sector included. corrupt: a reason to keep the identity.
Result<Volume> read_volume(const Window& window);

/// What the table says of a cluster (2 and up): 0 when it is free, its successor, or none behind
/// the last one. corrupt when it lies outside of the volume.
Result<std::optional<std::uint32_t>> next_cluster(const Window& window, const Volume& volume,
                                                  std::uint32_t cluster);

/// All clusters from `first` on, in order. corrupt when the chain is broken or has more than
/// `bytes_max` bytes.
Result<std::vector<Run>> runs_from(const Window& window, const Volume& volume, std::uint32_t first,
                                   std::uint64_t bytes_max);

Result<std::vector<Run>> root_directory(const Window& window, const Volume& volume);

}  // namespace cowtgt::identity::fat
