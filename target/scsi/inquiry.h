#pragma once

#include "target/scsi/unit.h"

namespace cowtgt::scsi {

/// INQUIRY, SPC-4 section 6.6, and the vital product data pages of SPC-4 7.8 and SBC-3 6.6.
Step start_inquiry(Unit& unit, Command& command);

/// Standard INQUIRY data with peripheral qualifier 3: no logical unit here, and none possible.
void put_inquiry_without_logical_unit(DataIn& data);

}  // namespace cowtgt::scsi
