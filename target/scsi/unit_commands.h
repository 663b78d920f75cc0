#pragma once

#include "target/scsi/unit.h"

/// Commands about the unit as a whole: readiness, medium, capacity, lists without content.
namespace cowtgt::scsi {

Step start_test_unit_ready(Unit& unit, Command& command);
Step start_request_sense(Unit& unit, Command& command);
Step start_send_diagnostic(Unit& unit, Command& command);

Admission admit_start_stop_unit(Unit& unit, Command& command);
Step start_start_stop_unit(Unit& unit, Command& command);
Step resume_start_stop_unit(Unit& unit, Command& command, const BlockOutcome& outcome);
Step start_prevent_allow(Unit& unit, Command& command);

Step start_read_capacity_10(Unit& unit, Command& command);
Step start_read_capacity_16(Unit& unit, Command& command);
Step start_read_defect_data_10(Unit& unit, Command& command);
Step start_read_defect_data_12(Unit& unit, Command& command);

}  // namespace cowtgt::scsi
