#include "target/scsi/reservation_commands.h"

#include <algorithm>
#include <cstring>
#include <iterator>

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
    preempt_and_abort,
    register_and_ignore,
    register_and_move,
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

/// The same for REGISTER AND MOVE, SPC-4 table 215; a TransportID follows.
struct MoveParameters {
    be64 reservation_key;
    be64 service_action_key;
    std::uint8_t reserved_16;
    std::uint8_t flags;  ///< UNREG, APTPL
    be16 relative_target_port;
    be32 transport_id_bytes;
};
static_assert(sizeof(MoveParameters) == 24);

constexpr std::uint8_t activate_persistence = 0x01;  ///< APTPL

/// The most that a registrant's full status takes: 24 bytes and a TransportID.
constexpr std::size_t initiator_port_name_max = 260;
constexpr std::uint32_t full_status_bytes_max = 8 + registrants_max * (24 + 4 + 264);
constexpr std::uint32_t reserve_in_buffer_bytes = 40U << 10;
static_assert(reserve_in_buffer_bytes >= full_status_bytes_max);

/// What the outcome that resume() gets belongs to.
enum Stage : std::uint64_t { aborting, keeping };

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

/// All six types work.
void put_capabilities(const Unit& unit, DataIn& data) {
    constexpr std::uint8_t persistence_capable = 0x01;    // PTPL_C
    constexpr std::uint8_t persistence_activated = 0x01;  // PTPL_A
    constexpr std::uint8_t type_mask_valid = 0x80;
    constexpr std::uint16_t all_types = 0xea01;
    data.put16(8);
    data.put8(unit.config.keeps_state ? persistence_capable : 0);
    data.put8(unit.activates_persistence ? type_mask_valid | persistence_activated
                                         : type_mask_valid);
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
    return action == reserve || action == release || action == preempt ||
           action == preempt_and_abort;
}

/// Registering says whether the registrations survive a restart from now on (APTPL).
bool registers(std::uint8_t action) {
    return action == register_key || action == register_and_ignore || action == register_and_move;
}

/// Those whose tasks PREEMPT AND ABORT ends: every nexus that lost its registration.
std::vector<NexusId> preempted_nexuses(const Unit& unit, const Reservations::Outcome& outcome) {
    std::vector<NexusId> preempted;
    for (const Reservations::Outcome::Attention& attention : outcome.attentions) {
        if (attention.notice != Reservations::Notice::registrations_preempted) continue;
        for (std::size_t i = 0; i < unit.nexuses.size(); ++i) {
            const Nexus& nexus = unit.nexuses[i];
            if (nexus.present && nexus.name() == attention.nexus) {
                preempted.push_back(static_cast<NexusId>(i));
            }
        }
    }
    return preempted;
}

/// The initiator port of an iSCSI TransportID, SPC-4 section 7.6.4.6; only the form with an ISID
/// names a port.
std::optional<std::string> initiator_port_of(Bytes transport_id) {
    constexpr std::byte format_with_isid{0x45};
    constexpr std::size_t header_bytes = 4;
    if (transport_id.size() <= header_bytes || transport_id[0] != format_with_isid) {
        return std::nullopt;
    }
    const std::size_t length = std::to_integer<std::size_t>(transport_id[2]) << 8 |
                               std::to_integer<std::size_t>(transport_id[3]);
    if (length != transport_id.size() - header_bytes) return std::nullopt;
    const Bytes padded = transport_id.subspan(header_bytes);
    const auto end = std::find(padded.begin(), padded.end(), std::byte{0});
    std::string name;
    std::transform(padded.begin(), end, std::back_inserter(name),
                   [](std::byte b) { return static_cast<char>(b); });
    // Never one that could not be kept as a word of a line.
    const bool is_word = std::all_of(name.begin(), name.end(), [](char c) { return c > ' '; });
    if (!is_word || name.find(",i,0x") == std::string::npos) return std::nullopt;
    return name;
}

Reservations::Outcome run_move(Unit& unit, Command& command, const std::string& initiator_port) {
    constexpr std::uint8_t unregister = 0x02;  // UNREG
    MoveParameters parameters;
    std::memcpy(&parameters, command.buffer.data(), sizeof parameters);
    const Nexus& nexus = unit.nexus(command);
    const Registrant to{{initiator_port, nexus.info.target_port_name},
                        parameters.relative_target_port.get(),
                        parameters.service_action_key.get()};
    const auto mover = (parameters.flags & unregister) != 0 ? Reservations::Mover::unregisters
                                                            : Reservations::Mover::stays_registered;
    return unit.reservations.move(nexus.name(), parameters.reservation_key.get(), to, mover);
}

Reservations::Outcome run_action(Unit& unit, Command& command) {
    using KeyCheck = Reservations::KeyCheck;
    OutParameters parameters;
    std::memcpy(&parameters, command.buffer.data(), sizeof parameters);
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
            return all.register_key(registrant, key, action_key, KeyCheck::must_match);
        case register_and_ignore:
            return all.register_key(registrant, key, action_key, KeyCheck::ignored);
        case reserve:
            return all.reserve(who, key, type);
        case release:
            return all.release(who, key, type);
        case clear:
            return all.clear(who, key);
        default:
            return all.preempt(who, key, action_key, type);
    }
}

