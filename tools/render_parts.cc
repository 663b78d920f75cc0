#include "tools/render_parts.h"

#include <algorithm>

#include "target/config/size.h"
#include "target/control/protocol.h"

namespace cowtgt::tools {

using nlohmann::json;

const json& at(const json& object, std::string_view key) {
    static const json nothing;
    const auto found = object.is_object() ? object.find(key) : object.end();
    return object.is_object() && found != object.end() ? *found : nothing;
}

std::string text(const json& object, std::string_view key) {
    const json& value = at(object, key);
    if (value.is_string()) return value.get<std::string>();
    return value.is_null() ? "" : control::json_text(value);
}

std::uint64_t number(const json& object, std::string_view key) {
    const json& value = at(object, key);
    return value.is_number_integer() && value >= 0 ? value.get<std::uint64_t>() : 0;
}

std::string size(const json& object, std::string_view key) {
    return config::short_size(number(object, key));
}

std::string or_dash(std::string value) {
    return value.empty() ? "-" : value;
}

std::string joined(const json& array, std::string_view separator) {
    std::string result;
    for (const json& element : array) {
        if (!result.empty()) result += separator;
        result += element.is_string() ? element.get<std::string>() : control::json_text(element);
    }
    return result;
}

std::string field(std::string_view name, const std::string& value) {
    constexpr std::size_t width = 12;
    std::string line = "  " + std::string(name);
    line.resize(std::max(line.size() + 1, width + 2), ' ');
    return line + value + "\n";
}

std::string fields(std::string_view name, const json& array) {
    std::string result;
    for (const json& element : array) {
        const bool is_first = result.empty();
        result +=
            field(is_first ? name : "", element.is_string() ? element.get<std::string>() : "");
    }
    return result;
}

}  // namespace cowtgt::tools
