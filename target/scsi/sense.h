#pragma once

#include <cstdint>
#include <optional>
#include <span>

#include "target/scsi/logical_unit.h"

/// Sense data (SPC-4 section 4.5): the codes that this target answers with, and their two formats.
namespace cowtgt::scsi {

/// SAM-5 section 5.3.1.
namespace status {
inline constexpr std::uint8_t good = 0x00;
inline constexpr std::uint8_t check_condition = 0x02;
inline constexpr std::uint8_t reservation_conflict = 0x18;
}  // namespace status

/// SPC-4 section 4.5.6.
enum class SenseKey : std::uint8_t {
    no_sense = 0x0,
    not_ready = 0x2,
    medium_error = 0x3,
    illegal_request = 0x5,
    unit_attention = 0x6,
    data_protect = 0x7,
    copy_aborted = 0xa,
    miscompare = 0xe,
};

/// Sense key, additional sense code and its qualifier.
struct SenseCode {
    SenseKey key;
    std::uint8_t asc;
    std::uint8_t ascq;
    friend constexpr bool operator==(const SenseCode&, const SenseCode&) = default;
};

namespace sense_code {
inline constexpr SenseCode none{SenseKey::no_sense, 0x00, 0x00};
inline constexpr SenseCode sanitize_in_progress{SenseKey::not_ready, 0x04, 0x1b};
inline constexpr SenseCode medium_not_present{SenseKey::not_ready, 0x3a, 0x00};
inline constexpr SenseCode write_error{SenseKey::medium_error, 0x0c, 0x00};
inline constexpr SenseCode unrecovered_read_error{SenseKey::medium_error, 0x11, 0x00};
inline constexpr SenseCode sanitize_failed{SenseKey::medium_error, 0x31, 0x03};
inline constexpr SenseCode invalid_field_in_information_unit{SenseKey::illegal_request, 0x0e, 0x03};
inline constexpr SenseCode parameter_list_length_error{SenseKey::illegal_request, 0x1a, 0x00};
inline constexpr SenseCode invalid_operation_code{SenseKey::illegal_request, 0x20, 0x00};
inline constexpr SenseCode lba_out_of_range{SenseKey::illegal_request, 0x21, 0x00};
inline constexpr SenseCode invalid_field_in_cdb{SenseKey::illegal_request, 0x24, 0x00};
inline constexpr SenseCode logical_unit_not_supported{SenseKey::illegal_request, 0x25, 0x00};
inline constexpr SenseCode invalid_field_in_parameter_list{SenseKey::illegal_request, 0x26, 0x00};
inline constexpr SenseCode invalid_release{SenseKey::illegal_request, 0x26, 0x04};
inline constexpr SenseCode too_many_target_descriptors{SenseKey::illegal_request, 0x26, 0x06};
inline constexpr SenseCode unsupported_target_descriptor{SenseKey::illegal_request, 0x26, 0x07};
inline constexpr SenseCode too_many_segment_descriptors{SenseKey::illegal_request, 0x26, 0x08};
inline constexpr SenseCode unsupported_segment_descriptor{SenseKey::illegal_request, 0x26, 0x09};
inline constexpr SenseCode inline_data_too_long{SenseKey::illegal_request, 0x26, 0x0b};
inline constexpr SenseCode saving_not_supported{SenseKey::illegal_request, 0x39, 0x00};
inline constexpr SenseCode removal_prevented{SenseKey::illegal_request, 0x53, 0x02};
inline constexpr SenseCode insufficient_registrations{SenseKey::illegal_request, 0x55, 0x04};
inline constexpr SenseCode hardware_write_protected{SenseKey::data_protect, 0x27, 0x01};
inline constexpr SenseCode software_write_protected{SenseKey::data_protect, 0x27, 0x02};
inline constexpr SenseCode space_allocation_failed{SenseKey::data_protect, 0x27, 0x07};
inline constexpr SenseCode copy_aborted{SenseKey::copy_aborted, 0x00, 0x00};
inline constexpr SenseCode unreachable_copy_target{SenseKey::copy_aborted, 0x08, 0x04};
inline constexpr SenseCode third_party_device_failure{SenseKey::copy_aborted, 0x0d, 0x01};
inline constexpr SenseCode copy_target_not_reachable{SenseKey::copy_aborted, 0x0d, 0x02};
inline constexpr SenseCode miscompare_during_verify{SenseKey::miscompare, 0x1d, 0x00};
}  // namespace sense_code

/// Where the wrong field is (SPC-4 section 4.5.2.4.2): in the CDB or in the parameter list.
struct FieldPointer {
    enum class Place : std::uint8_t { cdb, parameter_list } place = Place::cdb;
    std::uint16_t byte = 0;
    std::optional<std::uint8_t> bit;  ///< the leftmost bit of the field, if it is not whole bytes
};

struct Sense {
    SenseCode code;
    std::optional<FieldPointer> field;
    std::optional<std::uint64_t> information;    ///< LBA or byte offset, as the command defines it
    std::optional<std::uint16_t> progress = {};  ///< PROGRESS INDICATION, of 65536
};

enum class SenseFormat : std::uint8_t { fixed, descriptor };

/// Writes current sense data and returns how many bytes it has: 18 in the fixed format. An
/// INFORMATION that does not fit into the fixed format's 32 bits is left out (VALID = 0).
std::uint8_t write_sense(const Sense& sense, SenseFormat format,
                         std::span<std::uint8_t, sense_bytes_max> out);

/// The command ended with CHECK CONDITION.
Done check_condition(const Sense& sense, SenseFormat format);

}  // namespace cowtgt::scsi
