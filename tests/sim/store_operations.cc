#include "tests/sim/store_operations.h"

#include <algorithm>
#include <array>
#include <iterator>

#include "cow-store/store/reshape.h"

namespace cowtgt::sim {

namespace {

constexpr const char* last_boot_label = "last";
constexpr std::size_t instances_max = 5;

template <typename T>
Result<void> without_value(const Result<T>& result) {
    return result ? Result<void>{} : Result<void>{result.error()};
}

/// What an operation is drawn from.
struct Draw {
    const StoreModel& model;
    Random& random;
    std::uint64_t number;

    template <typename Map>
    typename Map::const_iterator any_of(const Map& map) const {
        return std::next(map.begin(), static_cast<std::ptrdiff_t>(below(random, map.size())));
    }
    std::string new_name(const char* kind) const { return kind + std::to_string(number); }
    const TemplateModel& template_of(const InstanceModel& instance) const {
        return model.templates.at({instance.template_name, instance.template_version});
    }
};

using Drawn = std::optional<StoreOperation>;

Drawn clone(const Draw& draw) {
    if (draw.model.instances.size() >= instances_max) return std::nullopt;
    const auto& [version, disk] = *draw.any_of(draw.model.templates);
    store::CloneOptions options;
    options.source = {version.first, version.second, ""};
    options.name = draw.new_name("m");
    StoreOperation operation{"clone", "", draw.model, {}};
    operation.after.instances[options.name] = {
        version.first, version.second, disk.size_bytes, disk.values, {}};
    operation.make = [options](store::Store& store) { return without_value(store.clone(options)); };
    return operation;
}

Drawn snapshot(const Draw& draw, const std::string& name) {
    const std::string label = draw.new_name("s");
    StoreOperation operation{"snapshot", name, draw.model, {}};
    InstanceModel& instance = operation.after.instances[name];
    instance.snapshots.push_back({label, instance.size_bytes, instance.values});
    operation.make = [name, label](store::Store& store) {
        return without_value(store.snapshot(name, label));
    };
    return operation;
}

Drawn clone_snapshot(const Draw& draw, const std::string& name) {
    const InstanceModel& source = draw.model.instances.at(name);
    if (source.snapshots.empty() || draw.model.instances.size() >= instances_max) {
        return std::nullopt;
    }
    const SnapshotModel& snapshot = source.snapshots[below(draw.random, source.snapshots.size())];
    store::CloneOptions options;
    options.name = draw.new_name("c");
    StoreOperation operation{"clone of a snapshot", "", draw.model, {}};
    operation.after.instances[options.name] = {
        source.template_name, source.template_version, snapshot.size_bytes, snapshot.values, {}};
    operation.make = [name, label = snapshot.label, options](store::Store& store) {
        return without_value(store.clone_snapshot(name, label, options));
    };
    return operation;
}

Drawn remove_snapshot(const Draw& draw, const std::string& name) {
    StoreOperation operation{"removal of a snapshot", "", draw.model, {}};
    std::vector<SnapshotModel>& snapshots = operation.after.instances[name].snapshots;
    if (snapshots.empty()) return std::nullopt;
    const auto at =
        snapshots.begin() + static_cast<std::ptrdiff_t>(below(draw.random, snapshots.size()));
    const std::string label = at->label;
    snapshots.erase(at);
    operation.make = [name, label](store::Store& store) {
        return store.remove_snapshot(name, label);
    };
    return operation;
}

Drawn restore(const Draw& draw, const std::string& name) {
    StoreOperation operation{"restore", name, draw.model, {}};
    InstanceModel& instance = operation.after.instances[name];
    if (instance.snapshots.empty()) return std::nullopt;
    const SnapshotModel& snapshot =
        instance.snapshots[below(draw.random, instance.snapshots.size())];
    instance.values = snapshot.values;
    operation.make = [name, label = snapshot.label](store::Store& store) {
        return store.restore_snapshot(name, label);
    };
    return operation;
}

Drawn commit(const Draw& draw, const std::string& name) {
    store::CommitOptions options;
    options.instance = name;
    options.name = below(draw.random, 2) == 0 ? "golden" : "debian12";
    std::uint32_t newest = 0;
    for (const auto& [version, disk] : draw.model.templates) {
        if (version.first == options.name) newest = version.second;
    }
    StoreOperation operation{"commit", name, draw.model, {}};
    const InstanceModel& instance = draw.model.instances.at(name);
    operation.after.templates[{options.name, newest + 1}] = {instance.size_bytes, instance.values};
    operation.make = [options](store::Store& store) {
        return without_value(store.commit(options));
    };
    return operation;
}

Drawn reset(const Draw& draw, const std::string& name) {
    StoreOperation operation{"reset", name, draw.model, {}};
    InstanceModel& instance = operation.after.instances[name];
    instance.values = draw.template_of(instance).values;
    operation.make = [name](store::Store& store) { return store.reset_instance(name); };
    return operation;
}

Drawn reset_for_boot(const Draw& draw, const std::string& name) {
    StoreOperation operation{"reset for a boot", name, draw.model, {}};
    InstanceModel& instance = operation.after.instances[name];
    std::erase_if(instance.snapshots,
                  [](const SnapshotModel& snapshot) { return snapshot.label == last_boot_label; });
    instance.snapshots.push_back({last_boot_label, instance.size_bytes, instance.values});
    instance.values = draw.template_of(instance).values;
    operation.make = [name](store::Store& store) {
        return store.reset_for_boot(name, store::BootPhase::fresh);
    };
    return operation;
}

Drawn resize(const Draw& draw, const std::string& name) {
    StoreOperation operation{"resize", name, draw.model, {}};
    InstanceModel& instance = operation.after.instances[name];
    const std::uint64_t size = instance.size_bytes + sector_size * (1 + below(draw.random, 7));
    if (size > grown_bytes) return std::nullopt;
    instance.size_bytes = size;
    operation.make = [name, size](store::Store& store) {
        return without_value(store.resize_instance(name, size));
    };
    return operation;
}

Drawn rename(const Draw& draw, const std::string& name) {
    const std::string to = draw.new_name("r");
    StoreOperation operation{"rename", name, draw.model, {}};
    auto node = operation.after.instances.extract(name);
    node.key() = to;
    operation.after.instances.insert(std::move(node));
    operation.make = [name, to](store::Store& store) { return store.rename_instance(name, to); };
    return operation;
}

Drawn remove(const Draw& draw, const std::string& name) {
    StoreOperation operation{"rm", name, draw.model, {}};
    operation.after.instances.erase(name);
    operation.make = [name](store::Store& store) { return store.remove_instance(name); };
    return operation;
}

Drawn rebase(const Draw& draw, const std::string& name) {
    const auto& [version, disk] = *draw.any_of(draw.model.templates);
    StoreOperation operation{"rebase", name, draw.model, {}};
    InstanceModel& instance = operation.after.instances[name];
    instance.template_name = version.first;
    instance.template_version = version.second;
    instance.size_bytes = std::max(instance.size_bytes, disk.size_bytes);
    instance.values = disk.values;
    const store::TemplateRef to{version.first, version.second, ""};
    operation.make = [name, to](store::Store& store) {
        return without_value(store::Reshape(store).rebase(name, to));
    };
    return operation;
}

Drawn remove_template(const Draw& draw) {
    if (draw.model.templates.size() < 2) return std::nullopt;
    const auto version = draw.any_of(draw.model.templates)->first;
    StoreOperation operation{"removal of a template", "", draw.model, {}};
    operation.after.templates.erase(version);
    operation.make = [version](store::Store& store) {
        return store.remove_template({version.first, version.second, ""});
    };
    return operation;
}

}  // namespace

std::optional<StoreOperation> draw_operation(const StoreModel& model, Random& random,
                                             std::uint64_t number) {
    const Draw draw{model, random, number};
    constexpr std::array of_stores = {clone, clone, remove_template};
    constexpr std::array of_instances = {snapshot, snapshot,       clone_snapshot, remove_snapshot,
                                         restore,  commit,         reset,          resize,
                                         rename,   reset_for_boot, rebase,         remove};
    const std::uint64_t choice = below(random, of_stores.size() + of_instances.size());
    if (choice < of_stores.size()) return of_stores[choice](draw);
    if (model.instances.empty()) return std::nullopt;
    const std::string name = draw.any_of(model.instances)->first;
    return of_instances[choice - of_stores.size()](draw, name);
}

}  // namespace cowtgt::sim
