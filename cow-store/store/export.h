#pragma once

#include <string_view>

#include "cow-store/base/result.h"
#include "cow-store/store/layout.h"
#include "cow-store/store/store.h"

namespace cowtgt::store {

/// Store::export_instance and Store::export_template: holes cost nothing to read, runs of zeros
/// are not handed out.
Result<void> export_instance(const Context& context, std::string_view name, const Store::Sink& sink,
                             const Progress& progress);
Result<void> export_template(const Context& context, const TemplateRef& ref,
                             const Store::Sink& sink, const Progress& progress);
/// Store::export_snapshot.
Result<void> export_snapshot(const Context& context, std::string_view name, std::string_view label,
                             const Store::Sink& sink, const Progress& progress);

}  // namespace cowtgt::store
