#include "target/config/toml_text.h"

#define TOML_EXCEPTIONS 0
#include <toml++/toml.h>

#include <algorithm>
#include <optional>

namespace cowtgt::config {

namespace {

Place place_of(const toml::source_position& position) {
    return {static_cast<std::uint32_t>(position.line), static_cast<std::uint32_t>(position.column)};
}

TomlString string_of(const toml::value<std::string>& value) {
    const toml::source_region& region = value.source();
    TomlString result{.text = *value, .place = place_of(region.begin)};
    const bool one_line = region.begin.line == region.end.line;
    // Written plainly, the source is the text and two quotes.
    const bool ascii = std::all_of(value->begin(), value->end(), [](char c) { return c > 0; });
    result.plain =
        one_line && ascii && region.end.column - region.begin.column == result.text.size() + 2;
    return result;
}

std::string type_of(const toml::node& node) {
    if (node.is_table()) return "a table";
    if (node.is_array()) return "an array of something else than strings";
    if (node.is_floating_point()) return "a number with a point";
    return "a date or time";
}

std::optional<std::vector<TomlString>> strings_of(const toml::array& array) {
    std::vector<TomlString> strings;
    for (const toml::node& element : array) {
        if (!element.is_string()) return std::nullopt;
        strings.push_back(string_of(*element.as_string()));
    }
    return strings;
}

TomlValue value_of(const toml::node& node) {
    if (const auto* string = node.as_string()) return string_of(*string);
    if (const auto* integer = node.as_integer()) return integer->get();
    if (const auto* boolean = node.as_boolean()) return boolean->get();
    if (const auto* array = node.as_array()) {
        if (auto strings = strings_of(*array)) return std::move(*strings);
    }
    return TomlOther{type_of(node)};
}

}  // namespace

Result<std::vector<TomlEntry>> parse_toml(std::string_view text, std::string_view file) {
    const toml::parse_result parsed = toml::parse(text, file);
    if (!parsed) {
        const toml::parse_error& problem = parsed.error();
        return error_at(file, place_of(problem.source().begin), problem.description());
    }
    std::vector<TomlEntry> entries;
    for (const auto& [key, node] : parsed.table()) {
        const toml::source_region& name = key.source();
        const std::size_t quotes = name.end.column - name.begin.column - key.str().size();
        entries.push_back({.key = std::string(key.str()),
                           .key_place = place_of(name.begin),
                           .value_place = place_of(node.source().begin),
                           .value = value_of(node),
                           .on_one_line = name.begin.line == node.source().end.line &&
                                          (quotes == 0 || quotes == 2)});
    }
    std::sort(entries.begin(), entries.end(), [](const TomlEntry& a, const TomlEntry& b) {
        return a.key_place.line != b.key_place.line ? a.key_place.line < b.key_place.line
                                                    : a.key_place.column < b.key_place.column;
    });
    return entries;
}

std::string toml_string(std::string_view text) {
    constexpr std::string_view hex = "0123456789abcdef";
    std::string result = "\"";
    for (const char c : text) {
        const auto code = static_cast<unsigned char>(c);
        if (c == '"' || c == '\\') {
            result += '\\';
            result += c;
        } else if (code < 0x20 || code == 0x7f) {
            result += "\\u00";
            result += hex[code >> 4];
            result += hex[code & 15];
        } else {
            result += c;
        }
    }
    return result + '"';
}

Error error_at(std::string_view file, Place place, std::string_view sentence) {
    return {ErrorCode::usage, std::string(file) + ":" + std::to_string(place.line) + ":" +
                                  std::to_string(place.column) + ": " + std::string(sentence)};
}

}  // namespace cowtgt::config
