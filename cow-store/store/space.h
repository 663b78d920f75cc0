#pragma once

#include <string_view>

#include "cow-store/base/result.h"
#include "cow-store/store/layout.h"
#include "cow-store/store/store.h"

/// Who takes how much of the host's space. A layer or an image that several objects stand on is one
/// file with several names, so the number of its names says whether removing one gives space back.
namespace cowtgt::store {

/// Store::space and Store::space_of.
Result<PoolSpace> measure_pool(const Context& context);
Result<StoreSpace> measure_store(const Context& context);
Result<SpaceInfo> measure_instance(const Context& context, std::string_view name);

/// What the host gets back when the folder of an object goes: its files without another name.
std::uint64_t bytes_freed_with(const std::filesystem::path& folder);

}  // namespace cowtgt::store
