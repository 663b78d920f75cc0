#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <utility>

#include "target/config/size.h"
#include "target/control/arguments.h"
#include "target/control/describe.h"
#include "target/control/operations.h"

/// The commands about the layers of instances: snapshots, commits, growth. What needs the live
/// layer for itself happens while the instance is paused, under its initiators.
namespace cowtgt::control {

using nlohmann::json;

namespace {

json describe_snapshot(const store::SnapshotInfo& info) {
    return {{"instance", info.instance},
            {"label", info.label},
            {"ref", info.instance + "@" + info.label},
            {"created_at", info.created_at},
            {"size_bytes", info.size_bytes},
            {"allocated_bytes", info.allocated_bytes},
            {"clones", info.clones},
            {"verified", info.verified}};
}

/// One snapshot, and whether it is only to be said what would happen.
struct SnapshotChange {
    std::string name;
    std::string label;
    bool dry_run = false;
};

Result<SnapshotChange> snapshot_change(const store::Store& store, const json& arguments) {
    if (auto known = only_arguments(arguments, {"name", "label", "dry_run"}); !known) {
        return known.error();
    }
    auto name = text_argument(arguments, "name");
    if (!name) return name.error();
    auto label = text_argument(arguments, "label");
    if (!label) return label.error();
    auto dry_run = flag_argument(arguments, "dry_run");
    if (!dry_run) return dry_run.error();
    const auto snapshots = store.snapshots(*name);
    if (!snapshots) return snapshots.error();
    for (const store::SnapshotInfo& snapshot : *snapshots) {
        if (snapshot.label == *label) return SnapshotChange{*name, *label, *dry_run};
    }
    return Error{ErrorCode::not_found, "instance " + *name + " has no snapshot " + *label +
                                           "; `cowtgt snapshot ls " + *name +
                                           "` lists those that are there"};
}

json answer(const char* done, const SnapshotChange& change) {
    return {{done, change.name + "@" + change.label}, {"dry_run", change.dry_run}};
}

}  // namespace

Result<store::InstanceInfo> Operations::clone_source(const store::CloneOptions& options) {
    const store::TemplateRef& source = options.source;
    if (!source.tag.empty() && store_.find_instance(source.name)) {
        const auto known = store_.find_template(source);
        if (!known && known.error().code == ErrorCode::not_found) {
            return store_.clone_snapshot(source.name, source.tag, options);
        }
    }
    return store_.clone(options);
}

Result<json> Operations::snapshot(const json& arguments) {
    if (auto known = only_arguments(arguments, {"name", "label"}); !known) return known.error();
    auto name = text_argument(arguments, "name");
    if (!name) return name.error();
    auto label = optional_text_argument(arguments, "label");
    if (!label) return label.error();
    if (auto free = check_not_flattening(*name); !free) return free.error();
    json result;
    const Result<void> done = live_.while_paused(*name, [&]() -> Result<void> {
        auto made = store_.snapshot(*name, label->value_or(""));
        if (!made) return made.error();
        result = describe_snapshot(*made);
        return {};
    });
    if (!done) return done.error();
    return result;
}

Result<json> Operations::snapshot_list(const json& arguments) {
    if (auto known = only_arguments(arguments, {"name"}); !known) return known.error();
    auto name = text_argument(arguments, "name");
    if (!name) return name.error();
    const auto snapshots = store_.snapshots(*name);
    if (!snapshots) return snapshots.error();
    json result = json::array();
    for (const store::SnapshotInfo& snapshot : *snapshots)
        result.push_back(describe_snapshot(snapshot));
    return result;
}

Result<json> Operations::snapshot_remove(const json& arguments) {
    const auto change = snapshot_change(store_, arguments);
    if (!change) return change.error();
    // The layers that are being read stay open; nobody has to wait.
    const Result<void> done = change->dry_run
                                  ? store_.try_remove_snapshot(change->name, change->label)
                                  : store_.remove_snapshot(change->name, change->label);
    if (!done) return done.error();
    if (!change->dry_run) live_.space_freed(change->name);
    return answer("removed", *change);
}

Result<json> Operations::snapshot_restore(const json& arguments) {
    const auto change = snapshot_change(store_, arguments);
    if (!change) return change.error();
    if (change->dry_run) {
        if (auto possible = try_stop(change->name); !possible) return possible.error();
        return answer("restored", *change);
    }
    if (auto stopped = stop_for_change(change->name); !stopped) return stopped.error();
    const Result<void> done = store_.restore_snapshot(change->name, change->label);
    const Result<void> served = serve(change->name, "restored");
    if (!done) return done.error();
    if (!served) return served.error();
    return answer("restored", *change);
}

Result<json> Operations::resize(const json& arguments) {
    if (auto known = only_arguments(arguments, {"name", "size"}); !known) return known.error();
    auto name = text_argument(arguments, "name");
    if (!name) return name.error();
    auto text = text_argument(arguments, "size");
    if (!text) return text.error();
    const auto size = config::parse_size(*text);
    if (!size) return size.error();
    if (auto current = machines_.reload(); !current) return current.error();
    std::optional<store::InstanceInfo> grown;
    const Result<void> done = live_.while_paused(*name, [&]() -> Result<void> {
        auto resized = store_.resize_instance(*name, *size);
        if (!resized) return resized.error();
        grown = std::move(*resized);
        return {};
    });
    if (!done) return done.error();
    config::Machine machine = machines_.find(*name);
    if (machine.size_bytes != 0) {
        machine.size_bytes = *size;
        if (auto edited = machines_.put(machine); !edited) return edited.error();
        if (auto served = serve(*name, "resized"); !served) return served.error();
    }
    return describe(*grown);
}

Result<json> Operations::template_tag(const json& arguments) {
    if (auto known = only_arguments(arguments, {"template", "tag"}); !known) return known.error();
    auto text = text_argument(arguments, "template");
    if (!text) return text.error();
    auto tag = text_argument(arguments, "tag");
    if (!tag) return tag.error();
    const auto ref = store::parse_template_ref(*text);
    if (!ref) return ref.error();
    const auto tagged = store_.tag_template(*ref, *tag);
    if (!tagged) return tagged.error();
    return describe_template(*tagged);
}

Result<json> Operations::template_note(const json& arguments) {
    if (auto known = only_arguments(arguments, {"template", "note"}); !known) return known.error();
    auto text = text_argument(arguments, "template");
    if (!text) return text.error();
    auto note = optional_text_argument(arguments, "note");
    if (!note) return note.error();
    const auto ref = store::parse_template_ref(*text);
    if (!ref) return ref.error();
    const auto noted = store_.note_template(*ref, note->value_or(""));
    if (!noted) return noted.error();
    return describe_template(*noted);
}

Result<json> Operations::commit(const json& arguments) {
    if (auto known = only_arguments(arguments, {"name", "template", "require_clean"}); !known) {
        return known.error();
    }
    auto name = text_argument(arguments, "name");
    if (!name) return name.error();
    auto to = text_argument(arguments, "template");
    if (!to) return to.error();
    auto clean = flag_argument(arguments, "require_clean");
    if (!clean) return clean.error();
    if (auto free = check_not_flattening(*name); !free) return free.error();
    json result;
    const Result<void> done = live_.while_paused(*name, [&]() -> Result<void> {
        auto made = store_.commit({.instance = *name, .name = *to, .require_clean = *clean});
        if (!made) return made.error();
        result = describe_template(*made);
        return {};
    });
    if (!done) return done.error();
    return result;
}

}  // namespace cowtgt::control
