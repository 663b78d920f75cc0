#pragma once

#include <string_view>

#include "cow-store/base/result.h"
#include "cow-store/identity/identity.h"
#include "cow-store/store/layout.h"
#include "cow-store/store/store.h"

namespace cowtgt::store {

/// Store::commit.
Result<TemplateInfo> commit_instance(const Context& context, const CommitOptions& options);

/// What identifies the disk as the instance has it now. in_use while it is open.
Result<identity::Recipe> examine_instance(const Context& context, std::string_view name,
                                          const identity::Recipe& of_template);

}  // namespace cowtgt::store
