#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "cow-store/base/result.h"
#include "cow-store/store/chain.h"
#include "cow-store/store/documents.h"
#include "cow-store/store/layout.h"
#include "cow-store/store/workplace.h"
#include "cow-store/volume/layer_file.h"

/// Making a live layer and putting it in the place of another.
namespace cowtgt::store {

/// A fresh layer and what it does to the identity.
struct FreshLayer {
    LayerSpec spec;
    std::vector<IdentityItem> identity;
};

/// A layer on `parent` that gives `disk`, as it reads through the parent, the identity that the
/// document's seed and wishes say, and its size. The same ones give the same identity, so a reset
/// machine is still itself. refused when all had to be new and something cannot be.
Result<FreshLayer> plan_identity(const identity::Recipe& recipe, const ChainReader& disk,
                                 const Parent& parent, const InstanceDocument& document);

/// A layer on `parent` that changes nothing.
LayerSpec plain_layer(const Parent& parent, std::uint64_t size_bytes, std::uint32_t block_size);

Result<void> write_layer(const Context& context, const std::filesystem::path& path,
                         const LayerSpec& spec);

/// Makes `spec` the live layer of instance `name`, which stands on `parent_layer` of it (nil: on
/// the template) from then on. One rename is the moment of truth: that of the layer if nothing
/// else changes, else that of instance.json. `document` is what is on disk afterwards; if it has
/// the former live layer among the sealed ones, that one stays.
Result<void> replace_live(const Context& context, Work work, std::string_view name,
                          InstanceDocument& document, const Uuid& parent_layer,
                          const LayerSpec& spec);

/// Replaces instance.json, then removes what it does not name any more.
Result<void> replace_document(const Context& context, std::string_view name,
                              InstanceDocument& document);

/// Nobody uses the instance's disk, not even a request in the kernel. An instance whose layer is
/// gone is used by nobody.
Result<void> check_idle(const Context& context, std::string_view name);

}  // namespace cowtgt::store
