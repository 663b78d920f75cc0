#pragma once

#include <nlohmann/json_fwd.hpp>

#include "cow-store/base/result.h"
#include "cow-store/store/store.h"

namespace cowtgt::control {

/// What the arguments of a clone say about the identity; usage for what they cannot say:
///   identity: "auto" (without it), "keep" or "require"; identity_seed: any text, or a UUID;
///   labels, uuids: ["ROOT=web01-root", ...], by label or place; grow: "yes" or "no".
Result<void> take_identity_arguments(const nlohmann::json& arguments, store::CloneOptions& into);

}  // namespace cowtgt::control
