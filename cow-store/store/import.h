#pragma once

#include "cow-store/base/result.h"
#include "cow-store/store/layout.h"
#include "cow-store/store/store.h"

namespace cowtgt::store {

/// Store::import_template. The image is read once: written sparse, hashed, looked at for what
/// identifies it, sealed, and made the next version of its name by one rename.
Result<ImportResult> import_template(const Context& context, const ImportOptions& options);

}  // namespace cowtgt::store
