#pragma once

#include <string_view>

#include "cow-store/base/result.h"
#include "cow-store/store/layout.h"
#include "cow-store/store/store.h"

namespace cowtgt::store {

/// Store::commit.
Result<TemplateInfo> commit_instance(const Context& context, const CommitOptions& options);

}  // namespace cowtgt::store
