#pragma once

#include <cstdint>
#include <initializer_list>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>

#include "cow-store/base/result.h"

/// Reading the arguments of a command: an object of strings and numbers. Errors are usage.
namespace cowtgt::control {

/// Refuses arguments that the command does not know.
Result<void> only_arguments(const nlohmann::json& arguments,
                            std::initializer_list<std::string_view> known);

/// A string that must be there and not be empty.
Result<std::string> text_argument(const nlohmann::json& arguments, std::string_view key);
/// Absent or null: nothing.
Result<std::optional<std::string>> optional_text_argument(const nlohmann::json& arguments,
                                                          std::string_view key);
/// Absent or null: false.
Result<bool> flag_argument(const nlohmann::json& arguments, std::string_view key);
/// Absent: 0.
Result<std::uint64_t> number_argument(const nlohmann::json& arguments, std::string_view key);

}  // namespace cowtgt::control
