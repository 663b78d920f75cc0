#include "cow-store/store/live_layer.h"

#include <algorithm>
#include <cerrno>
#include <string>
#include <utility>

#include "cow-store/identity/identity.h"
#include "cow-store/identity/patched_source.h"
#include "cow-store/store/catalogue.h"
#include "cow-store/store/disk_recipe.h"
#include "cow-store/store/live_lock.h"

namespace cowtgt::store {

namespace {

constexpr std::string_view layer_suffix = ".cow";

/// Forgets sealed layers that neither the live layer nor a snapshot stands on.
void prune(InstanceDocument& document) {
    std::vector<Uuid> tops = {document.live_parent};
    for (const SnapshotEntry& snapshot : document.snapshots)
        tops.push_back(snapshot.layer);
    std::vector<LayerEntry> kept;
    for (const Uuid& top : tops) {
        for (const LayerEntry* layer = find_layer(document, top); layer != nullptr;
             layer = find_layer(document, layer->parent)) {
            if (std::ranges::find(kept, layer->uuid, &LayerEntry::uuid) != kept.end()) break;
            kept.push_back(*layer);
        }
    }
    document.sealed = std::move(kept);
    if (find_layer(document, document.origin_layer) == nullptr) {
        document.origin_layer = {};
        document.origin.clear();
    }
}

/// Layers in the instance's folder that its document does not name: dropped, or left behind by an
/// interrupted change. What cannot be removed now goes the next time.
void remove_strays(const Context& context, std::string_view name,
                   const InstanceDocument& document) {
    const std::filesystem::path folder = context.layout.instance(name);
    const Result<std::vector<std::string>> names = list_directory(folder);
    if (!names) return;
    for (const std::string& file : *names) {
        const bool named =
            file == document.live_file ||
            std::ranges::find(document.sealed, file, &LayerEntry::file) != document.sealed.end();
        if (file.ends_with(layer_suffix) && !named) {
            (void)context.files.remove_file(folder / file);
        }
    }
}

identity::IdentityChoice choice_of(const InstanceDocument& document) {
    const IdentityWishes& wishes = document.identity_wishes;
    identity::IdentityChoice choice;
    choice.seed = document.identity_seed;
    choice.disk_size = document.size_bytes;
    if (wishes.grow_last_partition) choice.growth = identity::Growth::last_partition;
    if (wishes.references == ReferenceMode::keep) choice.references = identity::References::keep;
    if (wishes.references == ReferenceMode::ignore) {
        choice.references = identity::References::ignore;
    }
    if (wishes.mode == IdentityMode::keep) choice.values = identity::Values::as_in_image;
    for (const IdentityWishes::Value& value : wishes.labels)
        choice.labels.push_back({value.target, value.value});
    for (const IdentityWishes::Value& value : wishes.uuids)
        choice.uuids.push_back({value.target, value.value});
    return choice;
}

Result<void> check_all_new(const std::vector<identity::Finding>& findings) {
    std::string kept;
    for (const identity::Finding& finding : findings) {
        const std::string& old = finding.old_value;
        const bool is_zero = !old.empty() && old.find_first_not_of("0-") == std::string::npos;
        if (finding.kept_because.empty() || is_zero) continue;  // nothing refers to zeros
        kept += "; " + finding.where + " (" + finding.kind + "): " + finding.kept_because;
    }
    if (kept.empty()) return {};
    return Error{ErrorCode::refused,
                 "not all of the identity could be new, which was required" + kept};
}

}  // namespace

Result<FreshLayer> plan_identity(const identity::Recipe& recipe, const ChainReader& disk,
                                 const Parent& parent, const InstanceDocument& document) {
    const bool keeps_all = document.identity_wishes.mode == IdentityMode::keep;
    Result<ReplayedDisk> replayed =
        keeps_all ? ReplayedDisk{{}, recipe} : replay_disk(recipe, disk);
    if (!replayed) return std::move(replayed).error();
    const identity::PatchedSource source(disk, replayed->patches);
    const Result<identity::Patching> patching =
        identity::make_patches(replayed->recipe, source, choice_of(document));
    if (!patching) return patching.error();
    if (document.identity_wishes.mode == IdentityMode::require) {
        if (Result<void> all = check_all_new(patching->findings); !all) return all.error();
    }
    for (const identity::Patch& patch : patching->patches)
        lay_over(replayed->patches, patch);
    const Result<std::vector<identity::Cluster>> clusters =
        identity::to_clusters(replayed->patches, disk);
    if (!clusters) return clusters.error();

    FreshLayer fresh;
    fresh.identity = identity_items(patching->findings);
    fresh.spec = plain_layer(parent, document.size_bytes, recipe.block_size);
    for (const identity::Cluster& cluster : *clusters) {
        fresh.spec.initial_blocks.push_back(
            InitialBlock{.offset = cluster.index.value * cluster_size,
                         .bytes = {cluster.bytes.begin(), cluster.bytes.end()}});
    }
    return fresh;
}

LayerSpec plain_layer(const Parent& parent, std::uint64_t size_bytes, std::uint32_t block_size) {
    LayerSpec spec;
    spec.uuid = draw_uuid();
    spec.virtual_size = size_bytes;
    spec.block_size = block_size;
    spec.parent = parent;
    return spec;
}

Result<void> write_layer(const Context& context, const std::filesystem::path& path,
                         const LayerSpec& spec) {
    const Result<std::unique_ptr<File>> file = context.files.create_file(path);
    if (!file) return file.error();
    return create_layer(**file, spec);
}

Result<void> replace_live(const Context& context, Work work, std::string_view name,
                          InstanceDocument& document, const Uuid& parent_layer,
                          const LayerSpec& spec) {
    const std::filesystem::path folder = context.layout.instance(name);
    const Result<InstanceDocument> now = load_instance(context, name);
    const bool only_the_layer =
        parent_layer == document.live_parent && now && encode(*now) == encode(document);
    const std::string file = only_the_layer ? document.live_file : Layout::layer_file(spec.uuid);
    {
        const Result<Workplace> workplace = Workplace::make(context, work, name);
        if (!workplace) return workplace.error();
        const std::filesystem::path layer = workplace->path() / Layout::live_file;
        Result<void> done = write_layer(context, layer, spec);
        if (done) done = context.files.rename(layer, folder / file);
        if (done) done = context.files.sync_directory(folder);
        if (!done) return done;
    }
    if (only_the_layer) return {};
    // A caller that tries again must begin with what is on disk.
    InstanceDocument next = document;
    next.live_file = file;
    next.live_parent = parent_layer;
    Result<void> done = replace_document(context, name, next);
    if (done) document = std::move(next);
    return done;
}

Result<void> replace_document(const Context& context, std::string_view name,
                              InstanceDocument& document) {
    prune(document);
    Result<void> done = replace_file(context, context.layout.instance(name) / Layout::instance_file,
                                     encode(document));
    // Of what is on disk now, if it is not what was wanted.
    if (const Result<InstanceDocument> now = load_instance(context, name)) {
        remove_strays(context, name, *now);
    }
    return done;
}

Result<void> check_idle(const Context& context, std::string_view name) {
    const Result<InstanceDocument> document = load_instance(context, name);
    const std::string file = document ? document->live_file : Layout::live_file;
    const Result<LockedLayer> layer = lock_live_layer(context, name, file);
    if (layer || layer.error().os_errno == ENOENT) return {};
    return layer.error();
}

}  // namespace cowtgt::store
