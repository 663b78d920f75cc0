#pragma once

#include <array>
#include <cstdint>
#include <span>

#include "target/scsi/unit.h"

namespace cowtgt::scsi {

/// What a reservation of another nexus forbids (SPC-4 table 66, SPC-2 table 9).
enum class Access : std::uint8_t {
    none,       ///< allowed always
    configure,  ///< forbidden by RESERVE(6), allowed under persistent reservations
    reads,      ///< as READ
    writes,     ///< as WRITE
};
enum class Medium : std::uint8_t { not_needed, needed, written };
/// Whether a pending unit attention is reported instead of running the command.
enum class Attention : std::uint8_t { reported, kept };
enum class Offered : std::uint8_t { always, if_thin };

inline constexpr std::uint16_t no_service_action = 0xffff;
inline constexpr std::uint8_t service_action_mask = 0x1f;  ///< in byte 1

/// What runs a command: LogicalUnit's functions of the same names, for this command.
struct CommandCode {
    Admission (*admit)(Unit& unit, Command& command);
    Step (*start)(Unit& unit, Command& command);
    Step (*resume)(Unit& unit, Command& command, const BlockOutcome& outcome);
};

/// One command. A CDB bit outside `usage` is INVALID FIELD IN CDB before any command code runs.
struct CommandRow {
    std::uint8_t operation_code;
    std::uint16_t service_action;
    const char* name;
    std::uint8_t length;  ///< of the CDB, bytes
    Access access;
    Medium medium;
    Attention attention;
    Offered offered;
    std::array<std::uint8_t, 16> usage;  ///< CDB usage data, SPC-4 section 6.35.3
    CommandCode code;

    bool has_service_action() const { return service_action != no_service_action; }
};

/// All commands, ascending by operation code and service action.
std::span<const CommandRow> all_commands();
/// The rows with this operation code; empty if there is none.
std::span<const CommandRow> commands_with(std::uint8_t operation_code);
/// True if the CDB has bits that its row does not use; the operation code and what lies behind the
/// CDB's length are not looked at.
bool has_unused_bits(const CommandRow& row, const std::array<std::uint8_t, 16>& cdb);
inline bool is_offered(const Unit& unit, const CommandRow& row) {
    return row.offered == Offered::always || unit.config.thin;
}

}  // namespace cowtgt::scsi
