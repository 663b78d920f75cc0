#pragma once

#include "cow-store/base/result.h"
#include "cow-store/identity/identity.h"
#include "cow-store/store/chain.h"

namespace cowtgt::store {

/// What identifies a disk that was written to since its template was made, and which files name
/// it: `of_template` knows this for what is as it was, the layers are read. Takes as long as that.
Result<identity::Recipe> examine_disk(const ChainReader& disk, const identity::Recipe& of_template);

}  // namespace cowtgt::store
