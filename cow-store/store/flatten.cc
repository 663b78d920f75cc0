#include <string>
#include <system_error>
#include <utility>

#include "cow-store/store/catalogue.h"
#include "cow-store/store/export.h"
#include "cow-store/store/live_layer.h"
#include "cow-store/store/opened_store.h"
#include "cow-store/store/reshape.h"
#include "cow-store/store/workplace.h"
#include "cow-store/volume/layer_writer.h"

/// An instance that stands on no template any more.
namespace cowtgt::store {

namespace {

Result<InstanceDocument> load_for_flatten(const Context& context, std::string_view name) {
    Result<InstanceDocument> document = load_instance(context, name);
    if (!document) return document;
    if (document->template_name.empty() && document->live_parent.is_nil()) {
        return Error{ErrorCode::refused,
                     "instance " + std::string(name) + " stands on no template already"};
    }
    if (document->snapshots.empty()) return document;
    std::vector<std::string> labels;
    for (const SnapshotEntry& snapshot : document->snapshots)
        labels.push_back(snapshot.label);
    return Error{ErrorCode::refused, "the snapshots of instance " + std::string(name) +
                                         " stand on what is below it: " + joined_names(labels) +
                                         "; remove these first"};
}

/// What machines boot with must outlive the template, too.
Result<void> keep_boot_folder(const Context& context, std::string_view name,
                              const InstanceDocument& document) {
    const std::filesystem::path from =
        context.layout.boot_folder_of(document.template_name, document.template_version);
    const std::filesystem::path to = context.layout.own_boot_folder(name);
    const Result<std::vector<std::string>> files = list_directory(from);
    if (!files) return files.error();
    // While it stands on a template nobody reads its own: what is there is of an earlier time.
    std::error_code unknown;
    if (std::filesystem::exists(to, unknown)) {
        if (Result<void> removed = context.files.remove_tree(to); !removed) return removed;
    }
    if (files->empty()) return {};
    if (Result<void> made = context.files.make_directory(to); !made) return made;
    for (const std::string& file : *files) {
        if (Result<void> linked = context.files.link(from / file, to / file); !linked)
            return linked;
    }
    return context.files.sync_directory(to);
}

/// Requires: its live layer is whole without what is below.
Result<void> stand_alone(const Context& context, std::string_view name,
                         InstanceDocument& document) {
    if (!document.template_name.empty()) {
        if (Result<void> kept = keep_boot_folder(context, name, document); !kept) return kept;
    }
    document.template_name.clear();
    document.template_version = 0;
    document.template_uuid = {};
    document.template_content_id = 0;
    document.live_parent = {};
    document.is_flattening = false;
    return replace_document(context, name, document);
}

/// Everything that the disk has but for zeros, as a layer on nothing.
Result<void> write_whole_disk(const Context& context, std::string_view name, File& file,
                              const LayerSpec& spec) {
    LayerWriter writer(file, spec);
    const auto take = [&writer](std::uint64_t offset, Bytes bytes) {
        return writer.add_data(offset, bytes);
    };
    Result<void> copied = export_instance(context, name, take, {});
    return copied ? writer.finish(LayerPhase::clean) : copied;
}

}  // namespace

Result<void> Reshape::try_flatten(std::string_view name) const {
    const Result<InstanceDocument> document = load_for_flatten(store_.state_->context, name);
    return document ? Result<void>{} : document.error();
}

Result<void> Reshape::note_flattening(std::string_view name) {
    const Context& context = store_.state_->exclusive();
    Result<InstanceDocument> document = load_for_flatten(context, name);
    if (!document) return std::move(document).error();
    document->is_flattening = true;
    return replace_document(context, name, *document);
}

Result<void> Reshape::forget_flattening(std::string_view name) {
    const Context& context = store_.state_->exclusive();
    Result<InstanceDocument> document = load_instance(context, name);
    if (!document) return std::move(document).error();
    document->is_flattening = false;
    return replace_document(context, name, *document);
}

Result<void> Reshape::finish_flatten(std::string_view name) {
    const Context& context = store_.state_->exclusive();
    Result<InstanceDocument> document = load_for_flatten(context, name);
    if (!document) return std::move(document).error();
    if (Result<void> idle = check_idle(context, name); !idle) return idle;
    const Result<TemplateRecord> record = template_of(context, name, *document);
    if (!record) return record.error();
    const Result<Parent> parent = parent_for(record->document, *document, document->live_parent);
    if (!parent) return parent.error();
    document->former_parent = parent->uuid;
    return stand_alone(context, name, *document);
}

Result<void> Reshape::flatten_now(std::string_view name) {
    const Context& context = store_.state_->exclusive();
    Result<InstanceDocument> document = load_for_flatten(context, name);
    if (!document) return std::move(document).error();
    const LayerSpec spec = plain_layer(Parent{}, document->size_bytes, document->block_size);
    const std::filesystem::path folder = context.layout.instance(name);
    document->live_file = Layout::layer_file(spec.uuid);
    {
        const Result<Workplace> workplace = Workplace::make(context, Work::flatten, name);
        if (!workplace) return workplace.error();
        const std::filesystem::path layer = workplace->path() / Layout::live_file;
        const Result<std::unique_ptr<File>> file = context.files.create_file(layer);
        if (!file) return file.error();
        Result<void> done = write_whole_disk(context, name, **file, spec);
        if (done) done = context.files.rename(layer, folder / document->live_file);
        if (done) done = context.files.sync_directory(folder);
        if (!done) return done;
    }
    return stand_alone(context, name, *document);
}

}  // namespace cowtgt::store
