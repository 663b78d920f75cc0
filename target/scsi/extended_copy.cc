#include "target/scsi/extended_copy.h"

#include <algorithm>
#include <cstring>

#include "target/scsi/block_commands.h"

namespace cowtgt::scsi {
namespace {

/// Parameter list header, SPC-4 table 108.
struct ListHeader {
    std::uint8_t list_identifier;
    std::uint8_t flags;  ///< STR, LIST ID USAGE, PRIORITY
    be16 target_list_bytes;
    std::array<std::uint8_t, 4> reserved_4;
    be32 segment_list_bytes;
    be32 inline_data_bytes;
};
static_assert(sizeof(ListHeader) == 16);

/// Identification descriptor target descriptor, SPC-4 section 6.4.5.4.
struct TargetDescriptor {
    std::uint8_t type_code;
    std::uint8_t flags;  ///< LU ID TYPE, NUL, PERIPHERAL DEVICE TYPE
    be16 relative_initiator_port;
    std::uint8_t code_set;
    std::uint8_t designator_type;  ///< with PROTOCOL and ASSOCIATION, as in VPD page 83h
    std::uint8_t reserved_6;
    std::uint8_t designator_bytes;
    std::array<std::uint8_t, 20> designator;
    std::uint8_t pad;
    be24 block_size;
};
static_assert(sizeof(TargetDescriptor) == copy_target_descriptor_bytes);

/// Block device to block device segment descriptor, SPC-4 section 6.4.6.3.
struct BlockSegment {
    static constexpr std::uint8_t type = 0x02;
    std::uint8_t type_code;
    std::uint8_t flags;  ///< DC, CAT
    be16 descriptor_bytes;
    be16 source, destination;  ///< indices of target descriptors
    be16 reserved_8;
    be16 block_count;
    be64 source_block, destination_block;
};
static_assert(sizeof(BlockSegment) == 28);

/// Block device to block device with byte offsets, SPC-4 section 6.4.6.11: its 32 bits of length
/// are what large copies need.
struct OffsetSegment {
    static constexpr std::uint8_t type = 0x0a;
    std::uint8_t type_code;
    std::uint8_t flags;  ///< CAT
    be16 descriptor_bytes;
    be16 source, destination;  ///< indices of target descriptors
    be32 byte_count;
    be64 source_block, destination_block;
    be16 source_byte_offset, destination_byte_offset;
};
static_assert(sizeof(OffsetSegment) == copy_segment_descriptor_bytes_max);

/// A segment, whichever descriptor says it.
struct Segment {
    std::uint16_t source, destination;  ///< indices of target descriptors
    std::uint64_t source_block, destination_block, block_count;
};

constexpr std::uint8_t identification_target = 0xe4;
constexpr std::uint32_t list_room_bytes = 4096;  ///< what is copied lies behind it, aligned
constexpr std::uint32_t copy_chunk_bytes_max = 1U << 20;
constexpr std::uint8_t granularity_exponent = 9;  ///< segments are multiples of 2^9 bytes
static_assert(sizeof(ListHeader) + copy_descriptor_bytes_max <= list_room_bytes);

/// Command::scratch, besides what block_commands.h says: position counts blocks of the segment.
constexpr std::size_t segment_slot = 5;
constexpr std::size_t bytes_slot = 6;   ///< transferred so far
constexpr std::size_t blocks_slot = 7;  ///< of the step under way

/// What the outcome that resume() gets belongs to.
enum Stage : std::uint64_t { reading, writing };

template <typename T>
T struct_at(const Command& command, std::size_t at) {
    T value;
    std::memcpy(&value, command.buffer.data() + at, sizeof value);
    return value;
}

ListHeader header_of(const Command& command) {
    return struct_at<ListHeader>(command, 0);
}

std::size_t segments_at(const Command& command) {
    return sizeof(ListHeader) + header_of(command).target_list_bytes.get();
}

std::size_t segments_end(const Command& command) {
    return segments_at(command) + header_of(command).segment_list_bytes.get();
}

/// 0: no descriptor of a type that is known.
std::size_t segment_descriptor_bytes(std::byte type_code) {
    switch (std::to_integer<std::uint8_t>(type_code)) {
        case BlockSegment::type:
            return sizeof(BlockSegment);
        case OffsetSegment::type:
            return sizeof(OffsetSegment);
        default:
            return 0;
    }
}

/// Where the descriptor of the segment under way begins; segments_end() after the last one.
/// Requires: the list has been checked.
std::size_t segment_at(const Command& command) {
    std::size_t at = segments_at(command);
    for (std::uint64_t i = 0; i < command.scratch[segment_slot]; ++i) {
        at += segment_descriptor_bytes(command.buffer[at]);
    }
    return at;
}

/// Stays beyond every unit's end where the sum would come round to its beginning.
std::uint64_t add_blocks(std::uint64_t lba, std::uint64_t blocks) {
    return std::max(lba, lba + blocks);
}

/// Nothing if the bytes are not whole blocks.
std::optional<Segment> whole_blocks(const OffsetSegment& descriptor, std::uint64_t block_size) {
    const std::uint64_t from = descriptor.source_byte_offset.get();
    const std::uint64_t to = descriptor.destination_byte_offset.get();
    const std::uint64_t bytes = descriptor.byte_count.get();
    if (from % block_size != 0 || to % block_size != 0 || bytes % block_size != 0) {
        return std::nullopt;
    }
    return Segment{descriptor.source.get(), descriptor.destination.get(),
                   add_blocks(descriptor.source_block.get(), from / block_size),
                   add_blocks(descriptor.destination_block.get(), to / block_size),
                   bytes / block_size};
}

std::optional<Segment> read_segment(const Unit& unit, const Command& command, std::size_t at) {
    if (command.buffer[at] == std::byte{OffsetSegment::type}) {
        return whole_blocks(struct_at<OffsetSegment>(command, at), unit.geometry().block_size);
    }
    const auto descriptor = struct_at<BlockSegment>(command, at);
    return Segment{descriptor.source.get(), descriptor.destination.get(),
                   descriptor.source_block.get(), descriptor.destination_block.get(),
                   descriptor.block_count.get()};
}

/// Requires: the list has been checked and is not at its end.
Segment segment_of(const Unit& unit, const Command& command) {
    return *read_segment(unit, command, segment_at(command));
}

std::uint32_t chunk_bytes(const Unit& unit) {
    const std::uint32_t room = unit.config.transfer_length_max - list_room_bytes;
    return std::min(copy_chunk_bytes_max, room / list_room_bytes * list_room_bytes);
}

/// The lengths in the header, before anything else is looked at.
std::optional<SenseCode> check_lengths(const Command& command, std::uint64_t list_bytes) {
    if (list_bytes < sizeof(ListHeader)) return sense_code::parameter_list_length_error;
    const ListHeader header = header_of(command);
    const std::uint64_t targets = header.target_list_bytes.get();
    const std::uint64_t segments = header.segment_list_bytes.get();
    if (targets + segments > copy_descriptor_bytes_max) {
        return sense_code::parameter_list_length_error;
    }
    if (header.inline_data_bytes.get() != 0) return sense_code::inline_data_too_long;
    if (targets % copy_target_descriptor_bytes != 0 ||
        sizeof header + targets + segments > list_bytes) {
        return sense_code::parameter_list_length_error;
    }
    if (targets > copy_targets_max * copy_target_descriptor_bytes) {
        return sense_code::too_many_target_descriptors;
    }
    return std::nullopt;
}

/// True if the descriptor names this logical unit by a designator of its VPD page 83h.
bool names_unit(const Unit& unit, const TargetDescriptor& target) {
    constexpr std::uint8_t type_and_association = 0x3f;
    constexpr std::uint8_t vendor_identification = 0x01;
    constexpr std::uint8_t naa = 0x03;
    const std::size_t length =
        std::min<std::size_t>(target.designator_bytes, target.designator.size());
    const std::span<const std::uint8_t> designator = std::span(target.designator).first(length);
    switch (target.designator_type & type_and_association) {
        case naa:
            return std::ranges::equal(designator, unit.config.naa);
        case vendor_identification: {
            // A longer one is cut to what the descriptor has room for.
            std::string name = unit.config.vendor.substr(0, 8);
            name.resize(8, ' ');
            name += unit.config.serial;
            return length > 8 &&
                   std::ranges::equal(designator, std::string_view(name).substr(0, length));
        }
        default:
            return false;
    }
}

std::optional<Done> check_targets(const Unit& unit, const Command& command) {
    constexpr std::uint8_t null_target = 0x20;  // NUL
    const std::size_t end = segments_at(command);
    for (std::size_t at = sizeof(ListHeader); at < end; at += copy_target_descriptor_bytes) {
        const auto target = struct_at<TargetDescriptor>(command, at);
        if (target.type_code != identification_target) {
            return fail(unit, sense_code::unsupported_target_descriptor);
        }
        if ((target.flags & null_target) != 0 || !names_unit(unit, target)) {
            return fail(unit, sense_code::copy_target_not_reachable);
        }
    }
    return std::nullopt;
}

/// The type says how long a descriptor is, so an unknown one ends the reading of the list.
std::optional<Done> check_segment_list(const Unit& unit, const Command& command) {
    const std::size_t end = segments_end(command);
    std::uint16_t count = 0;
    for (std::size_t at = segments_at(command); at < end; ++count) {
        if (count == copy_segments_max) return fail(unit, sense_code::too_many_segment_descriptors);
        const std::size_t bytes = segment_descriptor_bytes(command.buffer[at]);
        if (bytes == 0) return fail(unit, sense_code::unsupported_segment_descriptor);
        if (end - at < bytes) return fail(unit, sense_code::parameter_list_length_error);
        at += bytes;
    }
    return std::nullopt;
}

std::optional<Done> check_segment(const Unit& unit, const Command& command, std::size_t at) {
    const std::uint64_t targets =
        header_of(command).target_list_bytes.get() / copy_target_descriptor_bytes;
    const std::optional<Segment> segment = read_segment(unit, command, at);
    if (!segment || segment->block_count > copy_segment_bytes_max / unit.geometry().block_size) {
        constexpr std::size_t length_byte = 8;
        return invalid_parameter(unit, static_cast<std::uint16_t>(at + length_byte));
    }
    if (segment->source >= targets || segment->destination >= targets) {
        return fail(unit, sense_code::unreachable_copy_target);
    }
    if (check_range(unit, {segment->source_block, segment->block_count, 0}) ||
        check_range(unit, {segment->destination_block, segment->block_count, 0})) {
        return fail(unit, sense_code::copy_aborted);
    }
    return std::nullopt;
}

std::optional<Done> check_segments(const Unit& unit, Command& command) {
    if (auto refused = check_segment_list(unit, command)) return refused;
    const std::size_t end = segments_end(command);
    for (std::size_t at = segments_at(command); at < end;) {
        if (auto refused = check_segment(unit, command, at)) return refused;
        at += segment_descriptor_bytes(command.buffer[at]);
    }
    command.scratch[segment_slot] = 0;
    return std::nullopt;
}

enum class CopyEnd : std::uint8_t { completed, failed };

/// Remembers the result unless LIST ID USAGE says that there is no list identifier.
void remember(Unit& unit, const Command& command, CopyEnd end) {
    constexpr std::uint8_t usage_bits = 0x18;
    const ListHeader header = header_of(command);
    if ((header.flags & usage_bits) == usage_bits) return;
    const std::uint8_t identifier = header.list_identifier;
    std::erase_if(unit.copies, [&](const CopyResult& known) {
        return known.nexus == command.nexus && known.list_identifier == identifier;
    });
    if (unit.copies.size() == copy_results_max) unit.copies.erase(unit.copies.begin());
    unit.copies.push_back({command.nexus, identifier, end == CopyEnd::failed,
                           static_cast<std::uint16_t>(command.scratch[segment_slot]),
                           command.scratch[bytes_slot]});
}

/// Source behind destination, and the two overlap: then the copy goes from the end to the front,
/// so that nothing is overwritten before it was read.
bool goes_backwards(const Segment& segment) {
    const std::uint64_t from = segment.source_block;
    const std::uint64_t to = segment.destination_block;
    return from < to && to - from < segment.block_count;
}

/// Where the step under way begins in source and destination.
struct Places {
    Lba source, destination;
};
Places places_of(const Segment& segment, const Command& command) {
    const std::uint64_t done = command.scratch[slot::position];
    const std::uint64_t offset =
        goes_backwards(segment) ? segment.block_count - done - command.scratch[blocks_slot] : done;
    return {Lba{segment.source_block + offset}, Lba{segment.destination_block + offset}};
}

/// What reads as zeros is not read but unmapped at the destination.
Step next_copy_step(Unit& unit, Command& command) {
    while (segment_at(command) < segments_end(command)) {
        const Segment segment = segment_of(unit, command);
        const std::uint64_t left = segment.block_count - command.scratch[slot::position];
        if (left == 0) {
            command.scratch[slot::position] = 0;
            ++command.scratch[segment_slot];
            continue;
        }
        const std::uint64_t chunk = chunk_bytes(unit) / unit.geometry().block_size;
        command.scratch[blocks_slot] = std::min(left, chunk);
        if (!goes_backwards(segment)) {
            const ProvisioningRun run =
                unit.device.provisioning(places_of(segment, command).source, BlockCount{left});
            const bool zeros = unit.config.thin && run.state != Provisioning::mapped;
            const std::uint64_t blocks = std::min(left, run.block_count.value);
            command.scratch[blocks_slot] = zeros ? blocks : std::min(blocks, chunk);
            if (zeros) {
                command.scratch[slot::stage] = writing;
                return BlockStep{BlockOperation::deallocate, !unit.mode.write_cache,
                                 places_of(segment, command).destination, BlockCount{blocks}, 0};
            }
        }
        command.scratch[slot::stage] = reading;
        return BlockStep{BlockOperation::read, false, places_of(segment, command).source,
                         BlockCount{command.scratch[blocks_slot]}, list_room_bytes};
    }
    remember(unit, command, CopyEnd::completed);
    return with_data_out(command, good());
}

constexpr std::array<std::uint8_t, 3> implemented_descriptors = {
    BlockSegment::type, OffsetSegment::type, identification_target};

}  // namespace

Admission admit_extended_copy(Unit& unit, Command& command) {
    const std::uint64_t list_bytes = cdb_field<4>(command, 10);
    command.scratch[slot::data_out_total] = list_bytes;
    if (list_bytes == 0) return Admitted{};
    if (list_bytes > list_room_bytes) return fail(unit, sense_code::parameter_list_length_error);
    const auto bytes = static_cast<std::uint32_t>(list_bytes);
    return Admitted{list_room_bytes + chunk_bytes(unit),
                    std::min(bytes, command.expected_data_out)};
}

Step start_extended_copy(Unit& unit, Command& command) {
    const std::uint64_t list_bytes = command.scratch[slot::data_out_total];
    if (list_bytes == 0) return good();
    if (command.data_out_received < list_bytes) {
        return with_data_out(command, fail(unit, sense_code::parameter_list_length_error));
    }
    if (auto wrong = check_lengths(command, list_bytes)) {
        return with_data_out(command, fail(unit, *wrong));
    }
    if (auto refused = check_targets(unit, command)) return with_data_out(command, *refused);
    if (auto refused = check_segments(unit, command)) return with_data_out(command, *refused);
    command.scratch[slot::position] = 0;
    command.scratch[bytes_slot] = 0;
    return next_copy_step(unit, command);
}

Step resume_extended_copy(Unit& unit, Command& command, const BlockOutcome& outcome) {
    if (outcome.status != BlockStatus::good) {
        remember(unit, command, CopyEnd::failed);
        return with_data_out(command, fail(unit, sense_code::third_party_device_failure));
    }
    const std::uint64_t blocks = command.scratch[blocks_slot];
    const Segment segment = segment_of(unit, command);
    if (command.scratch[slot::stage] == reading) {
        command.scratch[slot::stage] = writing;
        return BlockStep{BlockOperation::write, !unit.mode.write_cache,
                         places_of(segment, command).destination, BlockCount{blocks},
                         list_room_bytes};
    }
    command.scratch[slot::position] += blocks;
    command.scratch[bytes_slot] += blocks * unit.geometry().block_size;
    return next_copy_step(unit, command);
}

Step start_copy_status(Unit& unit, Command& command) {
    constexpr std::uint8_t completed = 0x01;
    constexpr std::uint8_t completed_with_errors = 0x02;
    constexpr std::uint8_t unit_is_kibibytes = 0x01;
    const auto found =
        std::find_if(unit.copies.begin(), unit.copies.end(), [&](const CopyResult& known) {
            return known.nexus == command.nexus && known.list_identifier == command.cdb[2];
        });
    if (found == unit.copies.end()) return invalid_field(unit, 2);
    DataIn data(command.buffer);
    data.put32(8);
    data.put8(found->failed ? completed_with_errors : completed);
    data.put16(found->segments);
    data.put8(unit_is_kibibytes);
    data.put32(static_cast<std::uint32_t>(found->bytes / 1024));
    return data_in(data, cdb_field<4>(command, 10));
}

Step start_copy_operating_parameters(Unit&, Command& command) {
    constexpr std::uint8_t list_identifiers_optional = 0x01;  // SNLID
    DataIn data(command.buffer);
    data.put32(0);
    data.put8(list_identifiers_optional);
    data.put_zeros(3);
    data.put16(copy_targets_max);
    data.put16(copy_segments_max);
    data.put32(copy_descriptor_bytes_max);
    data.put32(copy_segment_bytes_max);
    data.put_zeros(4 + 4 + 4 + 2);  // no inline data, no held data, no streams
    data.put16(copy_results_max);   // TOTAL CONCURRENT COPIES
    data.put8(copy_results_max);
    data.put8(granularity_exponent);
    data.put_zeros(5);
    data.put8(implemented_descriptors.size());
    data.put(std::as_bytes(std::span(implemented_descriptors)));
    data.set32(0, data.size() - 4);
    return data_in(data, cdb_field<4>(command, 10));
}

void put_third_party_copy(DataIn& data) {
    // Supported Commands: EXTENDED COPY(LID1); COPY STATUS and OPERATING PARAMETERS.
    constexpr std::array<std::uint8_t, 7> supported_commands = {0x83, 1, 0x00, 0x84, 2, 0x00, 0x03};
    data.put16(0x0001);
    data.put16(8);
    data.put8(supported_commands.size());
    data.put(std::as_bytes(std::span(supported_commands)));
    // Parameter Data.
    data.put16(0x0004);
    data.put16(28);
    data.put32(0);
    data.put16(copy_targets_max);
    data.put16(copy_segments_max);
    data.put32(copy_descriptor_bytes_max);
    data.put_zeros(4 + 12);
    // Supported Descriptors.
    data.put16(0x0008);
    static_assert((4 + 1 + implemented_descriptors.size()) % 4 == 0);  // so it needs no padding
    data.put16(1 + implemented_descriptors.size());
    data.put8(implemented_descriptors.size());
    data.put(std::as_bytes(std::span(implemented_descriptors)));
    // Supported CSCD Descriptor IDs: none but indices.
    data.put16(0x000c);
    data.put16(4);
    data.put_zeros(4);
    // General Copy Operations.
    data.put16(0x8001);
    data.put16(32);
    data.put32(copy_results_max);
    data.put32(copy_results_max);
    data.put32(copy_segment_bytes_max);
    data.put8(granularity_exponent);
    data.put_zeros(32 - 13);
}

}  // namespace cowtgt::scsi
