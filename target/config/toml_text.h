#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "cow-store/base/result.h"

/// The small part of TOML that our files use, as plain values with their places, so that every
/// error can say where it is.
namespace cowtgt::config {

struct Place {
    std::uint32_t line = 0;    ///< from 1
    std::uint32_t column = 0;  ///< from 1, in characters
};

struct TomlString {
    std::string text;
    Place place;        ///< of its opening quote
    bool plain = true;  ///< written as "..." or '...' without escapes: text[i] is at column + 1 + i
};
struct TomlOther {
    std::string type;  ///< "table", "floating-point number", ...
};
using TomlValue = std::variant<TomlString, std::int64_t, bool, std::vector<TomlString>, TomlOther>;

struct TomlEntry {
    std::string key;
    Place key_place;
    Place value_place;
    TomlValue value;
    bool on_one_line = true;  ///< key and value, the key without escapes
};

/// The entries of the root table, in the order of the file. `file` is for the messages.
Result<std::vector<TomlEntry>> parse_toml(std::string_view text, std::string_view file);

/// A TOML basic string that stands for `text`, with its quotes.
std::string toml_string(std::string_view text);

/// "FILE:LINE:COLUMN: sentence", code usage.
Error error_at(std::string_view file, Place place, std::string_view sentence);

}  // namespace cowtgt::config
