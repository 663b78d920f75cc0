#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "cow-store/identity/identity.h"

namespace cowtgt::identity {

struct Partition {
    std::uint32_t number;  ///< as the kernel counts: from 1; logical ones of an MBR from 5
    std::uint64_t begin;   ///< bytes from the start of the disk
    std::uint64_t length;  ///< bytes
};

/// A partition table as it was found, whether it can be patched or not.
struct PartitionTable {
    Structure structure;
    std::vector<Partition> partitions;  ///< none when the table cannot be believed
    /// Extended boot records, as partitions of one block with number 0: who lies over them would
    /// change the table.
    std::vector<Partition> boot_records;
    std::uint32_t block_size = 512;  ///< logical, bytes
};

}  // namespace cowtgt::identity
