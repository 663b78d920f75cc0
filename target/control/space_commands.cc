#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <utility>

#include "target/control/arguments.h"
#include "target/control/operations.h"

/// The commands that only look: du and diff.
namespace cowtgt::control {

using nlohmann::json;

namespace {

json describe_space(const store::SpaceInfo& info, std::uint64_t quota_bytes) {
    return {{"name", info.name},
            {"quota_bytes", quota_bytes == 0 ? json() : json(quota_bytes)},
            {"own_bytes", info.own_bytes},
            {"shared_bytes", info.shared_bytes},
            {"total_bytes", info.own_bytes + info.shared_bytes},
            {"freed_bytes", info.freed_bytes}};
}

json describe_instances(const std::vector<store::SpaceInfo>& list,
                        const config::MachinesFile& machines) {
    json result = json::array();
    for (const store::SpaceInfo& info : list)
        result.push_back(describe_space(info, machines.find(info.name).quota_bytes));
    return result;
}

json describe_templates(const std::vector<store::SpaceInfo>& list) {
    json result = json::array();
    for (const store::SpaceInfo& info : list)
        result.push_back(describe_space(info, 0));
    return result;
}

json describe_changes(const std::string& name, const store::Changes& changes) {
    json ranges = json::array();
    std::uint64_t data_bytes = 0;
    std::uint64_t zero_bytes = 0;
    for (const store::ChangedRange& range : changes.ranges) {
        const bool is_data = range.content == store::RangeContent::data;
        (is_data ? data_bytes : zero_bytes) += range.length;
        ranges.push_back({{"offset", range.offset},
                          {"length", range.length},
                          {"content", is_data ? "data" : "zeros"}});
    }
    return {{"name", name},
            {"from", changes.from},
            {"size_bytes", changes.size_bytes},
            {"from_size_bytes", changes.from_size_bytes},
            {"data_bytes", data_bytes},
            {"zero_bytes", zero_bytes},
            {"ranges", std::move(ranges)}};
}

}  // namespace

Result<json> Operations::space(const json& arguments) {
    if (auto known = only_arguments(arguments, {"name"}); !known) return known.error();
    auto name = optional_text_argument(arguments, "name");
    if (!name) return name.error();
    if (*name) {
        const auto info = store_.space_of(**name);
        if (!info) return info.error();
        return describe_space(*info, machines_.find(**name).quota_bytes);
    }
    const auto space = store_.space();
    if (!space) return space.error();
    return json{{"instances", describe_instances(space->instances, machines_)},
                {"templates", describe_templates(space->templates)},
                {"total_bytes", space->total_bytes},
                {"free_bytes", space->free_bytes}};
}

Result<json> Operations::changes(const json& arguments) {
    if (auto known = only_arguments(arguments, {"name", "label", "from"}); !known) {
        return known.error();
    }
    auto name = text_argument(arguments, "name");
    if (!name) return name.error();
    auto label = optional_text_argument(arguments, "label");
    if (!label) return label.error();
    auto from = optional_text_argument(arguments, "from");
    if (!from) return from.error();
    std::optional<store::Changes> changes;
    const auto find = [&]() -> Result<void> {
        auto found = store_.changes(*name, label->value_or(""), from->value_or(""));
        if (!found) return found.error();
        changes = std::move(*found);
        return {};
    };
    // A snapshot is there for everybody; what the instance holds now is known once it rests.
    const Result<void> done = *label ? find() : live_.while_paused(*name, find);
    if (!done) return done.error();
    return describe_changes(*label ? *name + "@" + **label : *name, *changes);
}

}  // namespace cowtgt::control
