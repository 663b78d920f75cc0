#pragma once

#include <cstdint>

#include "cow-store/identity/formats.h"
#include "cow-store/identity/mbr.h"
#include "cow-store/identity/partition_table.h"

namespace cowtgt::identity {

/// Disks and arrays larger than these are kept as they are.
inline constexpr std::uint32_t gpt_entries_max = 1024;
inline constexpr std::uint32_t gpt_entry_size_max = 512;  ///< bytes

/// The GUID Partition Table, UEFI specification section 5.3. Nothing when block 1 holds no header,
/// be the blocks 512 or 4096 bytes long, and `mbr` is not protective either.
Result<std::optional<PartitionTable>> examine_gpt(const Window& disk,
                                                  const std::optional<Mbr>& mbr);

/// New GUIDs for the disk and all its partitions, in both copies. Types, names and attributes
/// stay. If the disk of the choice ends later than the backup, the backup moves to its end.
Result<Patching> patch_gpt(const PatchRequest& request);

}  // namespace cowtgt::identity
