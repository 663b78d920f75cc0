#pragma once

#include "cow-store/base/result.h"
#include "cow-store/store/layout.h"
#include "cow-store/store/store.h"
#include "cow-store/store/workplace.h"

namespace cowtgt::store {

/// Store::import_template. The image is read once: written sparse, hashed, looked at for what
/// identifies it, sealed, and made the next version of its name by one rename.
Result<ImportResult> import_template(const Context& context, const ImportOptions& options);
/// Makes a finished folder the next version of `name`: whoever renames first has the number, the
/// other takes the next.
Result<std::uint32_t> publish_version(const Context& context, Workplace& workplace,
                                      const std::string& name);

}  // namespace cowtgt::store
