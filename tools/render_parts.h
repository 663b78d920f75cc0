#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

/// What the renderers of results are made of. An older or newer daemon may have other fields, so a
/// field that is missing is empty.
namespace cowtgt::tools {

/// What stands at `key`, or null.
const nlohmann::json& at(const nlohmann::json& object, std::string_view key);
std::string text(const nlohmann::json& object, std::string_view key);
std::uint64_t number(const nlohmann::json& object, std::string_view key);
/// A number of bytes as "1.5G".
std::string size(const nlohmann::json& object, std::string_view key);
std::string or_dash(std::string value);
/// The strings of an array, joined.
std::string joined(const nlohmann::json& array, std::string_view separator);
/// "template    debian12@3", the names in one column.
std::string field(std::string_view name, const std::string& value);
/// One line per element of a list, the name at the first only.
std::string fields(std::string_view name, const nlohmann::json& array);

}  // namespace cowtgt::tools
