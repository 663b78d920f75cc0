#pragma once

#include <string>
#include <vector>

#include "cow-store/base/check.h"
#include "cow-store/descriptor.h"
#include "cow-store/store/layout.h"
#include "cow-store/store/store.h"

namespace cowtgt::store {

/// An open store, for the code of this module.
struct Store::State {
    Context context;
    Descriptor lock;
    std::vector<std::string> cleaned_up;

    /// Whatever changes more than an import does needs the store for itself.
    const Context& exclusive() const {
        CHECK(context.locking == Locking::exclusive);
        return context;
    }
};

}  // namespace cowtgt::store
