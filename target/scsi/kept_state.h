#pragma once

#include <string>
#include <string_view>

#include "target/scsi/unit.h"

/// What of a logical unit survives a restart, as lines of text: persistent reservations with APTPL,
/// and that a sanitize operation was not finished.
///
///     cowtgt-unit 1
///     generation 7
///     registrant 00000000deadbeef 1 INITIATOR-PORT TARGET-PORT
///     reservation 5 INITIATOR-PORT TARGET-PORT
///     sanitize restricted
///
/// Keys are hexadecimal, other numbers decimal; ports are words of at most 260 characters.
/// `sanitize` says whether EXIT FAILURE MODE may end the failed state that it comes back in
/// (unrestricted) or not. Every line but the first may be missing.
namespace cowtgt::scsi {

std::string write_kept_state(const Unit& unit);

bool understands_kept_state(std::string_view text);
/// Puts the unit into that state; an empty text is the state of a new unit. A text that is not
/// understood changes nothing.
void take_kept_state(std::string_view text, Unit& unit);

}  // namespace cowtgt::scsi
