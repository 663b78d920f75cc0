#include <algorithm>
#include <cstring>

#include "target/scsi/block_commands.h"

namespace cowtgt::scsi {
namespace {

constexpr std::uint32_t alignment = 4096;  ///< of what a BlockStep reads or writes, in memory

/// What the outcome that resume() gets belongs to.
enum Stage : std::uint64_t { claiming, reading, writing };

std::uint32_t block_size_of(const Unit& unit) {
    return unit.device.geometry().block_size;
}

/// BYTCHK, SBC-3 tables 130 and 163.
enum class ByteCheck : std::uint8_t {
    none = 0,  ///< the medium is only read
    all = 1,   ///< the Data-Out is compared with the medium
    reserved = 2,
    one_block = 3,  ///< VERIFY: one block of Data-Out is compared with every block
};
ByteCheck byte_check(const Command& command) {
    return static_cast<ByteCheck>(command.cdb[1] >> 1 & 0x03);
}

bool compares_bytes(const Command& command) {
    return byte_check(command) != ByteCheck::none;
}

/// Memory for Data-Out of `data_out_blocks` and, behind it, a chunk of the medium.
Admission admit_beside_chunk(Unit& unit, Command& command, const BlockRange& range,
                             std::uint64_t data_out_blocks) {
    if (auto refused = check_range(unit, range)) return *refused;
    const std::uint32_t block_size = block_size_of(unit);
    const std::uint32_t room = unit.config.transfer_length_max - compare_chunk_bytes;
    if (data_out_blocks > room / block_size) return invalid_field(unit, range.length_byte);
    const auto bytes = static_cast<std::uint32_t>(data_out_blocks * block_size);
    command.scratch[slot::first_block] = range.first_block;
    command.scratch[slot::block_count] = range.block_count;
    command.scratch[slot::position] = 0;
    command.scratch[slot::data_out_total] = bytes;
    return Admitted{static_cast<std::uint32_t>(round_up(bytes, alignment)) + compare_chunk_bytes,
                    std::min(bytes, command.expected_data_out)};
}

std::uint64_t chunk_blocks(const Unit& unit, const Command& command) {
    return std::min<std::uint64_t>(
        compare_chunk_bytes / block_size_of(unit),
        command.scratch[slot::block_count] - command.scratch[slot::position]);
}

std::uint32_t chunk_offset(const Command& command) {
    return static_cast<std::uint32_t>(round_up(command.data_out_received, alignment));
}

Lba chunk_first(const Command& command) {
    return Lba{command.scratch[slot::first_block] + command.scratch[slot::position]};
}

Step read_chunk(const Unit& unit, Command& command) {
    command.scratch[slot::stage] = reading;
    return BlockStep{BlockOperation::read, false, chunk_first(command),
                     BlockCount{chunk_blocks(unit, command)}, chunk_offset(command)};
}

/// What has been read, and the part of the Data-Out that belongs to it.
struct Chunk {
    Bytes medium;
    MutableBytes data_out;
};
Chunk chunk_of(const Unit& unit, const Command& command) {
    const std::size_t bytes = chunk_blocks(unit, command) * block_size_of(unit);
    const std::size_t at = command.scratch[slot::position] * block_size_of(unit);
    const bool has_all = at + bytes <= command.data_out_received;
    return {command.buffer.subspan(chunk_offset(command), bytes),
            has_all ? command.buffer.subspan(at, bytes) : MutableBytes{}};
}

ExclusiveStep claim_range(Command& command) {
    command.scratch[slot::stage] = claiming;
    return {Lba{command.scratch[slot::first_block]},
            BlockCount{command.scratch[slot::block_count]}};
}

BlockStep write_data_out(const Unit& unit, Command& command, bool durable) {
    command.scratch[slot::stage] = writing;
    return {BlockOperation::write, durable || force_unit_access(unit, command),
            Lba{command.scratch[slot::first_block]}, BlockCount{command.scratch[slot::block_count]},
            0};
}

Step read_next_or_end(const Unit& unit, Command& command) {
    if (command.scratch[slot::position] < command.scratch[slot::block_count]) {
        return read_chunk(unit, command);
    }
    return with_data_out(command, good());
}

Done medium_failed(const Unit& unit, const Command& command, const BlockOutcome& outcome) {
    const BlockOperation operation =
        command.scratch[slot::stage] == writing ? BlockOperation::write : BlockOperation::read;
    return with_data_out(command, medium_failure(unit, outcome, operation, chunk_first(command)));
}

}  // namespace

// VERIFY, SBC-3 section 5.35: nothing but reading, and comparing if BYTCHK says so.

Admission admit_verify(Unit& unit, Command& command) {
    constexpr std::uint8_t byte_check_bit = 2;
    const BlockRange range = range_of(command);
    switch (byte_check(command)) {
        case ByteCheck::none:
            return admit_beside_chunk(unit, command, range, 0);
        case ByteCheck::all:
            return admit_beside_chunk(unit, command, range, range.block_count);
        case ByteCheck::one_block:
            return admit_beside_chunk(unit, command, range, range.block_count == 0 ? 0 : 1);
        case ByteCheck::reserved:
            break;
    }
    return invalid_field(unit, 1, byte_check_bit);
}

Step start_verify(Unit& unit, Command& command) {
    if (byte_check(command) == ByteCheck::all) {
        if (auto refused = take_received_blocks(unit, command)) return *refused;
    }
    if (byte_check(command) == ByteCheck::one_block &&
        command.data_out_received < command.scratch[slot::data_out_total]) {
        return with_data_out(command, fail(unit, sense_code::invalid_field_in_information_unit));
    }
    return read_next_or_end(unit, command);
}

/// Whether the medium holds what the Data-Out says.
bool is_as_sent(const Unit& unit, const Command& command, const Chunk& chunk) {
    if (byte_check(command) == ByteCheck::all) {
        return std::equal(chunk.medium.begin(), chunk.medium.end(), chunk.data_out.begin());
    }
    const Bytes block = command.buffer.first(block_size_of(unit));
    for (std::size_t at = 0; at < chunk.medium.size(); at += block.size()) {
        if (!std::ranges::equal(chunk.medium.subspan(at, block.size()), block)) return false;
    }
    return true;
}

Step resume_verify(Unit& unit, Command& command, const BlockOutcome& outcome) {
    if (outcome.status != BlockStatus::good) return medium_failed(unit, command, outcome);
    if (compares_bytes(command) && !is_as_sent(unit, command, chunk_of(unit, command))) {
        return with_data_out(command, fail(unit, sense_code::miscompare_during_verify));
    }
    command.scratch[slot::position] += chunk_blocks(unit, command);
    return read_next_or_end(unit, command);
}

// WRITE AND VERIFY, SBC-3 section 5.46. What is verified is on the medium, so the write is durable.

Admission admit_write_and_verify(Unit& unit, Command& command) {
    const BlockRange range = range_of(command);
    return admit_beside_chunk(unit, command, range, range.block_count);
}

Step start_write_and_verify(Unit& unit, Command& command) {
    if (auto refused = take_received_blocks(unit, command)) return *refused;
    if (command.scratch[slot::block_count] == 0) return with_data_out(command, good());
    return write_data_out(unit, command, true);
}

Step resume_write_and_verify(Unit& unit, Command& command, const BlockOutcome& outcome) {
    if (outcome.status != BlockStatus::good) return medium_failed(unit, command, outcome);
    if (command.scratch[slot::stage] == writing) return read_chunk(unit, command);
    return resume_verify(unit, command, outcome);
}

// COMPARE AND WRITE, SBC-3 section 5.2: the Data-Out holds what must be there, then what to write.

Admission admit_compare_and_write(Unit& unit, Command& command) {
    constexpr std::uint16_t length_byte = 13;
    const BlockRange range{cdb_field<8>(command, 2), command.cdb[length_byte], length_byte};
    if (range.block_count > compare_and_write_blocks_max) return invalid_field(unit, length_byte);
    // 256 blocks look like none in the one-byte field; the Data-Out shows what was meant.
    if (range.block_count == 0 && command.expected_data_out != 0) {
        return invalid_field(unit, length_byte);
    }
    const Admission admission = admit_beside_chunk(unit, command, range, 2 * range.block_count);
    const bool fits = command.expected_data_out == 2 * range.block_count * block_size_of(unit);
    if (std::holds_alternative<Admitted>(admission) && !fits) {
        return with_data_out(command, fail(unit, sense_code::invalid_field_in_information_unit));
    }
    return admission;
}

Step start_compare_and_write(Unit&, Command& command) {
    if (command.scratch[slot::block_count] == 0) return good();
    return claim_range(command);
}

Step resume_compare_and_write(Unit& unit, Command& command, const BlockOutcome& outcome) {
    if (outcome.status != BlockStatus::good) return medium_failed(unit, command, outcome);
    if (command.scratch[slot::stage] == claiming) return read_chunk(unit, command);
    if (command.scratch[slot::stage] == writing) return with_data_out(command, good());
    const Chunk chunk = chunk_of(unit, command);
    const auto difference =
        std::mismatch(chunk.medium.begin(), chunk.medium.end(), chunk.data_out.begin());
    if (difference.first != chunk.medium.end()) {
        const auto offset = static_cast<std::uint64_t>(difference.first - chunk.medium.begin());
        const Sense sense{sense_code::miscompare_during_verify, {}, offset};
        return with_data_out(command, check_condition(sense, unit.sense_format()));
    }
    // The new data moves to the front, where it is aligned.
    const std::size_t bytes = chunk.medium.size();
    std::memmove(command.buffer.data(), command.buffer.data() + bytes, bytes);
    return write_data_out(unit, command, false);
}

// ORWRITE(16), SBC-3 section 5.7.

Admission admit_orwrite(Unit& unit, Command& command) {
    return admit_write_and_verify(unit, command);
}

Step start_orwrite(Unit& unit, Command& command) {
    if (auto refused = take_received_blocks(unit, command)) return *refused;
    if (command.scratch[slot::block_count] == 0) return with_data_out(command, good());
    return claim_range(command);
}

Step resume_orwrite(Unit& unit, Command& command, const BlockOutcome& outcome) {
    if (outcome.status != BlockStatus::good) return medium_failed(unit, command, outcome);
    if (command.scratch[slot::stage] == claiming) return read_chunk(unit, command);
    if (command.scratch[slot::stage] == writing) return with_data_out(command, good());
    const Chunk chunk = chunk_of(unit, command);
    std::transform(chunk.data_out.begin(), chunk.data_out.end(), chunk.medium.begin(),
                   chunk.data_out.begin(), [](std::byte a, std::byte b) { return a | b; });
    command.scratch[slot::position] += chunk.medium.size() / block_size_of(unit);
    if (command.scratch[slot::position] < command.scratch[slot::block_count]) {
        return read_chunk(unit, command);
    }
    command.scratch[slot::position] = 0;
    return write_data_out(unit, command, false);
}

}  // namespace cowtgt::scsi
