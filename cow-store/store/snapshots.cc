#include "cow-store/store/snapshots.h"

#include <fcntl.h>

#include <algorithm>
#include <cerrno>
#include <string>
#include <utility>

#include "cow-store/file_posix.h"
#include "cow-store/store/boot.h"
#include "cow-store/store/catalogue.h"
#include "cow-store/store/disk_recipe.h"
#include "cow-store/store/live_layer.h"
#include "cow-store/store/live_lock.h"
#include "cow-store/store/new_instance.h"
#include "cow-store/store/workplace.h"

namespace cowtgt::store {

namespace {

constexpr std::string_view label_prefix = "snap-";

std::string snapshot_text(std::string_view name, std::string_view label) {
    return std::string(name) + "@" + std::string(label);
}

/// snap-1, snap-2 and so on: the first that is free behind all that were ever seen.
std::string next_label(const InstanceDocument& document) {
    for (std::size_t number = document.snapshots.size() + 1;; ++number) {
        std::string label = std::string(label_prefix) + std::to_string(number);
        if (find_snapshot(document, label) == nullptr) return label;
    }
}

/// An instance, the template below it, and one of its snapshots.
struct Found {
    InstanceDocument document;
    TemplateRecord record;
    SnapshotEntry snapshot;
    LayerEntry layer;
};

Result<Found> find(const Context& context, std::string_view name, std::string_view label) {
    Result<InstanceDocument> document = load_instance(context, name);
    if (!document) return std::move(document).error();
    const SnapshotEntry* snapshot = find_snapshot(*document, label);
    if (snapshot == nullptr) return no_snapshot(name, label);
    const LayerEntry* layer = find_layer(*document, snapshot->layer);
    if (layer == nullptr) {
        return Error{ErrorCode::corrupt, "the layer of " + snapshot_text(name, label) +
                                             " is not in its instance's document"};
    }
    Result<TemplateRecord> record = template_of(context, name, *document);
    if (!record) return std::move(record).error();
    Found found{{}, std::move(*record), *snapshot, *layer};
    found.document = std::move(*document);
    return found;
}

SnapshotInfo describe_snapshot(const Context& context, std::string_view name,
                               const InstanceDocument& document, const SnapshotEntry& snapshot) {
    SnapshotInfo info;
    info.instance = name;
    info.label = snapshot.label;
    info.created_at = snapshot.created_at;
    if (const LayerEntry* layer = find_layer(document, snapshot.layer)) {
        info.size_bytes = layer->size_bytes;
        info.verified = layer->content_id != 0;
        info.allocated_bytes = allocated_bytes_of(context.layout.instance(name) / layer->file);
    }
    if (Result<std::vector<std::string>> clones = clones_of(context, document, snapshot.layer)) {
        info.clones = std::move(*clones);
    }
    return info;
}

Result<void> check_label(const InstanceDocument& document, std::string_view name,
                         std::string_view label) {
    if (Result<void> legal = check_snapshot_label(label); !legal) return legal;
    if (find_snapshot(document, label) == nullptr) return {};
    return Error{ErrorCode::exists, "there is a snapshot " + snapshot_text(name, label) +
                                        " already; choose another label, or remove it first"};
}

}  // namespace

Error no_snapshot(std::string_view name, std::string_view label) {
    return Error{ErrorCode::not_found, "instance " + std::string(name) + " has no snapshot " +
                                           std::string(label) + "; `cowtgt snapshot ls " +
                                           std::string(name) + "` lists those that are there"};
}

Result<LayerEntry> seal_live_file(const Context& context, std::string_view name,
                                  const InstanceDocument& document) {
    Result<LockedLayer> locked = lock_live_layer(context, name, document.live_file);
    if (!locked) return std::move(locked).error();
    const std::filesystem::path path = context.layout.instance(name) / document.live_file;
    const std::unique_ptr<File> file = context.files.count_steps(
        std::make_unique<PosixFile>(std::move(locked->buffered), path.string()), path.string());
    OpenContext opening;
    opening.boot_id = context.boot_id;
    // A disk that grew and was not opened since is larger than its layer still says.
    const Result<LayerSummary> before = inspect_layer(*file);
    if (!before) return before.error();
    Result<void> sealed;
    if (before->virtual_size < document.size_bytes) {
        sealed = unseal_layer(*file, opening);
        if (sealed) sealed = grow_layer(*file, opening, document.size_bytes);
    }
    if (sealed) sealed = seal_layer(*file, opening);
    if (sealed) sealed = context.files.seal(path);
    if (!sealed) return std::move(sealed).error();
    const Result<LayerSummary> summary = inspect_layer(*file);
    if (!summary) return summary.error();
    const Result<Fingerprint> fingerprint = fingerprint_of(locked->direct.get(), path);
    if (!fingerprint) return fingerprint.error();
    return LayerEntry{.uuid = summary->uuid,
                      .file = document.live_file,
                      .parent = document.live_parent,
                      .owner = document.uuid,
                      .size_bytes = summary->virtual_size,
                      .sealed_at = time_now(),
                      .fingerprint = *fingerprint,
                      .content_id = 0};
}

Result<void> check_depth(std::string_view name, const TemplateRecord& record,
                         const InstanceDocument& document) {
    const Result<std::size_t> depth =
        depth_on(name, record.document, document, document.live_parent);
    if (!depth) return depth.error();
    if (*depth < chain_depth_max) return {};
    return Error{ErrorCode::refused,
                 "instance " + std::string(name) + " has the " + std::to_string(chain_depth_max) +
                     " layers that a disk may have; restore an older snapshot, or export it and "
                     "import it as a template"};
}

Result<Uuid> seal_live(const Context& context, std::string_view name, InstanceDocument& document,
                       std::string_view label) {
    const Result<LayerEntry> sealed = seal_live_file(context, name, document);
    if (!sealed) return sealed.error();
    document.sealed.push_back(*sealed);
    if (!label.empty()) {
        document.snapshots.push_back({std::string(label), sealed->uuid, sealed->sealed_at});
    }
    const LayerSpec spec = plain_layer(Parent{sealed->uuid, 0, sealed->size_bytes},
                                       document.size_bytes, document.block_size);
    Result<void> done = replace_live(context, Work::snapshot, name, document, sealed->uuid, spec);
    if (!done) return std::move(done).error();
    return sealed->uuid;
}

Result<SnapshotInfo> make_snapshot(const Context& context, std::string_view name,
                                   std::string_view label) {
    Result<InstanceDocument> document = load_instance(context, name);
    if (!document) return std::move(document).error();
    if (label == last_boot_label) {
        return Error{ErrorCode::usage,
                     "'last' is what an ephemeral machine held before its last boot; choose "
                     "another label"};
    }
    const std::string wanted = label.empty() ? next_label(*document) : std::string(label);
    if (Result<void> free = check_label(*document, name, wanted); !free) {
        return std::move(free).error();
    }
    const Result<TemplateRecord> record = template_of(context, name, *document);
    if (!record) return record.error();
    if (Result<void> room = check_depth(name, *record, *document); !room) {
        return std::move(room).error();
    }
    const Result<Uuid> sealed = seal_live(context, name, *document, wanted);
    if (!sealed) return sealed.error();
    return describe_snapshot(context, name, *document, document->snapshots.back());
}

Result<std::vector<SnapshotInfo>> list_snapshots(const Context& context, std::string_view name) {
    const Result<InstanceDocument> document = load_instance(context, name);
    if (!document) return document.error();
    std::vector<SnapshotInfo> list;
    for (const SnapshotEntry& snapshot : document->snapshots)
        list.push_back(describe_snapshot(context, name, *document, snapshot));
    return list;
}

Result<std::vector<std::string>> clones_of(const Context& context, const InstanceDocument& document,
                                           const Uuid& layer) {
    const Result<std::vector<std::string>> names = instance_names(context);
    if (!names) return names.error();
    std::vector<std::string> clones;
    for (const std::string& name : *names) {
        const Result<InstanceDocument> other = load_instance(context, name);
        if (!other || other->uuid == document.uuid || other->origin_layer.is_nil()) continue;
        const bool made_from =
            layer.is_nil()
                ? find_layer(document, other->origin_layer) != nullptr &&
                      std::ranges::find(document.snapshots, other->origin_layer,
                                        &SnapshotEntry::layer) != document.snapshots.end()
                : other->origin_layer == layer;
        if (made_from) clones.push_back(name);
    }
    return clones;
}

Result<void> try_remove_snapshot(const Context& context, std::string_view name,
                                 std::string_view label) {
    const Result<Found> found = find(context, name, label);
    if (!found) return found.error();
    const Result<std::vector<std::string>> clones =
        clones_of(context, found->document, found->snapshot.layer);
    if (!clones) return clones.error();
    if (clones->empty()) return {};
    return Error{ErrorCode::in_use, "snapshot " + snapshot_text(name, label) +
                                        " is what these were cloned from: " +
                                        joined_names(*clones) + "; remove these first"};
}

Result<void> remove_snapshot(const Context& context, std::string_view name,
                             std::string_view label) {
    if (Result<void> possible = try_remove_snapshot(context, name, label); !possible) {
        return possible;
    }
    Result<Found> found = find(context, name, label);
    if (!found) return std::move(found).error();
    InstanceDocument& document = found->document;
    std::erase(document.snapshots, found->snapshot);
    return with_ballast(context, [&] { return replace_document(context, name, document); });
}

Result<void> restore_snapshot(const Context& context, std::string_view name,
                              std::string_view label) {
    Result<Found> found = find(context, name, label);
    if (!found) return std::move(found).error();
    InstanceDocument& document = found->document;
    if (Result<void> idle = check_idle(context, name); !idle) return idle;
    const LayerSpec spec =
        plain_layer(Parent{found->layer.uuid, found->layer.content_id, found->layer.size_bytes},
                    document.size_bytes, document.block_size);
    return with_ballast(context, [&] {
        return replace_live(context, Work::restore, name, document, found->layer.uuid, spec);
    });
}

Result<SnapshotDisk> open_snapshot(const Context& context, std::string_view name,
                                   std::string_view label) {
    const Result<Found> found = find(context, name, label);
    if (!found) return found.error();
    Result<OpenedChain> chain =
        open_chain(context, name, found->document, found->record, found->layer.uuid);
    if (!chain) return std::move(chain).error();
    return SnapshotDisk{std::move(*chain), found->layer.size_bytes};
}

Result<InstanceInfo> clone_snapshot(const Context& context, std::string_view name,
                                    std::string_view label, const CloneOptions& options) {
    if (Result<void> free = check_name_is_free(context, options.name); !free) {
        return std::move(free).error();
    }
    const Result<Found> found = find(context, name, label);
    if (!found) return found.error();
    const Result<SnapshotDisk> disk = open_snapshot(context, name, label);
    if (!disk) return disk.error();
    const InstanceDocument& source = found->document;
    const Result<std::uint64_t> size = clone_size(
        {"snapshot " + snapshot_text(name, label), found->layer.size_bytes, source.block_size},
        options.size_bytes);
    if (!size) return size.error();
    const ChainReader reader(disk->chain, found->layer.size_bytes, snapshot_text(name, label));
    const Result<identity::Recipe> recipe = examine_disk(reader, found->record.document.recipe);
    if (!recipe) return recipe.error();
    Result<std::vector<LayerEntry>> layers = layers_from(name, source, found->layer.uuid);
    if (!layers) return std::move(layers).error();

    InstanceDocument document = new_document(found->record, options, *size);
    document.block_size = source.block_size;
    document.live_parent = found->layer.uuid;
    document.origin = snapshot_text(name, label);
    document.origin_layer = found->layer.uuid;
    Result<FreshLayer> fresh = plan_identity(
        *recipe, reader,
        Parent{found->layer.uuid, found->layer.content_id, found->layer.size_bytes}, document);
    if (!fresh) return std::move(fresh).error();
    fresh->spec.block_size = source.block_size;
    document.identity = std::move(fresh->identity);
    std::vector<SharedFile> shared;
    for (LayerEntry& layer : *layers) {
        shared.push_back(
            {context.layout.instance(name) / layer.file, Layout::layer_file(layer.uuid)});
        layer.file = shared.back().name;
        document.sealed.push_back(std::move(layer));
    }
    return publish_instance(context, options.name, document, fresh->spec, shared);
}

}  // namespace cowtgt::store
