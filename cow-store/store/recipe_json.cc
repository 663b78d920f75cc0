#include "cow-store/store/recipe_json.h"

namespace cowtgt::identity {

void to_json(nlohmann::json& json, const Finding& finding) {
    json = {{"where", finding.where},
            {"kind", finding.kind},
            {"label", finding.label},
            {"old_value", finding.old_value},
            {"new_value", finding.new_value},
            {"kept_because", finding.kept_because},
            {"note", finding.note}};
}

void from_json(const nlohmann::json& json, Finding& finding) {
    json.at("where").get_to(finding.where);
    json.at("kind").get_to(finding.kind);
    json.at("label").get_to(finding.label);
    json.at("old_value").get_to(finding.old_value);
    json.at("new_value").get_to(finding.new_value);
    json.at("kept_because").get_to(finding.kept_because);
    json.at("note").get_to(finding.note);
}

void to_json(nlohmann::json& json, const Place& place) {
    json = {{"role", place.role},
            {"offset", place.offset},
            {"length", place.length},
            {"number", place.number}};
}

void from_json(const nlohmann::json& json, Place& place) {
    json.at("role").get_to(place.role);
    json.at("offset").get_to(place.offset);
    json.at("length").get_to(place.length);
    json.at("number").get_to(place.number);
}

void to_json(nlohmann::json& json, const Structure& structure) {
    json = {{"format", structure.format},
            {"where", structure.where},
            {"begin", structure.begin},
            {"length", structure.length},
            {"places", structure.places},
            {"findings", structure.findings},
            {"kept_because", structure.kept_because},
            {"needs_replay", structure.needs_replay}};
}

void from_json(const nlohmann::json& json, Structure& structure) {
    json.at("format").get_to(structure.format);
    json.at("where").get_to(structure.where);
    json.at("begin").get_to(structure.begin);
    json.at("length").get_to(structure.length);
    json.at("places").get_to(structure.places);
    json.at("findings").get_to(structure.findings);
    json.at("kept_because").get_to(structure.kept_because);
    structure.needs_replay = json.value("needs_replay", false);
}

NLOHMANN_JSON_SERIALIZE_ENUM(ReferenceKind, {{ReferenceKind::fixed, "fixed"},
                                             {ReferenceKind::rewritable, "rewritable"},
                                             {ReferenceKind::history, "history"},
                                             {ReferenceKind::reader, "reader"}})

void to_json(nlohmann::json& json, const Reference& reference) {
    json = {{"text", reference.text},   {"kind", reference.kind}, {"offset", reference.offset},
            {"where", reference.where}, {"file", reference.file}, {"reason", reference.reason}};
}

void from_json(const nlohmann::json& json, Reference& reference) {
    json.at("text").get_to(reference.text);
    json.at("kind").get_to(reference.kind);
    json.at("offset").get_to(reference.offset);
    json.at("where").get_to(reference.where);
    json.at("file").get_to(reference.file);
    json.at("reason").get_to(reference.reason);
}

void to_json(nlohmann::json& json, const Unsearchable& one) {
    json = {{"where", one.where}, {"reason", one.reason}, {"names_itself", one.names_itself}};
}

void from_json(const nlohmann::json& json, Unsearchable& one) {
    json.at("where").get_to(one.where);
    json.at("reason").get_to(one.reason);
    json.at("names_itself").get_to(one.names_itself);
}

void to_json(nlohmann::json& json, const Recipe& recipe) {
    json = {{"version", recipe.version},       {"block_size", recipe.block_size},
            {"disk_size", recipe.disk_size},   {"structures", recipe.structures},
            {"references", recipe.references}, {"unsearchable", recipe.unsearchable}};
}

void from_json(const nlohmann::json& json, Recipe& recipe) {
    json.at("version").get_to(recipe.version);
    json.at("block_size").get_to(recipe.block_size);
    json.at("disk_size").get_to(recipe.disk_size);
    json.at("structures").get_to(recipe.structures);
    if (recipe.version < 2) return;
    json.at("references").get_to(recipe.references);
    json.at("unsearchable").get_to(recipe.unsearchable);
}

}  // namespace cowtgt::identity
