// machines.toml and the store, made to agree: plan, apply, adopt.

#include <nlohmann/json.hpp>
#include <set>
#include <utility>

#include "target/control/arguments.h"
#include "target/control/describe.h"
#include "target/control/operations.h"

namespace cowtgt::control {

using nlohmann::json;

namespace {

json planned(const config::Machine& machine) {
    return {{"name", machine.name},
            {"template", machine.template_ref},
            {"mac", machine.mac ? json(config::to_string(*machine.mac)) : json()},
            {"size_bytes", machine.size_bytes}};
}

/// A line that wants another disk than the one that is there: that is no matter of a setting.
void note_differences(const config::Machine& line, const store::InstanceInfo& info, json& notes) {
    const std::string has = template_ref_text(info.template_name, info.template_version);
    const auto wanted = store::parse_template_ref(line.template_ref);
    const bool is_other = !line.template_ref.empty() && wanted &&
                          (wanted->name != info.template_name ||
                           (wanted->version != 0 && wanted->version != info.template_version));
    if (is_other) {
        notes.push_back(line.name + " stays on " + has + ", although its line says " +
                        line.template_ref + "; only a new instance has another template");
    }
    if (line.size_bytes > info.size_bytes) {
        notes.push_back(line.name + " has " + std::to_string(info.size_bytes) +
                        " bytes and its line says more; use: cowtgt resize " + line.name);
    }
}

}  // namespace

Result<json> Operations::plan(const json& arguments) {
    if (auto known = only_arguments(arguments, {}); !known) return known.error();
    const auto file = config::MachinesFile::load(config_.machines_file);
    if (!file) return file.error();
    const auto instances = store_.instances();
    if (!instances) return instances.error();
    json change = json::array();
    json unlisted = json::array();
    json notes = json::array();
    std::set<std::string, std::less<>> names;
    for (const store::InstanceInfo& info : *instances) {
        names.insert(info.name);
        const config::Machine line = file->find(info.name);
        const bool is_listed = file->machines().contains(info.name);
        const auto applied = applied_.find(info.name);
        const config::Machine before =
            applied == applied_.end() ? machines_.find(info.name) : applied->second;
        if (before != line && !is_listed) {
            unlisted.push_back(info.name);
        } else if (before != line) {
            change.push_back({{"name", info.name},
                              {"from", config::machine_line(before)},
                              {"to", config::machine_line(line)}});
        }
        note_differences(line, info, notes);
    }
    json create = json::array();
    for (const auto& [name, line] : file->machines()) {
        if (names.contains(name)) continue;
        const std::string place = file->place_of(name);
        if (line.template_ref.empty()) {
            return Error{ErrorCode::usage, place + ": there is no instance '" + name +
                                               "', and its line names no template to make it of"};
        }
        const auto ref = store::parse_template_ref(line.template_ref);
        if (!ref) return Error{ErrorCode::usage, place + ": " + ref.error().message};
        const auto info = store_.find_template(*ref);
        if (!info) return Error{info.error().code, place + ": " + info.error().message};
        if (line.size_bytes != 0 && line.size_bytes < info->size_bytes) {
            return Error{ErrorCode::usage, place + ": the disk of '" + name +
                                               "' cannot be smaller than its template's"};
        }
        create.push_back(planned(line));
    }
    return json{{"create", std::move(create)},
                {"change", std::move(change)},
                {"unlisted", std::move(unlisted)},
                {"notes", std::move(notes)}};
}

Result<json> Operations::apply(const json& arguments) {
    auto planned = plan(arguments);
    if (!planned) return planned.error();
    auto changed = reload();
    if (!changed) return changed.error();
    json created = json::array();
    json failed = json::array();
    for (const json& machine : planned->at("create")) {
        const auto made =
            clone({{"template", machine.at("template")}, {"name", machine.at("name")}});
        if (made) {
            created.push_back(machine.at("name"));
        } else {
            failed.push_back({{"name", machine.at("name")}, {"why", made.error().message}});
        }
    }
    return json{{"created", std::move(created)},
                {"changed", changed->at("changed")},
                {"failed", std::move(failed)}};
}

Result<json> Operations::adopt(const json& arguments) {
    auto known = only_arguments(arguments, {"mac", "name", "template"});
    if (!known) return known.error();
    auto mac_text = text_argument(arguments, "mac");
    if (!mac_text) return mac_text.error();
    auto name = text_argument(arguments, "name");
    if (!name) return name.error();
    const auto mac = config::parse_mac(*mac_text);
    if (!mac) return mac.error();
    auto source = optional_text_argument(arguments, "template");
    if (!source) return source.error();
    const auto info = store_.find_instance(*name);
    if (!info && info.error().code != ErrorCode::not_found) return info.error();
    if (!info && !*source) {
        return Error{ErrorCode::usage, "there is no instance '" + *name +
                                           "'; name the template to make it of: cowtgt adopt " +
                                           config::to_string(*mac) + " " + *name + " TEMPLATE"};
    }
    if (!info) return clone({{"mac", *mac_text}, {"name", *name}, {"template", **source}});

    // An instance that is there gets the machine; its disk stays.
    if (auto current = machines_.reload(); !current) return current.error();
    config::Machine machine = machines_.find(*name);
    const std::string_view owner = machines_.owner_of(*mac);
    if (!owner.empty() && owner != *name) {
        return Error{ErrorCode::exists,
                     "the MAC " + config::to_string(*mac) + " belongs to " + std::string(owner)};
    }
    if (*source) {
        return Error{ErrorCode::exists, "instance '" + *name +
                                            "' exists already; leave the template out to give it "
                                            "this MAC, or choose another name"};
    }
    machine.mac = *mac;
    if (auto edited = machines_.put(machine); !edited) return edited.error();
    if (auto served = serve(*name, "adopted"); !served) return served.error();
    return describe(*info);
}

}  // namespace cowtgt::control
