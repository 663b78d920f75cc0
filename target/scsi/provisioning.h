#pragma once

#include "target/scsi/unit.h"

/// Logical block provisioning (SBC-3 section 4.7): the commands that take space back, and the one
/// that shows what has it.
namespace cowtgt::scsi {

/// Block Limits VPD page: what one command may ask for. Bounded, so that no single command keeps
/// the map busy for long.
inline constexpr std::uint32_t unmap_blocks_max = 1U << 20;
inline constexpr std::uint32_t unmap_descriptors_max = 256;
/// MAXIMUM WRITE SAME LENGTH: blocks, at most 16 MiB of 512 bytes. Some initiators take a range
/// that WRITE SAME may cover for one that a single WRITE may, too.
inline constexpr std::uint64_t write_same_blocks_max = 32768;
inline constexpr std::uint32_t write_same_chunk_bytes = 1U << 20;  ///< of memory for the pattern

/// Logical block provisioning thresholds (SBC-3 section 4.7.3.8) and the counts of the log page are
/// in sets of this many bytes.
inline constexpr std::uint64_t threshold_set_bytes = 1U << 20;

Admission admit_unmap(Unit& unit, Command& command);
Step start_unmap(Unit& unit, Command& command);
Step resume_unmap(Unit& unit, Command& command, const BlockOutcome& outcome);

Admission admit_write_same(Unit& unit, Command& command);
Step start_write_same(Unit& unit, Command& command);
Step resume_write_same(Unit& unit, Command& command, const BlockOutcome& outcome);

Admission admit_get_lba_status(Unit& unit, Command& command);
Step start_get_lba_status(Unit& unit, Command& command);

}  // namespace cowtgt::scsi
