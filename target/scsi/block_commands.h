#pragma once

#include "target/scsi/unit.h"

/// The commands of SBC-3 that move or check whole blocks.
namespace cowtgt::scsi {

/// The LBA and length fields of a CDB, wherever its format has them.
struct BlockRange {
    std::uint64_t first_block = 0;
    std::uint64_t block_count = 0;
    std::uint16_t length_byte = 0;  ///< where the length field begins, for field pointers
};
BlockRange range_of(const Command& command);
/// Done with LBA OUT OF RANGE if the range does not lie inside the device.
std::optional<Done> check_range(const Unit& unit, const BlockRange& range);

/// Bytes read at a time by the commands that compare: they need it beside their Data-Out.
inline constexpr std::uint32_t compare_chunk_bytes = 64U << 10;
/// MAXIMUM COMPARE AND WRITE LENGTH: blocks. One block is what VMware and clusters use, and the
/// atomicity of more is nothing that anybody may rely on across targets.
inline constexpr std::uint8_t compare_and_write_blocks_max = 1;
/// MAXIMUM ATOMIC TRANSFER LENGTH: blocks.
inline constexpr std::uint32_t atomic_blocks_max = 256;

/// Where a command keeps its place between steps: indices into Command::scratch.
namespace slot {
inline constexpr std::size_t first_block = 0;
inline constexpr std::size_t block_count = 1;
inline constexpr std::size_t position = 2;  ///< blocks, descriptors: what has been done
inline constexpr std::size_t stage = 3;
inline constexpr std::size_t data_out_total = 4;  ///< bytes that the CDB asks for
}  // namespace slot

/// FUA of the CDB, or no volatile cache to keep it in (WCE = 0).
bool force_unit_access(const Unit& unit, const Command& command);
/// Cuts block_count to the whole blocks that arrived. A broken block is INVALID FIELD IN COMMAND
/// INFORMATION UNIT: the initiator's transfer length does not fit its CDB.
std::optional<Done> take_received_blocks(const Unit& unit, Command& command);
/// An end that counts the command's Data-Out for the residual.
Done with_data_out(const Command& command, Done done);

Admission admit_read(Unit& unit, Command& command);
Step start_read(Unit& unit, Command& command);
Step resume_read(Unit& unit, Command& command, const BlockOutcome& outcome);

Admission admit_write(Unit& unit, Command& command);
Step start_write(Unit& unit, Command& command);
Step resume_write(Unit& unit, Command& command, const BlockOutcome& outcome);

Admission admit_write_atomic(Unit& unit, Command& command);
Step start_write_atomic(Unit& unit, Command& command);
Step resume_write_atomic(Unit& unit, Command& command, const BlockOutcome& outcome);

Admission admit_synchronize_cache(Unit& unit, Command& command);
Step start_synchronize_cache(Unit& unit, Command& command);
Step resume_synchronize_cache(Unit& unit, Command& command, const BlockOutcome& outcome);

Admission admit_prefetch(Unit& unit, Command& command);
Step start_prefetch(Unit& unit, Command& command);

// compare_commands.cc: VERIFY, WRITE AND VERIFY, COMPARE AND WRITE, ORWRITE.
Admission admit_verify(Unit& unit, Command& command);
Step start_verify(Unit& unit, Command& command);
Step resume_verify(Unit& unit, Command& command, const BlockOutcome& outcome);

Admission admit_write_and_verify(Unit& unit, Command& command);
Step start_write_and_verify(Unit& unit, Command& command);
Step resume_write_and_verify(Unit& unit, Command& command, const BlockOutcome& outcome);

Admission admit_compare_and_write(Unit& unit, Command& command);
Step start_compare_and_write(Unit& unit, Command& command);
Step resume_compare_and_write(Unit& unit, Command& command, const BlockOutcome& outcome);

Admission admit_orwrite(Unit& unit, Command& command);
Step start_orwrite(Unit& unit, Command& command);
Step resume_orwrite(Unit& unit, Command& command, const BlockOutcome& outcome);

}  // namespace cowtgt::scsi
