#include "target/control/identity_arguments.h"

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "target/control/arguments.h"

namespace cowtgt::control {

using nlohmann::json;
using store::IdentityMode;
using store::IdentityWishes;
using store::ReferenceMode;

namespace {

constexpr std::array modes = {
    std::pair{"auto", IdentityMode::automatic},
    std::pair{"keep", IdentityMode::keep},
    std::pair{"require", IdentityMode::require},
};

constexpr std::array reference_modes = {
    std::pair{"yes", ReferenceMode::rewrite},
    std::pair{"no", ReferenceMode::keep},
    std::pair{"ignore", ReferenceMode::ignore},
};

Result<ReferenceMode> references_argument(const json& arguments) {
    auto text = optional_text_argument(arguments, "rewrite_references");
    if (!text) return text.error();
    const std::string word = text->value_or("yes");
    const auto* row =
        std::ranges::find(reference_modes, word, &std::pair<const char*, ReferenceMode>::first);
    if (row != reference_modes.end()) return row->second;
    return Error{ErrorCode::usage, "rewrite-references is yes, no or ignore, not '" + word + "'"};
}

Result<IdentityMode> mode_argument(const json& arguments) {
    auto text = optional_text_argument(arguments, "identity");
    if (!text) return text.error();
    const std::string word = text->value_or("auto");
    const auto* row = std::ranges::find(modes, word, &std::pair<const char*, IdentityMode>::first);
    if (row != modes.end()) return row->second;
    return Error{ErrorCode::usage, "identity is auto, keep or require, not '" + word + "'"};
}

/// The same text is always the same seed.
Result<Uuid> seed_argument(const json& arguments) {
    auto text = optional_text_argument(arguments, "identity_seed");
    if (!text) return text.error();
    if (!*text) return Uuid{};
    const std::optional<Uuid> uuid = parse_uuid(**text);
    return uuid && !uuid->is_nil() ? *uuid : make_name_uuid(Uuid{}, **text);
}

Result<std::vector<IdentityWishes::Value>> values_argument(const json& arguments,
                                                           const std::string& key) {
    std::vector<IdentityWishes::Value> values;
    const auto found = arguments.find(key);
    if (found == arguments.end() || found->is_null()) return values;
    const Error wrong{ErrorCode::usage,
                      key + " are written FILE-SYSTEM=VALUE, by its label or place: ROOT=..."};
    if (!found->is_array()) return wrong;
    for (const json& one : *found) {
        if (!one.is_string()) return wrong;
        const std::string text = one.get<std::string>();
        const std::size_t equals = text.rfind('=');  // a place has none, a label might
        if (equals == std::string::npos || equals == 0 || equals + 1 == text.size()) return wrong;
        values.push_back({text.substr(0, equals), text.substr(equals + 1)});
    }
    return values;
}

Result<bool> grow_argument(const json& arguments) {
    auto text = optional_text_argument(arguments, "grow");
    if (!text) return text.error();
    const std::string word = text->value_or("no");
    if (word == "yes" || word == "no") return word == "yes";
    return Error{ErrorCode::usage, "grow is yes or no, not '" + word + "'"};
}

}  // namespace

Result<void> take_identity_arguments(const json& arguments, store::CloneOptions& into) {
    auto mode = mode_argument(arguments);
    if (!mode) return mode.error();
    auto seed = seed_argument(arguments);
    if (!seed) return seed.error();
    auto labels = values_argument(arguments, "labels");
    if (!labels) return labels.error();
    auto uuids = values_argument(arguments, "uuids");
    if (!uuids) return uuids.error();
    auto grow = grow_argument(arguments);
    if (!grow) return grow.error();
    auto references = references_argument(arguments);
    if (!references) return references.error();
    into.identity.mode = *mode;
    into.identity.references = *references;
    into.identity.labels = *std::move(labels);
    into.identity.uuids = *std::move(uuids);
    into.identity.grow_last_partition = *grow;
    into.identity_seed = *seed;
    return {};
}

}  // namespace cowtgt::control
