#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "cow-store/base/bytes.h"
#include "cow-store/base/endian.h"
#include "cow-store/base/result.h"
#include "cow-store/base/uuid.h"
#include "cow-store/format/units.h"

namespace cowtgt {

inline constexpr std::uint32_t format_version = 1;
inline constexpr UnitNumber superblock_units = 2;  ///< copies A and B, units 0 and 1

/// Feature bits that this code knows. An unknown incompatible bit is refused; unknown compatible
/// bits are kept; unknown autoclear bits are cleared by whoever writes the layer.
inline constexpr std::uint64_t feature_hashed_commits = 1;  ///< incompatible; the journal has them
inline constexpr std::uint64_t known_incompatible_features = feature_hashed_commits;
inline constexpr std::uint64_t known_autoclear_features = 0;

/// The superblock as it lies in a unit (FORMAT.md, "Superblock").
struct DiskSuperblock {
    std::array<std::uint8_t, 8> magic;  ///< "cowlayer"
    le32 version;                       ///< format_version
    le32 block_size;                    ///< bytes: 512 or 4096
    le64 incompatible_features, compatible_features, autoclear_features;
    std::array<std::uint8_t, 16> layer_uuid;
    le64 generation;    ///< of this superblock; rises with every one written
    le64 virtual_size;  ///< bytes
    std::array<std::uint8_t, 16> parent_uuid;
    le64 parent_content_id;
    le64 overlap_limit;                    ///< bytes
    le32 state;                            ///< 1 clean, 2 open, 3 sealed, 4 fenced
    le32 directory_unit;                   ///< first directory page; 0: the map is empty
    le64 directory_checksum;               ///< of that page
    std::array<std::uint8_t, 16> boot_id;  ///< of the kernel under which it was last opened
    le64 inode;                            ///< of the file when it was last opened; 0: unknown
    le32 ring_unit;                        ///< first unit of the journal ring; 0: no ring yet
    le32 ring_units;
    le64 ring_head;          ///< bytes from the ring's start to the first record
    le64 epoch;              ///< number of openings; older records are void
    le64 first_sequence;     ///< of the record at ring_head
    le64 previous_checksum;  ///< that this record must carry
    std::array<std::uint8_t, 3904> reserved;
    le64 checksum;  ///< xxh3 of all bytes before it
};
static_assert(sizeof(DiskSuperblock) == unit_size && alignof(DiskSuperblock) == 1);
static_assert(offsetof(DiskSuperblock, layer_uuid) == 40);
static_assert(offsetof(DiskSuperblock, state) == 104);
static_assert(offsetof(DiskSuperblock, ring_unit) == 144);
static_assert(offsetof(DiskSuperblock, checksum) == 4088);

enum class LayerPhase : std::uint8_t {
    clean = 1,   ///< closed properly: the map on disk is complete
    open = 2,    ///< was being written: the journal has to be replayed
    sealed = 3,  ///< immutable
    fenced = 4,  ///< a sync failed: what was written since the last good flush is in doubt
};

/// Where the journal ring lies and where its first live record is.
struct RingOrigin {
    UnitNumber unit = 0;  ///< 0: there is no ring yet
    std::uint32_t units = 0;
    std::uint64_t head = 0;  ///< bytes from the ring's start, less than its size
    std::uint64_t epoch = 0;
    std::uint64_t first_sequence = 1;
    std::uint64_t previous_checksum = 0;

    std::uint64_t size_bytes() const { return std::uint64_t{units} * unit_size; }
};

/// What a page is found by: its place, and the checksum that it must have. A page with any other
/// content, however valid it was once, is refused.
struct PagePointer {
    UnitNumber unit = 0;  ///< 0: none
    std::uint64_t checksum = 0;
    friend bool operator==(const PagePointer&, const PagePointer&) = default;
};

struct Superblock {
    std::uint32_t block_size = 512;
    std::uint64_t incompatible_features = 0;
    std::uint64_t compatible_features = 0;
    std::uint64_t autoclear_features = 0;
    Uuid layer_uuid;
    std::uint64_t generation = 1;
    std::uint64_t virtual_size = 0;
    Uuid parent_uuid;
    std::uint64_t parent_content_id = 0;
    std::uint64_t overlap_limit = 0;
    LayerPhase phase = LayerPhase::clean;
    PagePointer directory;
    Uuid boot_id;
    std::uint64_t inode = 0;
    RingOrigin ring;
};

/// Clusters of a disk; the last one may be partly beyond its end.
constexpr std::uint64_t cluster_count(std::uint64_t virtual_size) {
    return (virtual_size + cluster_size - 1) / cluster_size;
}

DiskSuperblock encode_superblock(const Superblock& superblock);
/// corrupt: not a superblock, a wrong checksum or impossible numbers. unsupported: a newer version
/// or an unknown incompatible feature. Requires: `unit` has unit_size bytes.
Result<Superblock> decode_superblock(Bytes unit);
/// Of two copies the valid one with the higher generation. FORMAT.md says why either is enough.
Result<Superblock> choose_superblock(Bytes copy_a, Bytes copy_b);

}  // namespace cowtgt
