#pragma once

#include <memory>
#include <string_view>

#include "cow-store/base/result.h"
#include "cow-store/store/layout.h"
#include "cow-store/store/open_instance.h"

namespace cowtgt::store {

/// Store::open_instance.
Result<std::unique_ptr<OpenedInstance>> open_instance(const Context& context,
                                                      std::string_view name);

}  // namespace cowtgt::store
