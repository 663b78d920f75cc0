#pragma once

#include "target/scsi/unit.h"

/// SANITIZE, SBC-3 section 5.30: what was on the medium cannot be had back. It runs in the
/// background and goes on through resets and the loss of every nexus.
namespace cowtgt::scsi {

Admission admit_sanitize(Unit& unit, Command& command);
Step start_sanitize(Unit& unit, Command& command);
Step resume_sanitize(Unit& unit, Command& command, const BlockOutcome& outcome);
Step start_exit_failure_mode(Unit& unit, Command& command);
Step resume_exit_failure_mode(Unit& unit, Command& command, const BlockOutcome& outcome);

/// What a running or failed sanitize operation leaves to this command; nothing: it may run.
std::optional<Sense> refusal_while_sanitizing(const Unit& unit, const CommandRow& row);
/// How far the operation is, of 65536.
std::uint16_t sanitize_progress(const Unit& unit);

// One step of the background work. Requires: Sanitizing::State::running.
BlockStep next_sanitize_step(Unit& unit, MutableBytes buffer);
void sanitize_step_done(Unit& unit, const BlockOutcome& outcome);

}  // namespace cowtgt::scsi
