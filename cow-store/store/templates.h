#pragma once

#include <vector>

#include <string_view>

#include "cow-store/base/result.h"
#include "cow-store/store/layout.h"
#include "cow-store/store/store.h"

namespace cowtgt::store {

/// Store::templates, find_template, remove_template.
Result<std::vector<TemplateInfo>> list_templates(const Context& context);
Result<TemplateInfo> find_template(const Context& context, const TemplateRef& ref);
Result<TemplateInfo> tag_template(const Context& context, const TemplateRef& ref,
                                  std::string_view tag);
/// usage when it is no single line of printable text.
Result<void> check_note(std::string_view note);
Result<TemplateInfo> note_template(const Context& context, const TemplateRef& ref,
                                   std::string_view note);
Result<void> remove_template(const Context& context, const TemplateRef& ref);
Result<std::uint64_t> try_remove_template(const Context& context, const TemplateRef& ref);

}  // namespace cowtgt::store
