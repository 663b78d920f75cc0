#pragma once

#include <string_view>

#include "cow-store/base/result.h"
#include "cow-store/store/store.h"

namespace cowtgt::store {

/// Putting an instance on another template, or on none.
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

    // Standing on no template. What the instance reads from below goes into its live layer first,
    // by whoever serves it.

    /// refused for one that stands on none, or has snapshots.
    Result<void> try_flatten(std::string_view name) const;
    /// Durable: it is on its way, also for the next daemon. The instance may be in use.
    Result<void> note_flattening(std::string_view name);
    Result<void> forget_flattening(std::string_view name);
    /// The moment at which it stands on nothing: one rename. What machines boot with it keeps.
    /// Requires: nothing that its live layer inherits reads as anything but zeros. in_use while it
    /// is open.
    Result<void> finish_flatten(std::string_view name);
    /// All of that, for an instance that nobody serves, with a new layer. Needs space for all of
    /// the disk's content.
    Result<void> flatten_now(std::string_view name);

private:
    Store& store_;
};

}  // namespace cowtgt::store
