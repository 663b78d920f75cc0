#include "cow-store/store/instances.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "cow-store/identity/identity.h"
#include "cow-store/store/catalogue.h"
#include "cow-store/store/documents.h"
#include "cow-store/store/image_input.h"
#include "cow-store/store/image_source.h"
#include "cow-store/store/live_lock.h"
#include "cow-store/store/workplace.h"
#include "cow-store/volume/layer_file.h"

namespace cowtgt::store {

namespace {

Error name_is_taken(std::string_view name) {
    return Error{ErrorCode::exists, "there is an instance " + std::string(name) +
                                        " already; choose another name, or remove it first"};
}

bool is_there(const std::filesystem::path& path) {
    struct stat status {};
    return ::lstat(path.c_str(), &status) == 0;
}

/// The size of a clone: as wished, if it can hold the template.
Result<std::uint64_t> clone_size(const TemplateRecord& record, std::uint64_t wished) {
    const std::uint64_t least = record.document.size_bytes;
    const std::uint32_t block_size = record.document.recipe.block_size;
    if (wished == 0) return least;
    if (wished % block_size != 0) {
        return Error{ErrorCode::usage, "a size of " + std::to_string(wished) +
                                           " bytes is not possible: it must be a multiple of " +
                                           std::to_string(block_size)};
    }
    if (wished < least) {
        return Error{ErrorCode::usage, "a size of " + std::to_string(wished) +
                                           " bytes is too small: template " +
                                           template_text(record.name, record.version) + " needs " +
                                           std::to_string(least)};
    }
    if (wished > disk_size_max) {
        return Error{ErrorCode::usage, "a size of " + std::to_string(wished) +
                                           " bytes is more than the 16 TiB that a disk may have"};
    }
    return wished;
}

/// A fresh layer on a template and what it does to the identity.
struct FreshLayer {
    LayerSpec spec;
    std::vector<IdentityItem> identity;
};

/// The same seed gives the same identity, so a reset machine is still itself.
Result<FreshLayer> plan_layer(const Context& context, const TemplateRecord& record,
                              std::uint64_t size_bytes, const Uuid& identity_seed) {
    const Result<Descriptor> image = open_image_of(context, record);
    if (!image) return image.error();
    const ImageSource source(image->get(), record.document.size_bytes,
                             template_text(record.name, record.version));
    identity::IdentityChoice choice;
    choice.seed = identity_seed;
    choice.disk_size = size_bytes;
    const Result<identity::Patching> patching =
        identity::make_patches(record.document.recipe, source, choice);
    if (!patching) return patching.error();
    const Result<std::vector<identity::Cluster>> clusters =
        identity::to_clusters(patching->patches, source);
    if (!clusters) return clusters.error();

    FreshLayer fresh;
    fresh.identity = identity_items(patching->findings);
    fresh.spec.uuid = draw_uuid();
    fresh.spec.virtual_size = size_bytes;
    fresh.spec.block_size = record.document.recipe.block_size;
    fresh.spec.parent = Parent{.uuid = record.document.uuid,
                               .content_id = record.document.content_id,
                               .overlap_limit = record.document.size_bytes};
    for (const identity::Cluster& cluster : *clusters) {
        fresh.spec.initial_blocks.push_back(
            InitialBlock{.offset = cluster.index.value * cluster_size,
                         .bytes = {cluster.bytes.begin(), cluster.bytes.end()}});
    }
    return fresh;
}

Result<void> write_layer(const Context& context, const std::filesystem::path& path,
                         const LayerSpec& spec) {
    const Result<std::unique_ptr<File>> file = context.files.create_file(path);
    if (!file) return file.error();
    return create_layer(**file, spec);
}

/// Nobody uses the instance's disk, not even a request in the kernel. An instance whose layer is
/// gone is used by nobody.
Result<void> check_idle(const Context& context, std::string_view name) {
    const Result<LockedLayer> layer = lock_live_layer(context, name);
    if (layer || layer.error().os_errno == ENOENT) return {};
    return layer.error();
}

Error no_instance(std::string_view name) {
    return Error{ErrorCode::not_found, "there is no instance " + std::string(name) +
                                           "; `cowtgt ls` lists those that are there"};
}

}  // namespace

Result<InstanceInfo> clone_template(const Context& context, const CloneOptions& options) {
    if (Result<void> legal = check_name(options.name); !legal) return std::move(legal).error();
    const std::filesystem::path folder = context.layout.instance(options.name);
    if (is_there(folder)) return name_is_taken(options.name);
    const Result<std::uint32_t> version = resolve(context, options.source);
    if (!version) return version.error();
    const Result<TemplateRecord> record = load_template(context, options.source.name, *version);
    if (!record) return record.error();
    const Result<std::uint64_t> size = clone_size(*record, options.size_bytes);
    if (!size) return size.error();

    InstanceDocument document;
    document.uuid = draw_uuid();
    document.identity_seed = draw_uuid();
    document.template_name = record->name;
    document.template_version = record->version;
    document.template_uuid = record->document.uuid;
    document.template_content_id = record->document.content_id;
    document.size_bytes = *size;
    document.block_size = record->document.recipe.block_size;
    document.created_at = time_now();
    Result<FreshLayer> fresh = plan_layer(context, *record, *size, document.identity_seed);
    if (!fresh) return std::move(fresh).error();
    document.identity = std::move(fresh->identity);

    Result<Workplace> workplace = Workplace::make(context, Work::clone, options.name);
    if (!workplace) return std::move(workplace).error();
    Result<void> done = write_layer(context, workplace->path() / Layout::live_file, fresh->spec);
    if (done) {
        done = context.files.write_new_file(workplace->path() / Layout::instance_file,
                                            encode(document));
    }
    if (done) done = workplace->publish(folder);
    if (done) return describe(context, options.name, document);
    if (done.error().os_errno == EEXIST || done.error().os_errno == ENOTEMPTY) {
        return name_is_taken(options.name);
    }
    return std::move(done).error();
}

Result<void> reset_instance(const Context& context, std::string_view name) {
    const Result<InstanceDocument> document = load_instance(context, name);
    if (!document) return document.error();
    const Result<TemplateRecord> record = template_of(context, name, *document);
    if (!record) return record.error();
    if (Result<void> idle = check_idle(context, name); !idle) return idle;
    const Result<FreshLayer> fresh =
        plan_layer(context, *record, document->size_bytes, document->identity_seed);
    if (!fresh) return fresh.error();
    return with_ballast(context, [&]() -> Result<void> {
        const Result<Workplace> workplace = Workplace::make(context, Work::reset, name);
        if (!workplace) return workplace.error();
        const std::filesystem::path layer = workplace->path() / Layout::live_file;
        Result<void> done = write_layer(context, layer, fresh->spec);
        const std::filesystem::path folder = context.layout.instance(name);
        if (done) done = context.files.rename(layer, folder / Layout::live_file);
        if (done) done = context.files.sync_directory(folder);
        return done;
    });
}

Result<void> rename_instance(const Context& context, std::string_view from, std::string_view to) {
    for (const std::string_view name : {from, to}) {
        if (Result<void> legal = check_name(name); !legal) return legal;
    }
    const std::filesystem::path old_folder = context.layout.instance(from);
    const std::filesystem::path new_folder = context.layout.instance(to);
    if (!is_there(old_folder)) return no_instance(from);
    if (is_there(new_folder)) return name_is_taken(to);
    if (Result<void> idle = check_idle(context, from); !idle) return idle;
    if (Result<void> done = context.files.rename(old_folder, new_folder); !done) return done;
    return context.files.sync_directory(context.layout.instances());
}

Result<void> remove_instance(const Context& context, std::string_view name) {
    if (Result<void> legal = check_name(name); !legal) return legal;
    const std::filesystem::path folder = context.layout.instance(name);
    if (!is_there(folder)) return no_instance(name);
    if (Result<void> idle = check_idle(context, name); !idle) return idle;
    return with_ballast(
        context, [&] { return remove_object(context, Work::remove_instance, name, folder); });
}

}  // namespace cowtgt::store
