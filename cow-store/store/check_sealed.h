#pragma once

#include "cow-store/store/check.h"
#include "cow-store/store/verification.h"

namespace cowtgt::store {

/// Compares a sealed file with its hashes, and adds what it finds to the report.
/// `objects`: whose disks stand on it. Errors: what ends the whole check (pace).
Result<void> check_sealed_file(const Context& context, const SealedUse& use,
                               const std::vector<std::string>& objects, const CheckOptions& options,
                               const Pace& pace, CheckReport& report);

}  // namespace cowtgt::store
