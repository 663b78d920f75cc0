#include "target/scsi/block_commands.h"

#include <algorithm>

namespace cowtgt::scsi {
namespace {

std::uint32_t to_bytes(std::uint64_t blocks, std::uint32_t block_size) {
    return static_cast<std::uint32_t>(blocks * block_size);
}

BlockStep whole_write(const Unit& unit, const Command& command) {
    return {BlockOperation::write, force_unit_access(unit, command),
            Lba{command.scratch[slot::first_block]}, BlockCount{command.scratch[slot::block_count]},
            0};
}

}  // namespace

BlockRange range_of(const Command& command) {
    // The group code, the upper three bits of the operation code, says the format (SPC-4 4.2.5.1).
    switch (command.cdb[0] >> 5) {
        case 0: {
            const std::uint64_t blocks = command.cdb[4];
            return {cdb_field<3>(command, 1) & 0x1fffff, blocks == 0 ? 256 : blocks, 4};
        }
        case 4:
            return {cdb_field<8>(command, 2), cdb_field<4>(command, 10), 10};
        case 5:
            return {cdb_field<4>(command, 2), cdb_field<4>(command, 6), 6};
        default:
            return {cdb_field<4>(command, 2), cdb_field<2>(command, 7), 7};
    }
}

std::optional<Done> check_range(const Unit& unit, const BlockRange& range) {
    const std::uint64_t capacity = unit.device.geometry().block_count.value;
    if (range.first_block <= capacity && range.block_count <= capacity - range.first_block) {
        return std::nullopt;
    }
    return fail(unit, sense_code::lba_out_of_range);
}

bool force_unit_access(const Unit& unit, const Command& command) {
    constexpr std::uint8_t fua = 0x08;
    const bool has_fua_bit = command.cdb[0] >> 5 != 0;
    return !unit.mode.write_cache || (has_fua_bit && (command.cdb[1] & fua) != 0);
}

std::optional<Done> take_received_blocks(const Unit& unit, Command& command) {
    const std::uint32_t block_size = unit.device.geometry().block_size;
    if (command.data_out_received % block_size != 0) {
        return with_data_out(command, fail(unit, sense_code::invalid_field_in_information_unit));
    }
    command.scratch[slot::block_count] = std::min<std::uint64_t>(
        command.scratch[slot::block_count], command.data_out_received / block_size);
    return std::nullopt;
}

Done with_data_out(const Command& command, Done done) {
    done.data_out_total = command.scratch[slot::data_out_total];
    return done;
}

Admission admit_read(Unit& unit, Command& command) {
    const BlockRange range = range_of(command);
    if (auto refused = check_range(unit, range)) return *refused;
    const std::uint32_t block_size = unit.device.geometry().block_size;
    if (range.block_count > unit.config.transfer_length_max / block_size) {
        return invalid_field(unit, range.length_byte);
    }
    command.scratch[slot::first_block] = range.first_block;
    command.scratch[slot::block_count] = range.block_count;
    return Admitted{to_bytes(range.block_count, block_size), 0};
}

Step start_read(Unit&, Command& command) {
    if (command.scratch[slot::block_count] == 0) return good();
    return BlockStep{BlockOperation::read,
                     false,
                     Lba{command.scratch[slot::first_block]},
                     BlockCount{command.scratch[slot::block_count]},
                     0,
                     true};
}

Step resume_read(Unit& unit, Command& command, const BlockOutcome& outcome) {
    if (outcome.status != BlockStatus::good) {
        return medium_failure(unit, outcome, BlockOperation::read,
                              Lba{command.scratch[slot::first_block]});
    }
    Done done;
    done.data_in_length =
        to_bytes(command.scratch[slot::block_count], unit.device.geometry().block_size);
    done.data_in_total = done.data_in_length;
    return done;
}

Admission admit_write(Unit& unit, Command& command) {
    Admission admission = admit_read(unit, command);
    if (auto* admitted = std::get_if<Admitted>(&admission)) {
        command.scratch[slot::data_out_total] = admitted->buffer_bytes;
        admitted->data_out_bytes = std::min(admitted->buffer_bytes, command.expected_data_out);
    }
    return admission;
}

Step start_write(Unit& unit, Command& command) {
    if (auto refused = take_received_blocks(unit, command)) return *refused;
    if (command.scratch[slot::block_count] == 0) return with_data_out(command, good());
    return whole_write(unit, command);
}

Step resume_write(Unit& unit, Command& command, const BlockOutcome& outcome) {
    if (outcome.status == BlockStatus::good) return with_data_out(command, good());
    return with_data_out(command, medium_failure(unit, outcome, BlockOperation::write,
                                                 Lba{command.scratch[slot::first_block]}));
}

// WRITE ATOMIC(16), SBC-4 section 5.48: never seen half done by another command. Surviving power
// loss as a whole is up to the device, which gets it as one durable write.

Admission admit_write_atomic(Unit& unit, Command& command) {
    constexpr std::uint16_t length_byte = 12;
    const BlockRange range{cdb_field<8>(command, 2), cdb_field<2>(command, length_byte),
                           length_byte};
    if (auto refused = check_range(unit, range)) return *refused;
    if (range.block_count > atomic_blocks_max) return invalid_field(unit, length_byte);
    command.scratch[slot::first_block] = range.first_block;
    command.scratch[slot::block_count] = range.block_count;
    const std::uint32_t bytes = to_bytes(range.block_count, unit.device.geometry().block_size);
    command.scratch[slot::data_out_total] = bytes;
    return Admitted{bytes, std::min(bytes, command.expected_data_out)};
}

Step start_write_atomic(Unit& unit, Command& command) {
    if (command.data_out_received < command.scratch[slot::data_out_total]) {
        // Half of it would not be atomic.
        return with_data_out(command, fail(unit, sense_code::invalid_field_in_information_unit));
    }
    if (command.scratch[slot::block_count] == 0) return good();
    command.scratch[slot::stage] = 0;
    return ExclusiveStep{Lba{command.scratch[slot::first_block]},
                         BlockCount{command.scratch[slot::block_count]}};
}

Step resume_write_atomic(Unit& unit, Command& command, const BlockOutcome& outcome) {
    if (outcome.status == BlockStatus::good && command.scratch[slot::stage] == 0) {
        command.scratch[slot::stage] = 1;
        BlockStep step = whole_write(unit, command);
        step.force_unit_access = true;
        return step;
    }
    return resume_write(unit, command, outcome);
}

Admission admit_synchronize_cache(Unit& unit, Command& command) {
    if (auto refused = check_range(unit, range_of(command))) return *refused;
    return Admitted{};
}

/// The whole device is flushed whatever the range is, and IMMED is answered after the flush: both
/// promise the initiator more than it asked for.
Step start_synchronize_cache(Unit&, Command&) {
    return BlockStep{BlockOperation::flush, false, {}, {}, 0};
}

Step resume_synchronize_cache(Unit& unit, Command&, const BlockOutcome& outcome) {
    if (outcome.status != BlockStatus::good) {
        return medium_failure(unit, outcome, BlockOperation::flush, {});
    }
    return good();
}

Admission admit_prefetch(Unit& unit, Command& command) {
    if (auto refused = check_range(unit, range_of(command))) return *refused;
    return Admitted{};
}

/// GOOD means that not all blocks are known to fit into the cache (SBC-3 section 5.10); reading
/// ahead is left to the page cache, which does it better.
Step start_prefetch(Unit&, Command&) {
    return good();
}

}  // namespace cowtgt::scsi
