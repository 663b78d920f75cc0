#pragma once

#include "target/scsi/unit.h"

/// EXTENDED COPY(LID1) and RECEIVE COPY RESULTS, SPC-4 sections 6.4 and 6.18 and 6.19: blocks of
/// this logical unit are copied to other places of it without crossing the network.
namespace cowtgt::scsi {

/// Of one EXTENDED COPY; OPERATING PARAMETERS and the Third-party Copy VPD page say them.
inline constexpr std::uint16_t copy_targets_max = 4;
inline constexpr std::uint16_t copy_segments_max = 16;
inline constexpr std::uint32_t copy_target_descriptor_bytes = 32;
inline constexpr std::uint32_t copy_segment_descriptor_bytes_max = 32;
inline constexpr std::uint32_t copy_descriptor_bytes_max =
    copy_targets_max * copy_target_descriptor_bytes +
    copy_segments_max * copy_segment_descriptor_bytes_max;
/// Seconds of work at most, so that no initiator gives up on it.
inline constexpr std::uint32_t copy_segment_bytes_max = 64U << 20;
/// Results that are remembered, of all nexuses.
inline constexpr std::size_t copy_results_max = 32;

Admission admit_extended_copy(Unit& unit, Command& command);
Step start_extended_copy(Unit& unit, Command& command);
Step resume_extended_copy(Unit& unit, Command& command, const BlockOutcome& outcome);

Step start_copy_status(Unit& unit, Command& command);
Step start_copy_operating_parameters(Unit& unit, Command& command);
/// Third-party Copy VPD page, SPC-4 section 7.8.17, without its header.
void put_third_party_copy(DataIn& data);

}  // namespace cowtgt::scsi
