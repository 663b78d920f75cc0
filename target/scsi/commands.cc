#include "target/scsi/commands.h"

#include <bit>

#include "target/scsi/block_commands.h"
#include "target/scsi/extended_copy.h"
#include "target/scsi/inquiry.h"
#include "target/scsi/mode_pages.h"
#include "target/scsi/provisioning.h"
#include "target/scsi/report_commands.h"
#include "target/scsi/reservation_commands.h"
#include "target/scsi/sanitize.h"
#include "target/scsi/unit_commands.h"

namespace cowtgt::scsi {
namespace {

using enum Access;
using enum Medium;
using enum Attention;
using enum Offered;
constexpr std::uint16_t no_action = no_service_action;

// Operation code, service action, name, CDB length, access, medium, unit attention, offered;
// usage; admit, start, resume.
//
// GROUP NUMBER (six bits) is accepted and ignored, as GROUP_SUP = 0 allows. RDPROTECT, WRPROTECT
// and VRPROTECT are not in any mask: there is no protection information (PROTECT = 0). ANCHOR is
// not, either (ANC_SUP = 0). Of the CONTROL byte nothing is usable; in particular NACA = 1 is
// refused (NORMACA = 0). One command, three lines.
// clang-format off
constexpr auto commands = std::to_array<CommandRow>({
    {0x00, no_action, "TEST UNIT READY", 6, configure, needed, reported, always,
     {0x00, 0, 0, 0, 0, 0},
     {admit_plain, start_test_unit_ready, never_resumed}},
    {0x03, no_action, "REQUEST SENSE", 6, none, not_needed, kept, always,
     {0x03, 0x01, 0, 0, 0xff, 0},
     {admit_data_in, start_request_sense, never_resumed}},
    {0x08, no_action, "READ(6)", 6, reads, needed, reported, always,
     {0x08, 0x1f, 0xff, 0xff, 0xff, 0},
     {admit_read, start_read, resume_read}},
    {0x0a, no_action, "WRITE(6)", 6, writes, written, reported, always,
     {0x0a, 0x1f, 0xff, 0xff, 0xff, 0},
     {admit_write, start_write, resume_write}},
    {0x12, no_action, "INQUIRY", 6, none, not_needed, kept, always,
     {0x12, 0x01, 0xff, 0xff, 0xff, 0},
     {admit_data_in, start_inquiry, never_resumed}},
    {0x15, no_action, "MODE SELECT(6)", 6, writes, not_needed, reported, always,
     {0x15, 0x10, 0, 0, 0xff, 0},
     {admit_mode_select_6, start_mode_select_6, resume_mode_select}},
    {0x16, no_action, "RESERVE(6)", 6, configure, not_needed, reported, always,
     {0x16, 0, 0, 0, 0, 0},
     {admit_reserve, start_reserve, never_resumed}},
    {0x17, no_action, "RELEASE(6)", 6, none, not_needed, reported, always,
     {0x17, 0, 0, 0, 0, 0},
     {admit_reserve, start_release, never_resumed}},
    {0x1a, no_action, "MODE SENSE(6)", 6, reads, not_needed, reported, always,
     {0x1a, 0x08, 0xff, 0xff, 0xff, 0},
     {admit_data_in, start_mode_sense_6, never_resumed}},
    {0x1b, no_action, "START STOP UNIT", 6, writes, not_needed, reported, always,
     {0x1b, 0x01, 0, 0x0f, 0xf7, 0},
     {admit_start_stop_unit, start_start_stop_unit, resume_start_stop_unit}},
    {0x1d, no_action, "SEND DIAGNOSTIC", 6, writes, not_needed, reported, always,
     {0x1d, 0x04, 0, 0, 0, 0},
     {admit_plain, start_send_diagnostic, never_resumed}},
    {0x1e, no_action, "PREVENT ALLOW MEDIUM REMOVAL", 6, writes, not_needed, reported, always,
     {0x1e, 0, 0, 0, 0x01, 0},
     {admit_plain, start_prevent_allow, never_resumed}},
    {0x25, no_action, "READ CAPACITY(10)", 10, configure, needed, reported, always,
     {0x25, 0, 0, 0, 0, 0, 0, 0, 0, 0},
     {admit_data_in, start_read_capacity_10, never_resumed}},
    {0x28, no_action, "READ(10)", 10, reads, needed, reported, always,
     {0x28, 0x18, 0xff, 0xff, 0xff, 0xff, 0x3f, 0xff, 0xff, 0},
     {admit_read, start_read, resume_read}},
    {0x2a, no_action, "WRITE(10)", 10, writes, written, reported, always,
     {0x2a, 0x18, 0xff, 0xff, 0xff, 0xff, 0x3f, 0xff, 0xff, 0},
     {admit_write, start_write, resume_write}},
    {0x2e, no_action, "WRITE AND VERIFY(10)", 10, writes, written, reported, always,
     {0x2e, 0x12, 0xff, 0xff, 0xff, 0xff, 0x3f, 0xff, 0xff, 0},
     {admit_write_and_verify, start_write_and_verify, resume_write_and_verify}},
    {0x2f, no_action, "VERIFY(10)", 10, reads, needed, reported, always,
     {0x2f, 0x16, 0xff, 0xff, 0xff, 0xff, 0x3f, 0xff, 0xff, 0},
     {admit_verify, start_verify, resume_verify}},
    {0x34, no_action, "PRE-FETCH(10)", 10, reads, needed, reported, always,
     {0x34, 0x02, 0xff, 0xff, 0xff, 0xff, 0x3f, 0xff, 0xff, 0},
     {admit_prefetch, start_prefetch, never_resumed}},
    {0x35, no_action, "SYNCHRONIZE CACHE(10)", 10, writes, needed, reported, always,
     {0x35, 0x06, 0xff, 0xff, 0xff, 0xff, 0x3f, 0xff, 0xff, 0},
     {admit_synchronize_cache, start_synchronize_cache, resume_synchronize_cache}},
    {0x37, no_action, "READ DEFECT DATA(10)", 10, reads, needed, reported, always,
     {0x37, 0, 0x1f, 0, 0, 0, 0, 0xff, 0xff, 0},
     {admit_data_in, start_read_defect_data_10, never_resumed}},
    {0x41, no_action, "WRITE SAME(10)", 10, writes, written, reported, always,
     {0x41, 0x08, 0xff, 0xff, 0xff, 0xff, 0x3f, 0xff, 0xff, 0},
     {admit_write_same, start_write_same, resume_write_same}},
    {0x42, no_action, "UNMAP", 10, writes, written, reported, if_thin,
     {0x42, 0, 0, 0, 0, 0, 0x3f, 0xff, 0xff, 0},
     {admit_unmap, start_unmap, resume_unmap}},
    {0x48, 0x01, "SANITIZE: OVERWRITE", 10, writes, written, reported, always,
     {0x48, 0xbf, 0, 0, 0, 0, 0, 0xff, 0xff, 0},
     {admit_sanitize, start_sanitize, resume_sanitize}},
    {0x48, 0x02, "SANITIZE: BLOCK ERASE", 10, writes, written, reported, if_thin,
     {0x48, 0xbf, 0, 0, 0, 0, 0, 0xff, 0xff, 0},
     {admit_sanitize, start_sanitize, resume_sanitize}},
    {0x48, 0x03, "SANITIZE: CRYPTOGRAPHIC ERASE", 10, writes, written, reported, if_thin,
     {0x48, 0xbf, 0, 0, 0, 0, 0, 0xff, 0xff, 0},
     {admit_sanitize, start_sanitize, resume_sanitize}},
    {0x48, 0x1f, "SANITIZE: EXIT FAILURE MODE", 10, writes, needed, reported, always,
     {0x48, 0xbf, 0, 0, 0, 0, 0, 0xff, 0xff, 0},
     {admit_sanitize, start_exit_failure_mode, resume_exit_failure_mode}},
    {0x4d, no_action, "LOG SENSE", 10, none, not_needed, reported, always,
     {0x4d, 0, 0xff, 0xff, 0, 0, 0, 0xff, 0xff, 0},
     {admit_data_in, start_log_sense, never_resumed}},
    {0x55, no_action, "MODE SELECT(10)", 10, writes, not_needed, reported, always,
     {0x55, 0x10, 0, 0, 0, 0, 0, 0xff, 0xff, 0},
     {admit_mode_select_10, start_mode_select_10, resume_mode_select}},
    {0x56, no_action, "RESERVE(10)", 10, configure, not_needed, reported, always,
     {0x56, 0, 0, 0, 0, 0, 0, 0, 0, 0},
     {admit_reserve, start_reserve, never_resumed}},
    {0x57, no_action, "RELEASE(10)", 10, none, not_needed, reported, always,
     {0x57, 0, 0, 0, 0, 0, 0, 0, 0, 0},
     {admit_reserve, start_release, never_resumed}},
    {0x5a, no_action, "MODE SENSE(10)", 10, reads, not_needed, reported, always,
     {0x5a, 0x18, 0xff, 0xff, 0, 0, 0, 0xff, 0xff, 0},
     {admit_data_in, start_mode_sense_10, never_resumed}},
    {0x5e, 0x00, "PERSISTENT RESERVE IN: READ KEYS", 10, configure, not_needed, reported, always,
     {0x5e, 0x1f, 0, 0, 0, 0, 0, 0xff, 0xff, 0},
     {admit_persistent_reserve_in, start_persistent_reserve_in, never_resumed}},
    {0x5e, 0x01, "PERSISTENT RESERVE IN: READ RESERVATION",
     10, configure, not_needed, reported, always,
     {0x5e, 0x1f, 0, 0, 0, 0, 0, 0xff, 0xff, 0},
     {admit_persistent_reserve_in, start_persistent_reserve_in, never_resumed}},
    {0x5e, 0x02, "PERSISTENT RESERVE IN: REPORT CAPABILITIES",
     10, configure, not_needed, reported, always,
     {0x5e, 0x1f, 0, 0, 0, 0, 0, 0xff, 0xff, 0},
     {admit_persistent_reserve_in, start_persistent_reserve_in, never_resumed}},
    {0x5e, 0x03, "PERSISTENT RESERVE IN: READ FULL STATUS",
     10, configure, not_needed, reported, always,
     {0x5e, 0x1f, 0, 0, 0, 0, 0, 0xff, 0xff, 0},
     {admit_persistent_reserve_in, start_persistent_reserve_in, never_resumed}},
    {0x5f, 0x00, "PERSISTENT RESERVE OUT: REGISTER", 10, configure, not_needed, reported, always,
     {0x5f, 0x1f, 0xff, 0, 0, 0xff, 0xff, 0xff, 0xff, 0},
     {admit_persistent_reserve_out, start_persistent_reserve_out, resume_persistent_reserve_out}},
    {0x5f, 0x01, "PERSISTENT RESERVE OUT: RESERVE", 10, configure, not_needed, reported, always,
     {0x5f, 0x1f, 0xff, 0, 0, 0xff, 0xff, 0xff, 0xff, 0},
     {admit_persistent_reserve_out, start_persistent_reserve_out, resume_persistent_reserve_out}},
    {0x5f, 0x02, "PERSISTENT RESERVE OUT: RELEASE", 10, configure, not_needed, reported, always,
     {0x5f, 0x1f, 0xff, 0, 0, 0xff, 0xff, 0xff, 0xff, 0},
     {admit_persistent_reserve_out, start_persistent_reserve_out, resume_persistent_reserve_out}},
    {0x5f, 0x03, "PERSISTENT RESERVE OUT: CLEAR", 10, configure, not_needed, reported, always,
     {0x5f, 0x1f, 0xff, 0, 0, 0xff, 0xff, 0xff, 0xff, 0},
     {admit_persistent_reserve_out, start_persistent_reserve_out, resume_persistent_reserve_out}},
    {0x5f, 0x04, "PERSISTENT RESERVE OUT: PREEMPT", 10, configure, not_needed, reported, always,
     {0x5f, 0x1f, 0xff, 0, 0, 0xff, 0xff, 0xff, 0xff, 0},
     {admit_persistent_reserve_out, start_persistent_reserve_out, resume_persistent_reserve_out}},
    {0x5f, 0x05, "PERSISTENT RESERVE OUT: PREEMPT AND ABORT",
     10, configure, not_needed, reported, always,
     {0x5f, 0x1f, 0xff, 0, 0, 0xff, 0xff, 0xff, 0xff, 0},
     {admit_persistent_reserve_out, start_persistent_reserve_out, resume_persistent_reserve_out}},
    {0x5f, 0x06, "PERSISTENT RESERVE OUT: REGISTER AND IGNORE EXISTING KEY",
     10, configure, not_needed, reported, always,
     {0x5f, 0x1f, 0xff, 0, 0, 0xff, 0xff, 0xff, 0xff, 0},
     {admit_persistent_reserve_out, start_persistent_reserve_out, resume_persistent_reserve_out}},
    {0x5f, 0x07, "PERSISTENT RESERVE OUT: REGISTER AND MOVE",
     10, configure, not_needed, reported, always,
     {0x5f, 0x1f, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0},
     {admit_persistent_reserve_out, start_persistent_reserve_out, resume_persistent_reserve_out}},
    {0x83, 0x00, "EXTENDED COPY(LID1)", 16, writes, written, reported, always,
     {0x83, 0x1f, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0, 0},
     {admit_extended_copy, start_extended_copy, resume_extended_copy}},
    {0x84, 0x00, "RECEIVE COPY RESULTS: COPY STATUS", 16, none, not_needed, reported, always,
     {0x84, 0x1f, 0xff, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0, 0},
     {admit_data_in, start_copy_status, never_resumed}},
    {0x84, 0x03, "RECEIVE COPY RESULTS: OPERATING PARAMETERS",
     16, none, not_needed, reported, always,
     {0x84, 0x1f, 0xff, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0, 0},
     {admit_data_in, start_copy_operating_parameters, never_resumed}},
    {0x88, no_action, "READ(16)", 16, reads, needed, reported, always,
     {0x88, 0x18, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x3f, 0},
     {admit_read, start_read, resume_read}},
    {0x89, no_action, "COMPARE AND WRITE", 16, writes, written, reported, always,
     {0x89, 0x18, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0xff, 0x3f, 0},
     {admit_compare_and_write, start_compare_and_write, resume_compare_and_write}},
    {0x8a, no_action, "WRITE(16)", 16, writes, written, reported, always,
     {0x8a, 0x18, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x3f, 0},
     {admit_write, start_write, resume_write}},
    {0x8b, no_action, "ORWRITE(16)", 16, writes, written, reported, always,
     {0x8b, 0x18, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x3f, 0},
     {admit_orwrite, start_orwrite, resume_orwrite}},
    {0x8e, no_action, "WRITE AND VERIFY(16)", 16, writes, written, reported, always,
     {0x8e, 0x12, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x3f, 0},
     {admit_write_and_verify, start_write_and_verify, resume_write_and_verify}},
    {0x8f, no_action, "VERIFY(16)", 16, reads, needed, reported, always,
     {0x8f, 0x16, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x3f, 0},
     {admit_verify, start_verify, resume_verify}},
    {0x90, no_action, "PRE-FETCH(16)", 16, reads, needed, reported, always,
     {0x90, 0x02, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x3f, 0},
     {admit_prefetch, start_prefetch, never_resumed}},
    {0x91, no_action, "SYNCHRONIZE CACHE(16)", 16, writes, needed, reported, always,
     {0x91, 0x06, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x3f, 0},
     {admit_synchronize_cache, start_synchronize_cache, resume_synchronize_cache}},
    {0x93, no_action, "WRITE SAME(16)", 16, writes, written, reported, always,
     {0x93, 0x09, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x3f, 0},
     {admit_write_same, start_write_same, resume_write_same}},
    {0x9c, no_action, "WRITE ATOMIC(16)", 16, writes, written, reported, always,
     {0x9c, 0x18, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0, 0xff, 0xff, 0x3f, 0},
     {admit_write_atomic, start_write_atomic, resume_write_atomic}},
    {0x9e, 0x10, "READ CAPACITY(16)", 16, configure, needed, reported, always,
     {0x9e, 0x1f, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0, 0},
     {admit_data_in, start_read_capacity_16, never_resumed}},
    {0x9e, 0x12, "GET LBA STATUS", 16, reads, needed, reported, if_thin,
     {0x9e, 0x1f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0},
     {admit_get_lba_status, start_get_lba_status, never_resumed}},
    {0xa0, no_action, "REPORT LUNS", 12, none, not_needed, kept, always,
     {0xa0, 0, 0xff, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0, 0},
     {admit_report_luns, start_report_luns, never_resumed}},
    {0xa3, 0x0a, "REPORT TARGET PORT GROUPS", 12, configure, not_needed, reported, always,
     {0xa3, 0xff, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0, 0},
     {admit_data_in, start_report_target_port_groups, never_resumed}},
    {0xa3, 0x0c, "REPORT SUPPORTED OPERATION CODES", 12, reads, not_needed, reported, always,
     {0xa3, 0x1f, 0x87, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0},
     {admit_data_in, start_report_supported_operation_codes, never_resumed}},
    {0xa8, no_action, "READ(12)", 12, reads, needed, reported, always,
     {0xa8, 0x18, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x3f, 0},
     {admit_read, start_read, resume_read}},
    {0xaa, no_action, "WRITE(12)", 12, writes, written, reported, always,
     {0xaa, 0x18, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x3f, 0},
     {admit_write, start_write, resume_write}},
    {0xae, no_action, "WRITE AND VERIFY(12)", 12, writes, written, reported, always,
     {0xae, 0x12, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x3f, 0},
     {admit_write_and_verify, start_write_and_verify, resume_write_and_verify}},
    {0xaf, no_action, "VERIFY(12)", 12, reads, needed, reported, always,
     {0xaf, 0x16, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x3f, 0},
     {admit_verify, start_verify, resume_verify}},
    {0xb7, no_action, "READ DEFECT DATA(12)", 12, reads, needed, reported, always,
     {0xb7, 0x1f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0},
     {admit_data_in, start_read_defect_data_12, never_resumed}},
});
// clang-format on

constexpr bool rows_are_sound() {
    for (std::size_t i = 0; i < commands.size(); ++i) {
        const CommandRow& row = commands[i];
        if (row.usage[0] != row.operation_code || row.usage[row.length - 1U] != 0) return false;
        if (row.service_action != no_service_action &&
            (row.usage[1] & service_action_mask) != service_action_mask) {
            return false;
        }
        for (std::size_t at = row.length; at < row.usage.size(); ++at) {
            if (row.usage[at] != 0) return false;
        }
        if (i == 0) continue;
        const CommandRow& before = commands[i - 1];
        if (before.operation_code > row.operation_code) return false;
        if (before.operation_code == row.operation_code &&
            before.service_action >= row.service_action) {
            return false;
        }
    }
    return true;
}
static_assert(rows_are_sound());

/// Where the rows of each operation code begin, and how many they are.
struct Place {
    std::uint8_t first = 0;
    std::uint8_t count = 0;
};
constexpr std::array<Place, 256> make_places() {
    std::array<Place, 256> places{};
    for (std::size_t i = 0; i < commands.size(); ++i) {
        Place& place = places[commands[i].operation_code];
        if (place.count == 0) place.first = static_cast<std::uint8_t>(i);
        ++place.count;
    }
    return places;
}
constexpr std::array<Place, 256> places = make_places();

/// The complement of each row's usage, as two words so that a CDB is judged in two operations.
/// Byte order does not matter: both sides are taken from memory alike.
using CdbWords = std::array<std::uint64_t, 2>;
constexpr std::array<CdbWords, commands.size()> make_unused_bits() {
    std::array<CdbWords, commands.size()> all{};
    for (std::size_t i = 0; i < commands.size(); ++i) {
        std::array<std::uint8_t, 16> unused{};
        for (std::size_t at = 1; at < commands[i].length; ++at) {
            unused[at] = static_cast<std::uint8_t>(~commands[i].usage[at]);
        }
        all[i] = std::bit_cast<CdbWords>(unused);
    }
    return all;
}
constexpr std::array<CdbWords, commands.size()> unused_bits = make_unused_bits();

}  // namespace

bool has_unused_bits(const CommandRow& row, const std::array<std::uint8_t, 16>& cdb) {
    const CdbWords& unused = unused_bits[static_cast<std::size_t>(&row - commands.data())];
    const auto words = std::bit_cast<CdbWords>(cdb);
    return ((words[0] & unused[0]) | (words[1] & unused[1])) != 0;
}

std::span<const CommandRow> all_commands() {
    return commands;
}

std::span<const CommandRow> commands_with(std::uint8_t operation_code) {
    const Place place = places[operation_code];
    return std::span(commands).subspan(place.first, place.count);
}

}  // namespace cowtgt::scsi
