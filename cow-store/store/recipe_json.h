#pragma once

#include <nlohmann/json.hpp>

#include "cow-store/identity/identity.h"

/// A recipe as JSON, field by field, under the names of its own members. These are found by
/// nlohmann::json's conversions, which throw what documents.cc turns into an Error.
namespace cowtgt::identity {

void to_json(nlohmann::json& json, const Finding& finding);
void from_json(const nlohmann::json& json, Finding& finding);
void to_json(nlohmann::json& json, const Place& place);
void from_json(const nlohmann::json& json, Place& place);
void to_json(nlohmann::json& json, const Structure& structure);
void from_json(const nlohmann::json& json, Structure& structure);
void to_json(nlohmann::json& json, const Recipe& recipe);
void from_json(const nlohmann::json& json, Recipe& recipe);

}  // namespace cowtgt::identity
