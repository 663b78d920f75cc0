#include "target/control/arguments.h"

#include <algorithm>

namespace cowtgt::control {

namespace {

Error wrong_argument(std::string_view key, std::string_view what) {
    return {ErrorCode::usage, "argument '" + std::string(key) + "' " + std::string(what)};
}

}  // namespace

Result<void> only_arguments(const nlohmann::json& arguments,
                            std::initializer_list<std::string_view> known) {
    if (!arguments.is_object()) {
        return Error{ErrorCode::usage, "the arguments are not a JSON object"};
    }
    for (const auto& [key, value] : arguments.items()) {
        if (std::find(known.begin(), known.end(), key) == known.end()) {
            return wrong_argument(key, "is unknown");
        }
    }
    return {};
}

Result<std::string> text_argument(const nlohmann::json& arguments, std::string_view key) {
    auto text = optional_text_argument(arguments, key);
    if (!text) return text.error();
    if (!*text || (*text)->empty()) return wrong_argument(key, "is missing");
    return **text;
}

Result<std::optional<std::string>> optional_text_argument(const nlohmann::json& arguments,
                                                          std::string_view key) {
    const auto found = arguments.find(key);
    if (found == arguments.end() || found->is_null()) return std::optional<std::string>();
    if (!found->is_string()) return wrong_argument(key, "is not a string");
    return std::optional(found->get<std::string>());
}

Result<bool> flag_argument(const nlohmann::json& arguments, std::string_view key) {
    const auto found = arguments.find(key);
    if (found == arguments.end() || found->is_null()) return false;
    if (!found->is_boolean()) return wrong_argument(key, "is not true or false");
    return found->get<bool>();
}

Result<std::uint64_t> number_argument(const nlohmann::json& arguments, std::string_view key) {
    const auto found = arguments.find(key);
    if (found == arguments.end() || found->is_null()) return std::uint64_t{0};
    if (!found->is_number_unsigned()) return wrong_argument(key, "is not a number of bytes");
    return found->get<std::uint64_t>();
}

}  // namespace cowtgt::control
