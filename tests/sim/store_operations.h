#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>

#include "tests/sim/store_model.h"

namespace cowtgt::sim {

/// Something to be done to a store, and what it then holds.
struct StoreOperation {
    std::string name;      ///< "snapshot"
    std::string instance;  ///< that nobody may use meanwhile; empty: none
    StoreModel after;
    std::function<Result<void>(store::Store&)> make;
};

/// A random operation on a store that holds `model`; nothing when the one that was drawn makes no
/// sense there. `number` makes new names, and is different each time.
std::optional<StoreOperation> draw_operation(const StoreModel& model, Random& random,
                                             std::uint64_t number);

}  // namespace cowtgt::sim
