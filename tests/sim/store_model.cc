#include "tests/sim/store_model.h"

#include <algorithm>

#include "cow-store/identity/identity.h"
#include "cow-store/store/chain.h"
#include "cow-store/store/open_instance.h"
#include "cow-store/store/snapshots.h"

namespace cowtgt::sim {

namespace {

Result<Values> read_values(const identity::BlockSource& disk, std::uint64_t size_bytes) {
    Values values;
    for (const Window& window : windows_of(size_bytes)) {
        std::vector<std::byte> bytes(window.length);
        if (Result<void> read = disk.read(window.offset, bytes); !read) return read.error();
        for (std::uint64_t at = 0; at < window.length; at += sector_size) {
            const std::uint64_t offset = window.offset + at;
            const Bytes sector = Bytes(bytes).subspan(at, sector_size);
            const Value value = value_in(sector, offset).value_or(foreign_bytes);
            if (value != 0) values[offset] = value;
        }
    }
    return values;
}

Result<InstanceModel> read_instance(store::Store& store, const store::InstanceInfo& info) {
    InstanceModel model{info.template_name, info.template_version, info.size_bytes, {}, {}};
    for (const std::string& label : info.snapshots) {
        const auto disk = store::open_snapshot(store.context(), info.name, label);
        if (!disk) return disk.error();
        const store::ChainReader reader(disk->chain, disk->size_bytes, info.name + "@" + label);
        Result<Values> values = read_values(reader, disk->size_bytes);
        if (!values) return std::move(values).error();
        model.snapshots.push_back({label, disk->size_bytes, std::move(*values)});
    }
    Result<Values> values = read_disk(store, info.name);
    if (!values) return std::move(values).error();
    model.values = std::move(*values);
    return model;
}

std::string difference(const Values& found, const Values& expected, const DiskModel* live,
                       std::uint64_t size_bytes, CutKind kind) {
    for (const Window& window : windows_of(size_bytes)) {
        for (std::uint64_t at = 0; at < window.length; at += sector_size) {
            const std::uint64_t offset = window.offset + at;
            const auto value_at = [offset](const Values& values) {
                const auto value = values.find(offset);
                return value == values.end() ? 0 : value->second;
            };
            const Value value = value_at(found);
            const bool right =
                live == nullptr ? value == value_at(expected) : live->may_hold(offset, value, kind);
            if (right) continue;
            return "the sector at " + std::to_string(offset) + " holds " + std::to_string(value) +
                   ", " +
                   (live == nullptr ? "not " + std::to_string(value_at(expected))
                                    : live->describe(offset));
        }
    }
    return {};
}

/// "one (2097152 bytes) two (2097152 bytes)"
std::string labels_of(const InstanceModel& instance) {
    std::string labels;
    for (const SnapshotModel& snapshot : instance.snapshots)
        labels += snapshot.label + " (" + std::to_string(snapshot.size_bytes) + " bytes) ";
    return labels;
}

std::string difference(const InstanceModel& found, const InstanceModel& expected,
                       const DiskModel* live, CutKind kind) {
    if (found.template_name != expected.template_name ||
        found.template_version != expected.template_version) {
        return "it stands on " + found.template_name + "@" + std::to_string(found.template_version);
    }
    if (found.size_bytes != expected.size_bytes) {
        return "it has " + std::to_string(found.size_bytes) + " bytes";
    }
    const std::string labels = labels_of(found), wanted = labels_of(expected);
    if (labels != wanted) return "its snapshots are " + labels + ", not " + wanted;
    for (std::size_t i = 0; i < found.snapshots.size(); ++i) {
        const SnapshotModel& snapshot = found.snapshots[i];
        const std::string problem = difference(snapshot.values, expected.snapshots[i].values,
                                               nullptr, snapshot.size_bytes, kind);
        if (!problem.empty()) return "snapshot " + snapshot.label + ": " + problem;
    }
    return difference(found.values, expected.values, live, found.size_bytes, kind);
}

/// "web01 web02"
template <typename Map, typename Name>
std::string names_in(const Map& map, Name name) {
    std::string names;
    for (const auto& [key, value] : map)
        names += (names.empty() ? "" : " ") + name(key);
    return names;
}

std::string shape_of(const StoreModel& model) {
    return names_in(model.instances, [](const std::string& name) { return name; }) + "; " +
           names_in(model.templates, [](const auto& version) {
               return version.first + "@" + std::to_string(version.second);
           });
}

}  // namespace

std::vector<Window> windows_of(std::uint64_t size_bytes) {
    std::vector<Window> windows;
    for (Window window : store_windows) {
        window.length = std::min(window.length, size_bytes - window.offset);
        windows.push_back(window);
    }
    return windows;
}

Result<Values> read_disk(store::Store& store, std::string_view instance) {
    const auto opened = store.open_instance(instance);
    if (!opened) return opened.error();
    const RecoveredLayer& layer = (*opened)->layer;
    const std::uint64_t size_bytes = (*opened)->info.size_bytes;
    store::ChainReader reader((*opened)->below, size_bytes, std::string(instance));
    reader.put_on_top(layer.map(), (*opened)->live_buffered.get(),
                      layer.summary().parent.overlap_limit);
    return read_values(reader, size_bytes);
}

Result<StoreModel> read_store(store::Store& store) {
    StoreModel model;
    const auto instances = store.instances();
    if (!instances) return instances.error();
    for (const store::InstanceInfo& info : *instances) {
        if (!info.damage.empty()) return Error{ErrorCode::corrupt, info.damage};
        Result<InstanceModel> read = read_instance(store, info);
        if (!read) return std::move(read).error();
        model.instances.emplace(info.name, std::move(*read));
    }
    const auto templates = store.templates();
    if (!templates) return templates.error();
    for (const store::TemplateInfo& info : *templates) {
        if (!info.damage.empty()) return Error{ErrorCode::corrupt, info.damage};
        const auto disk = store.open_template({info.name, info.version, ""});
        if (!disk) return disk.error();
        Result<Values> values = read_values(**disk, info.size_bytes);
        if (!values) return std::move(values).error();
        model.templates[{info.name, info.version}] = {info.size_bytes, std::move(*values)};
    }
    return model;
}

std::string difference(const StoreModel& found, const StoreModel& expected, const LiveDisks& live,
                       CutKind kind) {
    if (shape_of(found) != shape_of(expected)) {
        return "there are " + shape_of(found) + ", not " + shape_of(expected);
    }
    if (found.templates != expected.templates) return "a template reads otherwise";
    for (const auto& [name, instance] : found.instances) {
        const auto disk = live.find(name);
        const std::string problem = difference(instance, expected.instances.at(name),
                                               disk == live.end() ? nullptr : disk->second, kind);
        if (!problem.empty()) return name + ": " + problem;
    }
    return {};
}

}  // namespace cowtgt::sim
