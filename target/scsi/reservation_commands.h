#pragma once

#include "target/scsi/unit.h"

/// RESERVE and RELEASE of SPC-2; PERSISTENT RESERVE IN and OUT of SPC-4 sections 6.15, 6.16.
namespace cowtgt::scsi {

Admission admit_reserve(Unit& unit, Command& command);
Step start_reserve(Unit& unit, Command& command);
Step start_release(Unit& unit, Command& command);

Admission admit_persistent_reserve_in(Unit& unit, Command& command);
Step start_persistent_reserve_in(Unit& unit, Command& command);
Admission admit_persistent_reserve_out(Unit& unit, Command& command);
Step start_persistent_reserve_out(Unit& unit, Command& command);
Step resume_persistent_reserve_out(Unit& unit, Command& command, const BlockOutcome& outcome);

}  // namespace cowtgt::scsi