/// What is wrong with the flags and the lengths of the parameter list; nothing: it can be run.
std::optional<Done> check_parameters(const Unit& unit, const Command& command) {
    const bool moves = service_action(command) == register_and_move;
    const std::uint16_t flags_at = moves ? 17 : 20;
    const auto flags = std::to_integer<std::uint8_t>(command.buffer[flags_at]);
    const std::uint8_t known = moves ? 0x03 : 0x01;  // UNREG, APTPL
    const auto wrong = static_cast<std::uint8_t>(flags & ~known);
    // Registrations of other ports (SPEC_I_PT, ALL_TG_PT) are not offered.
    if (wrong != 0) return invalid_parameter(unit, flags_at);
    if (registers(service_action(command)) && (flags & activate_persistence) != 0 &&
        !unit.config.keeps_state) {
        return invalid_parameter(unit, flags_at, std::uint8_t{0});
    }
    if (!moves) return std::nullopt;
    MoveParameters parameters;
    std::memcpy(&parameters, command.buffer.data(), sizeof parameters);
    if (parameters.transport_id_bytes.get() !=
        command.scratch[slot::data_out_total] - sizeof parameters) {
        return fail(unit, sense_code::parameter_list_length_error);
    }
    return std::nullopt;
}

/// Once the victims' tasks have ended, or when there is nothing to wait for.
Step keep_or_end(Unit& unit, Command& command, bool was_kept) {
    command.scratch[slot::stage] = keeping;
    if (was_kept || unit.activates_persistence) return KeepStep{};
    return with_data_out(command, good());
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
        put_capabilities(unit, data);
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
    constexpr std::uint32_t list_bytes_max = 4096;
    if (uses_type(service_action(command))) {
        constexpr std::uint8_t logical_unit_scope = 0;
        if (command.cdb[2] >> 4 != logical_unit_scope) {
            return invalid_field(unit, 2, std::uint8_t{7});
        }
        if (!reservation_type(command.cdb[2] & 0x0f)) {
            return invalid_field(unit, 2, std::uint8_t{3});
        }
    }
    const std::uint64_t list_bytes = cdb_field<4>(command, 5);
    command.scratch[slot::data_out_total] = sizeof(OutParameters);
    const bool moves = service_action(command) == register_and_move;
    const bool fits = moves ? list_bytes > sizeof(MoveParameters) && list_bytes <= list_bytes_max
                            : list_bytes == sizeof(OutParameters);
    if (!fits) return fail(unit, sense_code::parameter_list_length_error);
    command.scratch[slot::data_out_total] = list_bytes;
    const auto bytes = static_cast<std::uint32_t>(list_bytes);
    return Admitted{bytes, std::min(bytes, command.expected_data_out)};
}

Step start_persistent_reserve_out(Unit& unit, Command& command) {
    const std::uint8_t action = service_action(command);
    if (command.data_out_received < command.scratch[slot::data_out_total]) {
        return with_data_out(command, fail(unit, sense_code::parameter_list_length_error));
    }
    if (auto refused = check_parameters(unit, command)) return with_data_out(command, *refused);
    Reservations::Outcome outcome;
    if (action == register_and_move) {
        const Bytes list = command.buffer.first(command.scratch[slot::data_out_total]);
        const auto to = initiator_port_of(list.subspan(sizeof(MoveParameters)));
        if (!to) return with_data_out(command, invalid_parameter(unit, sizeof(MoveParameters)));
        outcome = run_move(unit, command, *to);
    } else {
        outcome = run_action(unit, command);
    }
    const Done done = answer(unit, command, outcome);
    if (outcome.verdict != Reservations::Verdict::done) return done;
    const bool was_kept = unit.activates_persistence;
    if (registers(action)) {
        const std::size_t flags_at = action == register_and_move ? 17 : 20;
        const auto flags = std::to_integer<std::uint8_t>(command.buffer[flags_at]);
        unit.activates_persistence = (flags & activate_persistence) != 0;
    }
    if (action == preempt_and_abort) {
        unit.preempted = preempted_nexuses(unit, outcome);
        if (!unit.preempted.empty()) {
            command.scratch[slot::stage] = aborting;
            return AbortStep{};
        }
    }
    return keep_or_end(unit, command, was_kept);
}

Step resume_persistent_reserve_out(Unit& unit, Command& command, const BlockOutcome& outcome) {
    if (command.scratch[slot::stage] == aborting) return keep_or_end(unit, command, false);
    if (outcome.status == BlockStatus::good) return with_data_out(command, good());
    return with_data_out(command, medium_failure(unit, outcome, BlockOperation::flush, {}));
}

}  // namespace cowtgt::scsi
