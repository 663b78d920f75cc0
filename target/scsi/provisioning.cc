#include "target/scsi/provisioning.h"

#include <algorithm>
#include <cstring>

#include "cow-store/base/check.h"
#include "target/scsi/block_commands.h"

namespace cowtgt::scsi {
namespace {

/// UNMAP parameter list, SBC-3 table 137.
struct UnmapHeader {
    be16 data_length;
    be16 block_descriptor_data_length;
    std::array<std::uint8_t, 4> reserved_4;
};
struct UnmapDescriptor {
    be64 first_block;
    be32 block_count;
    std::array<std::uint8_t, 4> reserved_12;
};
static_assert(sizeof(UnmapHeader) == 8 && sizeof(UnmapDescriptor) == 16);

/// GET LBA STATUS parameter data, SBC-3 table 51.
struct LbaStatusDescriptor {
    be64 first_block;
    be32 block_count;
    std::uint8_t provisioning_status;
    std::array<std::uint8_t, 3> reserved_13;
};
static_assert(sizeof(LbaStatusDescriptor) == 16);

constexpr std::size_t lba_status_header_bytes = 8;
/// As many descriptors as parameter_buffer_bytes hold; the initiator asks again for the rest.
constexpr std::uint64_t lba_status_descriptors_max =
    (parameter_buffer_bytes - lba_status_header_bytes) / sizeof(LbaStatusDescriptor);

std::uint8_t provisioning_status(Provisioning state) {
    switch (state) {
        case Provisioning::mapped:
            return 0;
        case Provisioning::deallocated:
            return 1;
        case Provisioning::anchored:
            return 2;
    }
    return 0;
}

/// Requires: the list has been checked to be long enough.
UnmapDescriptor unmap_descriptor(const Command& command, std::uint64_t index) {
    UnmapDescriptor descriptor;
    std::memcpy(&descriptor,
                command.buffer.data() + sizeof(UnmapHeader) + index * sizeof descriptor,
                sizeof descriptor);
    return descriptor;
}

/// Checks the whole list before anything is done.
std::optional<Done> check_unmap_list(const Unit& unit, const Command& command,
                                     std::uint64_t count) {
    constexpr std::uint16_t first_descriptor = sizeof(UnmapHeader);
    if (count > unmap_descriptors_max) return invalid_parameter(unit, 2);
    std::uint64_t blocks = 0;
    for (std::uint64_t i = 0; i < count; ++i) {
        const UnmapDescriptor descriptor = unmap_descriptor(command, i);
        const BlockRange range{descriptor.first_block.get(), descriptor.block_count.get(), 0};
        if (auto refused = check_range(unit, range)) return refused;
        blocks += range.block_count;
        if (blocks > unmap_blocks_max) {
            return invalid_parameter(
                unit, static_cast<std::uint16_t>(first_descriptor + i * sizeof descriptor + 8));
        }
    }
    return std::nullopt;
}

/// The next descriptor with blocks, or the end. position counts descriptors, block_count is how
/// many there are.
Step next_unmap(const Unit& unit, Command& command) {
    while (command.scratch[slot::position] < command.scratch[slot::block_count]) {
        const UnmapDescriptor descriptor =
            unmap_descriptor(command, command.scratch[slot::position]);
        ++command.scratch[slot::position];
        if (descriptor.block_count.get() == 0) continue;
        command.scratch[slot::first_block] = descriptor.first_block.get();
        return BlockStep{BlockOperation::deallocate, !unit.mode.write_cache,
                         Lba{descriptor.first_block.get()},
                         BlockCount{descriptor.block_count.get()}, 0};
    }
    return with_data_out(command, good());
}

constexpr std::uint8_t write_same_unmap = 0x08;
constexpr std::uint8_t write_same_ndob = 0x01;

/// NDOB: there is no Data-Out, the block is all zeros.
bool has_data_out(const Command& command) {
    return (command.cdb[1] & write_same_ndob) == 0;
}

bool is_all_zeros(Bytes bytes) {
    return std::all_of(bytes.begin(), bytes.end(), [](std::byte b) { return b == std::byte{0}; });
}

/// Bytes of the buffer that are filled with the pattern; the buffer may be larger than asked for.
std::size_t pattern_room(const Command& command) {
    return std::min<std::size_t>(command.buffer.size(), write_same_chunk_bytes);
}

enum Stage : std::uint64_t { deallocating, writing };

Step next_write_same(const Unit& unit, Command& command) {
    const std::uint64_t left = command.scratch[slot::block_count] - command.scratch[slot::position];
    if (left == 0) return with_data_out(command, good());
    const Lba first{command.scratch[slot::first_block] + command.scratch[slot::position]};
    if (command.scratch[slot::stage] == deallocating) {
        command.scratch[slot::position] += left;
        return BlockStep{BlockOperation::deallocate, !unit.mode.write_cache, first,
                         BlockCount{left}, 0};
    }
    const std::uint64_t chunk =
        std::min<std::uint64_t>(left, pattern_room(command) / unit.device.geometry().block_size);
    command.scratch[slot::position] += chunk;
    return BlockStep{BlockOperation::write, !unit.mode.write_cache, first, BlockCount{chunk}, 0};
}

}  // namespace

// UNMAP, SBC-3 section 5.31.

Admission admit_unmap(Unit&, Command& command) {
    const auto list_bytes = static_cast<std::uint32_t>(cdb_field<2>(command, 7));
    command.scratch[slot::data_out_total] = list_bytes;
    return Admitted{list_bytes, std::min(list_bytes, command.expected_data_out)};
}

Step start_unmap(Unit& unit, Command& command) {
    const std::uint64_t list_bytes = command.scratch[slot::data_out_total];
    if (list_bytes == 0) return good();
    UnmapHeader header;
    if (command.data_out_received < list_bytes || list_bytes < sizeof header) {
        return with_data_out(command, fail(unit, sense_code::parameter_list_length_error));
    }
    std::memcpy(&header, command.buffer.data(), sizeof header);
    const std::size_t descriptor_bytes = header.block_descriptor_data_length.get();
    if (descriptor_bytes > list_bytes - sizeof header) {
        return with_data_out(command, fail(unit, sense_code::parameter_list_length_error));
    }
    const std::uint64_t count = descriptor_bytes / sizeof(UnmapDescriptor);
    if (auto refused = check_unmap_list(unit, command, count)) {
        return with_data_out(command, *refused);
    }
    command.scratch[slot::block_count] = count;
    command.scratch[slot::position] = 0;
    return next_unmap(unit, command);
}

Step resume_unmap(Unit& unit, Command& command, const BlockOutcome& outcome) {
    if (outcome.status != BlockStatus::good) {
        return with_data_out(command, medium_failure(unit, outcome, BlockOperation::deallocate,
                                                     Lba{command.scratch[slot::first_block]}));
    }
    return next_unmap(unit, command);
}

// WRITE SAME, SBC-3 sections 5.49 and 5.50.

Admission admit_write_same(Unit& unit, Command& command) {
    BlockRange range = range_of(command);
    if (auto refused = check_range(unit, range)) return *refused;
    // WSNZ = 0: no count means to the end, within the same limit.
    if (range.block_count == 0) {
        range.block_count = unit.device.geometry().block_count.value - range.first_block;
    }
    if (range.block_count > write_same_blocks_max) return invalid_field(unit, range.length_byte);
    if ((command.cdb[1] & write_same_unmap) != 0 && !unit.config.thin) {
        return invalid_field(unit, 1, std::uint8_t{3});
    }
    command.scratch[slot::first_block] = range.first_block;
    command.scratch[slot::block_count] = range.block_count;
    command.scratch[slot::position] = 0;
    command.scratch[slot::data_out_total] = 0;
    if (!has_data_out(command)) return Admitted{};
    const std::uint32_t block_size = unit.device.geometry().block_size;
    command.scratch[slot::data_out_total] = block_size;
    if (command.expected_data_out != block_size) {
        return with_data_out(command, fail(unit, sense_code::invalid_field_in_information_unit));
    }
    const auto chunk = static_cast<std::uint32_t>(std::clamp<std::uint64_t>(
        range.block_count * block_size, block_size, write_same_chunk_bytes));
    return Admitted{std::min(chunk, unit.config.transfer_length_max), block_size};
}

/// A block of zeros is deallocated with or without the UNMAP bit, since it reads back the same
/// (LBPRZ = 1). With the bit everything is, whatever the block holds: that is what other targets do
/// and initiators expect, although SBC-3 section 4.7.3.4.4 would have a block of other data
/// written.
Step start_write_same(Unit& unit, Command& command) {
    const std::uint32_t block_size = unit.device.geometry().block_size;
    command.scratch[slot::stage] = deallocating;
    if (has_data_out(command)) {
        if (command.data_out_received != block_size) {
            return with_data_out(command,
                                 fail(unit, sense_code::invalid_field_in_information_unit));
        }
        const MutableBytes block = command.buffer.first(block_size);
        const bool unmaps = (command.cdb[1] & write_same_unmap) != 0;
        if (!unmaps && !is_all_zeros(block)) {
            command.scratch[slot::stage] = writing;
            for (std::size_t at = block_size; at + block_size <= pattern_room(command);
                 at += block_size) {
                std::copy(block.begin(), block.end(), command.buffer.data() + at);
            }
        }
    }
    return next_write_same(unit, command);
}

Step resume_write_same(Unit& unit, Command& command, const BlockOutcome& outcome) {
    if (outcome.status != BlockStatus::good) {
        return with_data_out(command, medium_failure(unit, outcome, BlockOperation::write,
                                                     Lba{command.scratch[slot::first_block]}));
    }
    return next_write_same(unit, command);
}

// GET LBA STATUS, SBC-3 section 5.5.

Admission admit_get_lba_status(Unit& unit, Command& command) {
    const BlockRange first{cdb_field<8>(command, 2), 1, 2};
    if (auto refused = check_range(unit, first)) return *refused;
    return Admitted{parameter_buffer_bytes, 0};
}

Step start_get_lba_status(Unit& unit, Command& command) {
    const std::uint64_t allocation = cdb_field<4>(command, 10);
    const std::uint64_t room =
        allocation < lba_status_header_bytes
            ? 0
            : (allocation - lba_status_header_bytes) / sizeof(LbaStatusDescriptor);
    const std::uint64_t descriptors =
        std::clamp<std::uint64_t>(room, 1, lba_status_descriptors_max);
    const std::uint64_t capacity = unit.device.geometry().block_count.value;
    DataIn data(command.buffer);
    data.put_zeros(lba_status_header_bytes);
    std::uint64_t at = cdb_field<8>(command, 2);
    for (std::uint64_t i = 0; i < descriptors && at < capacity; ++i) {
        const BlockCount wanted{std::min<std::uint64_t>(capacity - at, 0xffffffff)};
        const ProvisioningRun run = unit.device.provisioning(Lba{at}, wanted);
        CHECK(run.block_count.value > 0 && run.block_count <= wanted);
        data.put_struct(LbaStatusDescriptor{at,
                                            static_cast<std::uint32_t>(run.block_count.value),
                                            provisioning_status(run.state),
                                            {}});
        at += run.block_count.value;
    }
    data.set32(0, data.size() - 4);
    return data_in(data, allocation);
}

}  // namespace cowtgt::scsi
