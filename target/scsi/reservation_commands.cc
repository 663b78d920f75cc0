#include "target/scsi/reservation_commands.h"

#include <algorithm>
#include <cstring>

#include "target/scsi/block_commands.h"

namespace cowtgt::scsi {
namespace {

enum InAction : std::uint8_t { read_keys, read_reservation, report_capabilities, read_full_status };
enum OutAction : std::uint8_t {
    register_key,
    reserve,
    release,
    clear,
    preempt,
    register_and_ignore = 6,
};

/// PERSISTENT RESERVE OUT parameter list, SPC-4 table 213.
struct OutParameters {
    be64 reservation_key;
    be64 service_action_key;
    be32 obsolete_16;
    std::uint8_t flags;  ///< SPEC_I_PT, ALL_TG_PT, APTPL
    std::uint8_t reserved_21;
    be16 obsolete_22;
};
static_assert(sizeof(OutParameters) == 24);

/// The most that a registrant's full status takes: 24 bytes and a TransportID.
constexpr std::size_t initiator_port_name_max = 260;
constexpr std::uint32_t full_status_bytes_max = 8 + registrants_max * (24 + 4 + 264);
constexpr std::uint32_t reserve_in_buffer_bytes = 40U << 10;
static_assert(reserve_in_buffer_bytes >= full_status_bytes_max);

std::uint8_t service_action(const Command& command) {
    return command.cdb[1] & 0x1f;
}

void put_read_keys(const Reservations& reservations, DataIn& data) {
    for (const Registrant& registrant : reservations.registrants()) {
        data.put64(registrant.key);
    }
}

void put_read_reservation(const Reservations& reservations, DataIn& data) {
    if (!reservations.exist()) return;
    data.put64(reservations.holder_key());
    data.put32(0);
    data.put8(0);
    data.put8(static_cast<std::uint8_t>(reservations.reservation()->type));
    data.put16(0);
}

/// TransportID of an iSCSI initiator port, SPC-4 section 7.6.4.6.
void put_transport_id(std::string_view initiator_port, DataIn& data) {
    constexpr std::uint8_t format_with_isid = 0x45;
    constexpr std::size_t additional_bytes_min = 20;
    initiator_port = initiator_port.substr(0, initiator_port_name_max);
    const std::size_t length =
        std::max<std::size_t>(round_up(initiator_port.size() + 1, 4), additional_bytes_min);
    data.put8(format_with_isid);
    data.put8(0);
    data.put16(static_cast<std::uint16_t>(length));
    data.put(bytes_of(initiator_port));
    data.put_zeros(length - initiator_port.size());
}

void put_full_status(const Reservations& reservations, DataIn& data) {
    constexpr std::uint8_t holder_bit = 0x01;  // R_HOLDER
    for (const Registrant& registrant : reservations.registrants()) {
        const bool holds = reservations.is_holder(registrant.nexus);
        data.put64(registrant.key);
        data.put32(0);
        data.put8(holds ? holder_bit : 0);
        data.put8(holds ? static_cast<std::uint8_t>(reservations.reservation()->type) : 0);
        data.put32(0);
        data.put16(registrant.relative_target_port);
        const std::size_t length_at = data.size();
        data.put32(0);
        put_transport_id(registrant.nexus.initiator_port, data);
        data.set32(length_at, data.size() - length_at - 4);
    }
}

/// No state survives a restart (PTPL_C = 0); all six types work.
void put_capabilities(DataIn& data) {
    constexpr std::uint8_t type_mask_valid = 0x80;
    constexpr std::uint16_t all_types = 0xea01;
    data.put16(8);
    data.put8(0);
    data.put8(type_mask_valid);
    data.put16(all_types);
    data.put16(0);
}

UnitAttention attention_of(Reservations::Notice notice) {
    switch (notice) {
        case Reservations::Notice::released:
            return UnitAttention::reservations_released;
        case Reservations::Notice::preempted:
            return UnitAttention::reservations_preempted;
        case Reservations::Notice::registrations_preempted:
            return UnitAttention::registrations_preempted;
    }
    return UnitAttention::reservations_preempted;
}

Done answer(Unit& unit, const Command& command, const Reservations::Outcome& outcome) {
    using Verdict = Reservations::Verdict;
    for (const Reservations::Outcome::Attention& attention : outcome.attentions) {
        unit.raise_by_name(attention.nexus, attention_of(attention.notice));
    }
    switch (outcome.verdict) {
        case Verdict::done:
            return with_data_out(command, good());
        case Verdict::conflict:
            return with_data_out(command, reservation_conflict());
        case Verdict::invalid_field:
            return with_data_out(command, invalid_parameter(unit, 8));
        case Verdict::invalid_release:
            return with_data_out(command, fail(unit, sense_code::invalid_release));
        case Verdict::no_resources:
            return with_data_out(command, fail(unit, sense_code::insufficient_registrations));
    }
    return good();
}

bool uses_type(std::uint8_t action) {
    return action == reserve || action == release || action == preempt;
}

}  // namespace

// With registrants there is nothing for RESERVE and RELEASE to say (SPC-4 section 5.13.3, CRH = 0).

Admission admit_reserve(Unit& unit, Command&) {
    if (!unit.reservations.registrants().empty()) return reservation_conflict();
    return Admitted{};
}

Step start_reserve(Unit& unit, Command& command) {
    unit.reserved_by = command.nexus;
    return good();
}

/// By anybody but the holder it has no effect.
Step start_release(Unit& unit, Command& command) {
    if (unit.reserved_by == command.nexus) unit.reserved_by.reset();
    return good();
}

Admission admit_persistent_reserve_in(Unit&, Command&) {
    return Admitted{reserve_in_buffer_bytes, 0};
}

Step start_persistent_reserve_in(Unit& unit, Command& command) {
    const std::uint64_t allocation = cdb_field<2>(command, 7);
    DataIn data(command.buffer);
    if (service_action(command) == report_capabilities) {
        put_capabilities(data);
        return data_in(data, allocation);
    }
    data.put32(unit.reservations.generation());
    data.put32(0);
    switch (service_action(command)) {
        case read_keys:
            put_read_keys(unit.reservations, data);
            break;
        case read_reservation:
            put_read_reservation(unit.reservations, data);
            break;
        default:
            put_full_status(unit.reservations, data);
            break;
    }
    data.set32(4, data.size() - 8);
    return data_in(data, allocation);
}

Admission admit_persistent_reserve_out(Unit& unit, Command& command) {
    if (uses_type(service_action(command))) {
        constexpr std::uint8_t logical_unit_scope = 0;
        if (command.cdb[2] >> 4 != logical_unit_scope) {
            return invalid_field(unit, 2, std::uint8_t{7});
        }
        if (!reservation_type(command.cdb[2] & 0x0f)) {
            return invalid_field(unit, 2, std::uint8_t{3});
        }
    }
    command.scratch[slot::data_out_total] = sizeof(OutParameters);
    if (cdb_field<4>(command, 5) != sizeof(OutParameters)) {
        return fail(unit, sense_code::parameter_list_length_error);
    }
    const std::uint32_t bytes = sizeof(OutParameters);
    return Admitted{bytes, std::min(bytes, command.expected_data_out)};
}

Step start_persistent_reserve_out(Unit& unit, Command& command) {
    constexpr std::uint16_t flags_at = 20;
    OutParameters parameters;
    if (command.data_out_received < sizeof parameters) {
        return with_data_out(command, fail(unit, sense_code::parameter_list_length_error));
    }
    std::memcpy(&parameters, command.buffer.data(), sizeof parameters);
    // Other ports' registrations and state that survives power loss are not offered.
    if (parameters.flags != 0) {
        return with_data_out(command, invalid_parameter(unit, flags_at));
    }
    const Nexus& nexus = unit.nexus(command);
    const NexusName who = nexus.name();
    const std::uint64_t key = parameters.reservation_key.get();
    const std::uint64_t action_key = parameters.service_action_key.get();
    const ReservationType type =
        reservation_type(command.cdb[2] & 0x0f).value_or(ReservationType::write_exclusive);
    const Registrant registrant{who, nexus.info.relative_target_port, 0};
    Reservations& all = unit.reservations;
    switch (service_action(command)) {
        case register_key:
            return answer(
                unit, command,
                all.register_key(registrant, key, action_key, Reservations::KeyCheck::must_match));
        case register_and_ignore:
            return answer(
                unit, command,
                all.register_key(registrant, key, action_key, Reservations::KeyCheck::ignored));
        case reserve:
            return answer(unit, command, all.reserve(who, key, type));
        case release:
            return answer(unit, command, all.release(who, key, type));
        case clear:
            return answer(unit, command, all.clear(who, key));
        default:
            return answer(unit, command, all.preempt(who, key, action_key, type));
    }
}

}  // namespace cowtgt::scsi
