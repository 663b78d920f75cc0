#pragma once

#include <filesystem>
#include <string_view>

#include "cow-store/base/result.h"
#include "cow-store/descriptor.h"
#include "cow-store/store/layout.h"

namespace cowtgt::store {

/// A live layer's file, locked through the very descriptions that its I/O will use, so that the
/// lock lasts until the last request in the kernel has ended (DESIGN section 4).
struct LockedLayer {
    Descriptor buffered;
    Descriptor direct;  ///< through the page cache too when `direct_io` is false
    bool direct_io = false;
};

/// Waits for requests of a dead process, at most as long as the environment says. `file` is the
/// layer's name in the folder of instance `name`.
/// Errors: in_use when somebody else has it; refused when the file is gone.
Result<LockedLayer> lock_live_layer(const Context& context, std::string_view name,
                                    std::string_view file);

}  // namespace cowtgt::store
