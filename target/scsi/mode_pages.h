#pragma once

#include "target/scsi/unit.h"

/// Mode parameters: SPC-4 section 7.5 and SBC-3 section 6.5.
namespace cowtgt::scsi {

Step start_mode_sense_6(Unit& unit, Command& command);
Step start_mode_sense_10(Unit& unit, Command& command);

Admission admit_mode_select_6(Unit& unit, Command& command);
Admission admit_mode_select_10(Unit& unit, Command& command);
Step start_mode_select_6(Unit& unit, Command& command);
Step start_mode_select_10(Unit& unit, Command& command);
Step resume_mode_select(Unit& unit, Command& command, const BlockOutcome& outcome);

}  // namespace cowtgt::scsi
