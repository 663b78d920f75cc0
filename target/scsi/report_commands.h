#pragma once

#include "target/scsi/unit.h"

/// Commands that report what the target has and can do.
namespace cowtgt::scsi {

Admission admit_report_luns(Unit& unit, Command& command);
Step start_report_luns(Unit& unit, Command& command);
Step start_log_sense(Unit& unit, Command& command);
Step start_report_target_port_groups(Unit& unit, Command& command);
/// REPORT SUPPORTED OPERATION CODES, SPC-4 section 6.35, read off the command table.
Step start_report_supported_operation_codes(Unit& unit, Command& command);

/// REPORT LUNS parameter data of a target with LUN 0 only.
void put_lun_list(DataIn& data);

}  // namespace cowtgt::scsi
