#include "target/scsi/unit_commands.h"

#include <algorithm>
#include <bit>

#include "target/scsi/sanitize.h"

namespace cowtgt::scsi {
namespace {

/// READ CAPACITY(16) parameter data, SBC-3 section 5.16.2.
struct ReadCapacity16 {
    be64 last_block;
    be32 block_size;  ///< bytes
    std::uint8_t protection;
    std::uint8_t physical_block_exponent;  ///< LBPPBE
    be16 provisioning;                     ///< LBPME, LBPRZ, LOWEST ALIGNED LBA
    std::array<std::uint8_t, 16> reserved_16;
};
static_assert(sizeof(ReadCapacity16) == 32);

}  // namespace

/// Whatever could be wrong has been found by the row's columns.
Step start_test_unit_ready(Unit&, Command&) {
    return good();
}

/// SPC-4 section 6.39: a pending unit attention is handed over as data, and is then gone.
Step start_request_sense(Unit& unit, Command& command) {
    constexpr std::uint8_t descriptor_format = 0x01;  // DESC
    const SenseFormat format =
        (command.cdb[1] & descriptor_format) != 0 ? SenseFormat::descriptor : SenseFormat::fixed;
    const std::optional<SenseCode> attention = unit.nexus(command).take_attention();
    SenseCode code = attention.value_or(sense_code::none);
    if (!attention && !unit.medium_loaded) code = sense_code::medium_not_present;
    Sense sense{code, {}, {}};
    if (!attention && unit.sanitizing.state == Sanitizing::State::running) {
        sense = {sense_code::sanitize_in_progress, {}, {}, sanitize_progress(unit)};
    } else if (!attention && unit.sanitizing.state == Sanitizing::State::failed) {
        sense.code = sense_code::sanitize_failed;
    }
    std::array<std::uint8_t, sense_bytes_max> bytes{};
    const std::size_t length = write_sense(sense, format, bytes);
    DataIn data(command.buffer);
    data.put(std::as_bytes(std::span(bytes).first(length)));
    return data_in(data, command.cdb[4]);
}

/// The default self-test, which there is nothing to do for.
Step start_send_diagnostic(Unit&, Command&) {
    return good();
}

// START STOP UNIT, SBC-3 section 5.25. A stopped disk that another machine's firmware cannot start
// again would be a trap, so stopping flushes and nothing else. Only removable media go out.

Admission admit_start_stop_unit(Unit& unit, Command& command) {
    constexpr std::uint8_t load_eject = 0x02;
    const bool has_power_condition = command.cdb[4] >> 4 != 0;
    const bool moves_medium = !has_power_condition && (command.cdb[4] & load_eject) != 0;
    if (!moves_medium) return Admitted{};
    if (!unit.config.removable) return invalid_field(unit, 4, std::uint8_t{1});
    if (unit.removal_prevented()) return fail(unit, sense_code::removal_prevented);
    return Admitted{};
}

Step start_start_stop_unit(Unit& unit, Command& command) {
    constexpr std::uint8_t start = 0x01;
    const bool has_power_condition = command.cdb[4] >> 4 != 0;
    if (has_power_condition) return good();
    if ((command.cdb[4] & start) == 0) return BlockStep{BlockOperation::flush, false, {}, {}, 0};
    return resume_start_stop_unit(unit, command, {});
}

Step resume_start_stop_unit(Unit& unit, Command& command, const BlockOutcome& outcome) {
    constexpr std::uint8_t load_eject = 0x02;
    constexpr std::uint8_t start = 0x01;
    if (outcome.status != BlockStatus::good) {
        return medium_failure(unit, outcome, BlockOperation::flush, {});
    }
    if ((command.cdb[4] & load_eject) == 0) return good();
    const bool loads = (command.cdb[4] & start) != 0;
    if (loads && !unit.medium_loaded) {
        unit.raise_on_others(command.nexus, UnitAttention::medium_may_have_changed);
    }
    unit.medium_loaded = loads;
    return good();
}

Step start_prevent_allow(Unit& unit, Command& command) {
    unit.nexus(command).prevents_removal = (command.cdb[4] & 0x01) != 0;
    return good();
}

Step start_read_capacity_10(Unit& unit, Command& command) {
    const Geometry geometry = unit.geometry();
    DataIn data(command.buffer);
    // All ones: ask READ CAPACITY(16).
    data.put32(static_cast<std::uint32_t>(
        std::min<std::uint64_t>(geometry.block_count.value - 1, 0xffffffff)));
    data.put32(geometry.block_size);
    return data_in(data, data.size());
}

Step start_read_capacity_16(Unit& unit, Command& command) {
    constexpr std::uint16_t provisioning_enabled = 0x8000;  // LBPME
    constexpr std::uint16_t reads_zeros = 0x4000;           // LBPRZ
    const Geometry geometry = unit.geometry();
    const std::uint32_t ratio = geometry.physical_block_size / geometry.block_size;
    ReadCapacity16 capacity{};
    capacity.last_block = geometry.block_count.value - 1;
    capacity.block_size = geometry.block_size;
    capacity.physical_block_exponent =
        static_cast<std::uint8_t>(ratio > 1 ? std::countr_zero(ratio) : 0);
    if (unit.config.thin) {
        capacity.provisioning = static_cast<std::uint16_t>(provisioning_enabled | reads_zeros);
    }
    DataIn data(command.buffer);
    data.put_struct(capacity);
    return data_in(data, cdb_field<4>(command, 10));
}

// READ DEFECT DATA, SBC-3 sections 5.17 and 5.18: both lists are there and empty, in the format
// that was asked for.

Step start_read_defect_data_10(Unit&, Command& command) {
    DataIn data(command.buffer);
    data.put8(0);
    data.put8(command.cdb[2]);
    data.put16(0);
    return data_in(data, cdb_field<2>(command, 7));
}

Step start_read_defect_data_12(Unit&, Command& command) {
    DataIn data(command.buffer);
    data.put8(0);
    data.put8(command.cdb[1]);
    data.put_zeros(6);
    return data_in(data, cdb_field<4>(command, 6));
}

}  // namespace cowtgt::scsi
