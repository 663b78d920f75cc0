#pragma once

#include <string_view>

#include "cow-store/base/result.h"
#include "cow-store/store/catalogue.h"
#include "cow-store/store/documents.h"
#include "cow-store/store/layout.h"
#include "cow-store/store/store.h"

/// What all ways of putting an instance on another template begin with.
namespace cowtgt::store {

/// An instance and the template that it is to stand on.
struct TemplateMove {
    InstanceDocument document;
    TemplateRecord to;
};

/// refused when the instance has snapshots, naming them, or the block sizes differ.
Result<TemplateMove> plan_move(const Context& context, std::string_view name,
                               const TemplateRef& to);

/// The document of an instance that stands on this template; a larger one makes it larger.
InstanceDocument on_template(InstanceDocument document, const TemplateRecord& record);

}  // namespace cowtgt::store
