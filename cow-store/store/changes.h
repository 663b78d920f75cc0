#pragma once

#include <string_view>

#include "cow-store/base/result.h"
#include "cow-store/store/chain.h"
#include "cow-store/store/layout.h"
#include "cow-store/store/open_instance.h"
#include "cow-store/store/store.h"

/// What differs between two states of an instance. The maps say it; no data is read.
namespace cowtgt::store {

/// Layers from the top down, as a disk reads through them.
struct LayerStack {
    struct Level {
        Uuid uuid;
        const ClusterMap* map = nullptr;
        std::uint64_t overlap_limit = 0;  ///< bytes of what lies below that show through
    };
    std::vector<Level> levels;
    std::uint64_t base_size = 0;  ///< bytes of the image
};
/// `chain` outlives the stack.
LayerStack stack_of(const OpenedChain& chain);
/// The live layer is the top one; `instance` outlives the stack.
LayerStack stack_of(const OpenedInstance& instance);

/// Ranges of [0, size) that may read otherwise in `now` than in `before`: what a layer maps that
/// only one of them has. In rising order, not overlapping, whole clusters but for the end.
std::vector<ChangedRange> changed_ranges(const LayerStack& now, const LayerStack& before,
                                         std::uint64_t size);

/// Store::changes.
Result<Changes> find_changes(const Context& context, std::string_view name, std::string_view label,
                             std::string_view from);

}  // namespace cowtgt::store
