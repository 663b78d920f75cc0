#pragma once

#include <string_view>

#include "cow-store/base/result.h"
#include "cow-store/store/store.h"

namespace cowtgt::store {

/// Putting an instance on another template.
/// Ownership: the store outlives it.
class Reshape {
public:
    explicit Reshape(Store& store) : store_(store) {}

    /// A fresh overlay on this version, with the identity that the instance has from its seed; what
    /// was written to it is gone. A template that is larger makes the disk larger. refused when the
    /// instance has snapshots, naming them, or the block sizes differ; in_use while it is open.
    Result<InstanceInfo> rebase(std::string_view name, const TemplateRef& to);
    /// Whether rebase would be refused, but for being in use; else the version that is meant.
    Result<TemplateInfo> try_rebase(std::string_view name, const TemplateRef& to) const;

private:
    Store& store_;
};

}  // namespace cowtgt::store
