#include "target/scsi/report_commands.h"

#include <algorithm>

#include "target/scsi/commands.h"
#include "target/scsi/provisioning.h"

namespace cowtgt::scsi {
namespace {

constexpr std::uint8_t select_well_known = 0x01;
constexpr std::uint8_t select_all = 0x02;

/// Command timeouts descriptor, SPC-4 table 269: nothing is promised about times.
constexpr std::size_t timeouts_descriptor_bytes = 12;
void put_timeouts(DataIn& data) {
    data.put16(timeouts_descriptor_bytes - 2);
    data.put_zeros(timeouts_descriptor_bytes - 2);
}

bool wants_timeouts(const Command& command) {
    return (command.cdb[2] & 0x80) != 0;
}  // RCTD

std::uint16_t service_action_of(const CommandRow& row) {
    return row.has_service_action() ? row.service_action : std::uint16_t{0};
}

Step report_all(Unit& unit, Command& command) {
    constexpr std::uint8_t timeouts_present = 0x02;
    constexpr std::uint8_t service_action_valid = 0x01;
    DataIn data(command.buffer);
    data.put32(0);
    for (const CommandRow& row : all_commands()) {
        if (!is_offered(unit, row)) continue;
        data.put8(row.operation_code);
        data.put8(0);
        data.put16(service_action_of(row));
        data.put8(0);
        data.put8(static_cast<std::uint8_t>((wants_timeouts(command) ? timeouts_present : 0) |
                                            (row.has_service_action() ? service_action_valid : 0)));
        data.put16(row.length);
        if (wants_timeouts(command)) put_timeouts(data);
    }
    data.set32(0, data.size() - 4);
    return data_in(data, cdb_field<4>(command, 6));
}

Done report_one(Command& command, const CommandRow* row) {
    constexpr std::uint8_t timeouts_present = 0x80;
    constexpr std::uint8_t not_supported = 0x01;
    constexpr std::uint8_t supported = 0x03;
    DataIn data(command.buffer);
    data.put8(0);
    if (row == nullptr) {
        data.put8(not_supported);
        data.put16(0);
        return data_in(data, cdb_field<4>(command, 6));
    }
    data.put8(
        static_cast<std::uint8_t>(supported | (wants_timeouts(command) ? timeouts_present : 0)));
    data.put16(row->length);
    std::array<std::uint8_t, 16> usage = row->usage;
    usage[0] = row->operation_code;
    if (row->has_service_action()) {
        usage[1] =
            static_cast<std::uint8_t>((usage[1] & ~service_action_mask) | row->service_action);
    }
    data.put(std::as_bytes(std::span(usage).first(row->length)));
    if (wants_timeouts(command)) put_timeouts(data);
    return data_in(data, cdb_field<4>(command, 6));
}

}  // namespace

// REPORT LUNS, SPC-4 section 6.33.

Admission admit_report_luns(Unit& unit, Command& command) {
    if (command.cdb[2] > select_all) return invalid_field(unit, 2);
    return Admitted{parameter_buffer_bytes, 0};
}

void put_lun_list(DataIn& data) {
    data.put32(8);
    data.put32(0);
    data.put64(0);
}

Step start_report_luns(Unit&, Command& command) {
    DataIn data(command.buffer);
    if (command.cdb[2] == select_well_known) {
        data.put64(0);  // there is no well known logical unit
    } else {
        put_lun_list(data);
    }
    return data_in(data, cdb_field<4>(command, 6));
}

// LOG SENSE, SPC-4 section 6.8.

constexpr std::uint8_t supported_pages = 0x00;
constexpr std::uint8_t provisioning_page = 0x0c;

/// One count of the Logical Block Provisioning log page (SBC-3 section 6.4.4), in threshold sets.
void put_resource_count(std::uint16_t parameter, std::uint64_t bytes, std::uint8_t scope,
                        DataIn& data) {
    constexpr std::uint8_t binary_list = 0x03;  // FORMAT AND LINKING
    const std::uint64_t sets = (bytes + threshold_set_bytes - 1) / threshold_set_bytes;
    data.put16(parameter);
    data.put8(binary_list);
    data.put8(8);
    data.put32(static_cast<std::uint32_t>(std::min<std::uint64_t>(sets, 0xffffffff)));
    data.put8(scope);
    data.put_zeros(3);
}

/// What the unit has of its own, and what it could still get.
void put_provisioning_log(const Unit& unit, std::uint64_t allocated_bytes, DataIn& data) {
    constexpr std::uint16_t available_resource_count = 0x0001;
    constexpr std::uint16_t used_resource_count = 0x0002;
    constexpr std::uint8_t of_this_unit_alone = 0x01;
    constexpr std::uint8_t of_several_units = 0x02;
    if (unit.space) {
        put_resource_count(available_resource_count, unit.space->available_bytes, of_several_units,
                           data);
    }
    put_resource_count(used_resource_count, allocated_bytes, of_this_unit_alone, data);
}

Step start_log_sense(Unit& unit, Command& command) {
    const std::uint8_t page = command.cdb[2] & 0x3f;
    if (command.cdb[3] != 0) return invalid_field(unit, 3);
    const std::optional<std::uint64_t> allocated = unit.device.allocated_bytes();
    const bool has_provisioning = unit.config.thin && allocated.has_value();
    if (page != supported_pages && !(page == provisioning_page && has_provisioning)) {
        return invalid_field(unit, 2, std::uint8_t{5});
    }
    DataIn data(command.buffer);
    data.put8(page);
    data.put8(0);
    data.put16(0);
    if (page == provisioning_page) {
        put_provisioning_log(unit, *allocated, data);
    } else {
        data.put8(supported_pages);
        if (has_provisioning) data.put8(provisioning_page);
    }
    data.set16(2, data.size() - 4);
    return data_in(data, cdb_field<2>(command, 7));
}

/// SPC-4 section 6.37: one group, active and optimized on every port.
Step start_report_target_port_groups(Unit& unit, Command& command) {
    constexpr std::uint8_t active_optimized = 0x00;
    constexpr std::uint8_t supports_active_optimized = 0x01;
    constexpr std::uint8_t extended_header = 0x01;
    const std::uint8_t format = command.cdb[1] >> 5;
    if (format > extended_header) return invalid_field(unit, 1, std::uint8_t{7});
    DataIn data(command.buffer);
    data.put32(0);
    if (format == extended_header) {
        data.put8(extended_header << 4);
        data.put_zeros(3);  // transitions take no time
    }
    data.put8(active_optimized);
    data.put8(supports_active_optimized);
    data.put16(1);
    data.put_zeros(3);
    data.put8(1);
    data.put16(0);
    data.put16(unit.nexus(command).info.relative_target_port);
    data.set32(0, data.size() - 4);
    return data_in(data, cdb_field<4>(command, 6));
}

Step start_report_supported_operation_codes(Unit& unit, Command& command) {
    enum Option : std::uint8_t { all, one, one_with_service_action, one_of_either };
    constexpr std::uint8_t option_bit = 2;
    const std::uint8_t option = command.cdb[2] & 0x07;
    if (option == all) return report_all(unit, command);
    if (option > one_of_either) return invalid_field(unit, 2, option_bit);
    const std::span<const CommandRow> rows = commands_with(command.cdb[3]);
    if (rows.empty()) return report_one(command, nullptr);
    const bool has_actions = rows.front().has_service_action();
    if (option == one && has_actions) return invalid_field(unit, 2, option_bit);
    if (option == one_with_service_action && !has_actions) {
        return invalid_field(unit, 2, option_bit);
    }
    const std::uint64_t action = cdb_field<2>(command, 4);
    const auto row = std::find_if(rows.begin(), rows.end(), [&](const CommandRow& r) {
        return !r.has_service_action() || r.service_action == action;
    });
    const bool found = row != rows.end() && is_offered(unit, *row);
    return report_one(command, found ? &*row : nullptr);
}

}  // namespace cowtgt::scsi
