#pragma once

#include <string_view>

#include "cow-store/base/result.h"
#include "cow-store/store/catalogue.h"
#include "cow-store/store/documents.h"
#include "cow-store/store/layout.h"
#include "cow-store/store/live_layer.h"
#include "cow-store/store/store.h"

/// What happens to instances. Each of these takes effect with one rename, or not at all.
namespace cowtgt::store {

/// Constant in time and space, whatever the size of the template.
Result<InstanceInfo> clone_template(const Context& context, const CloneOptions& options);
Result<void> reset_instance(const Context& context, std::string_view name);
/// What an instance on this template starts from.
Result<FreshLayer> plan_layer(const Context& context, const TemplateRecord& record,
                              const InstanceDocument& document);
/// What an instance starts from when it goes back to its template.
Result<FreshLayer> plan_reset(const Context& context, std::string_view name,
                              const InstanceDocument& document);
Result<InstanceInfo> resize_instance(const Context& context, std::string_view name,
                                     std::uint64_t size_bytes);
Result<void> rename_instance(const Context& context, std::string_view from, std::string_view to);
Result<void> remove_instance(const Context& context, std::string_view name);
Result<std::uint64_t> try_remove_instance(const Context& context, std::string_view name);

}  // namespace cowtgt::store
