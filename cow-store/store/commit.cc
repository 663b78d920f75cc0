#include "cow-store/store/commit.h"

#include <fcntl.h>

#include <string>
#include <utility>
#include <vector>

#include "cow-store/file_posix.h"
#include "cow-store/identity/identity.h"
#include "cow-store/store/catalogue.h"
#include "cow-store/store/chain.h"
#include "cow-store/store/disk_recipe.h"
#include "cow-store/store/import.h"
#include "cow-store/store/opening.h"
#include "cow-store/store/snapshots.h"
#include "cow-store/store/workplace.h"

/// The layers of an instance become those of a template: links and a document, whatever the size.
namespace cowtgt::store {

namespace {

/// A file system with a journal that was not replayed keeps its UUID in every clone.
Result<void> check_is_clean(std::string_view name, const identity::Recipe& recipe) {
    for (const identity::Finding& finding : identity::findings_of(recipe)) {
        if (finding.kind != "fs-uuid" || finding.kept_because.empty()) continue;
        return Error{ErrorCode::refused,
                     "instance " + std::string(name) + " is not clean: the " + finding.where +
                         " would keep its UUID in clones, because " + finding.kept_because +
                         "; shut the machine down, or commit without --require-clean"};
    }
    return {};
}

/// An instance that stands on no template becomes one on an image of nothing.
Result<void> look_at_empty_image(const Context& context, const std::filesystem::path& folder,
                                 TemplateDocument& document) {
    const std::filesystem::path path = folder / Layout::image_file;
    if (Result<void> sealed = context.files.seal(path); !sealed) return sealed;
    const Result<Descriptor> image = open_descriptor(path, O_RDONLY);
    if (!image) return image.error();
    const Result<Fingerprint> fingerprint = fingerprint_of(image->get(), path);
    if (!fingerprint) return fingerprint.error();
    document.fingerprint = *fingerprint;
    return {};
}

/// Makes the files of the new version in the workplace.
Result<void> lay_out(const Context& context, const std::filesystem::path& folder,
                     const TemplateRecord& base, std::string_view name,
                     const TemplateDocument& document, std::size_t own_layers) {
    const std::filesystem::path from = context.layout.version(base.name, base.version);
    Result<void> done;
    TemplateDocument written = document;
    for (const char* file : {Layout::image_file, Layout::chunks_file}) {
        if (!done) return done;
        done = base.name.empty() ? context.files.write_new_file(folder / file, "")
                                 : context.files.link(from / file, folder / file);
    }
    if (done && base.name.empty()) done = look_at_empty_image(context, folder, written);
    for (std::size_t i = 0; i < document.layers.size() && done; ++i) {
        const LayerEntry& layer = document.layers[i];
        const std::filesystem::path& owner = i < own_layers ? context.layout.instance(name) : from;
        // In the folder of its instance a layer may still have the name that it had when live.
        const std::string file = Layout::layer_file(layer.uuid);
        done = context.files.link(owner / layer.file, folder / file);
    }
    if (!done) return done;
    for (LayerEntry& layer : written.layers)
        layer.file = Layout::layer_file(layer.uuid);
    return context.files.write_new_file(folder / Layout::template_file, encode(written));
}

}  // namespace

Result<identity::Recipe> examine_instance(const Context& context, std::string_view name,
                                          const identity::Recipe& of_template) {
    const Result<std::unique_ptr<OpenedInstance>> opened = open_instance(context, name);
    if (!opened) return opened.error();
    const OpenedInstance& instance = **opened;
    ChainReader disk(instance.below, instance.info.size_bytes, "instance " + std::string(name));
    disk.put_on_top(instance.layer.map(), instance.live_buffered.get(),
                    instance.layer.summary().parent.overlap_limit);
    return examine_disk(disk, of_template);
}

Result<TemplateInfo> commit_instance(const Context& context, const CommitOptions& options) {
    const std::string& name = options.instance;
    if (Result<void> legal = check_name(options.name); !legal) return std::move(legal).error();
    Result<InstanceDocument> instance = load_instance(context, name);
    if (!instance) return std::move(instance).error();
    const Result<TemplateRecord> base = template_of(context, name, *instance);
    if (!base) return base.error();
    if (Result<void> room = check_depth(name, *base, *instance); !room) {
        return std::move(room).error();
    }
    Result<identity::Recipe> recipe = examine_instance(context, name, base->document.recipe);
    if (!recipe) return std::move(recipe).error();
    if (options.require_clean) {
        if (Result<void> clean = check_is_clean(name, *recipe); !clean) {
            return std::move(clean).error();
        }
    }
    const Result<Uuid> sealed = seal_live(context, name, *instance, "");
    if (!sealed) return sealed.error();
    Result<std::vector<LayerEntry>> layers = layers_from(name, *instance, *sealed);
    if (!layers) return std::move(layers).error();
    const std::size_t own_layers = layers->size();

    TemplateDocument document = base->document;
    document.uuid = draw_uuid();
    document.size_bytes = instance->size_bytes;
    document.imported_at = time_now();
    document.source = "instance " + name;
    document.recipe = std::move(*recipe);
    document.layers = std::move(*layers);
    document.layers.insert(document.layers.end(), base->document.layers.begin(),
                           base->document.layers.end());
    Result<Workplace> workplace = Workplace::make(context, Work::commit, options.name);
    if (!workplace) return std::move(workplace).error();
    Result<void> done = lay_out(context, workplace->path(), *base, name, document, own_layers);
    if (!done) return std::move(done).error();
    const Result<std::uint32_t> version = publish_version(context, *workplace, options.name);
    if (!version) return version.error();
    const Result<TemplateRecord> made = load_template(context, options.name, *version);
    if (!made) return made.error();
    return describe(context, *made, Usage{});
}

}  // namespace cowtgt::store
