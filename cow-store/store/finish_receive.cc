#include <fcntl.h>

#include <algorithm>
#include <cerrno>
#include <memory>
#include <utility>
#include <vector>

#include "cow-store/file_posix.h"
#include "cow-store/store/catalogue.h"
#include "cow-store/store/chain.h"
#include "cow-store/store/live_layer.h"
#include "cow-store/store/new_instance.h"
#include "cow-store/store/opened_store.h"
#include "cow-store/store/opening.h"
#include "cow-store/store/snapshots.h"
#include "cow-store/store/streams.h"
#include "cow-store/store/workplace.h"

/// What has arrived becomes an instance, or the next snapshot of one: links and a document.
namespace cowtgt::store {

namespace {

Result<StreamDocument> load_whole_stream(const Context& context, std::string_view name) {
    const std::filesystem::path path = context.layout.receiving(name) / Layout::stream_file;
    const Result<std::string> text = read_text_file(path);
    if (!text) return text.error();
    Result<StreamDocument> document = decode_stream(*text, path.string());
    if (!document || document->is_whole) return document;
    return Error{ErrorCode::refused, "the stream for " + std::string(name) +
                                         " has not arrived as a whole; send the rest first"};
}

Result<LayerEntry> entry_of(const std::filesystem::path& layer, const StreamDocument& document,
                            const InstanceDocument& instance) {
    const Result<Descriptor> file = open_descriptor(layer, O_RDONLY);
    if (!file) return file.error();
    const Result<Fingerprint> fingerprint = fingerprint_of(file->get(), layer);
    if (!fingerprint) return fingerprint.error();
    return LayerEntry{.uuid = document.layer,
                      .file = Layout::layer_file(document.layer),
                      .parent = document.from_layer,
                      .owner = instance.uuid,
                      .size_bytes = document.size_bytes,
                      .sealed_at = document.created_at,
                      .fingerprint = *fingerprint};
}

void add_snapshot(InstanceDocument& instance, LayerEntry layer, const StreamDocument& document) {
    instance.snapshots.push_back({document.label, layer.uuid, document.created_at});
    instance.sealed.push_back(std::move(layer));
}

Result<InstanceInfo> make_instance(const Context& context, const std::string& name,
                                   const StreamDocument& document) {
    InstanceDocument instance;
    instance.uuid = draw_uuid();
    instance.identity_seed = document.identity_seed;
    instance.identity = document.identity;
    instance.size_bytes = document.size_bytes;
    instance.block_size = document.block_size;
    instance.created_at = time_now();
    instance.live_parent = document.layer;
    const std::filesystem::path layer = context.layout.receiving(name) / Layout::live_file;
    Result<LayerEntry> entry = entry_of(layer, document, instance);
    if (!entry) return std::move(entry).error();
    const std::vector<SharedFile> shared = {{layer, entry->file}};
    add_snapshot(instance, std::move(*entry), document);
    const LayerSpec live = plain_layer(Parent{document.layer, 0, document.size_bytes},
                                       document.size_bytes, document.block_size);
    return publish_instance(context, name, instance, live, shared);
}

/// What was written since the snapshot that the stream builds on would be lost.
Result<void> check_untouched(const Context& context, std::string_view name,
                             const InstanceDocument& instance, const StreamDocument& document) {
    const Result<std::unique_ptr<OpenedInstance>> opened = open_instance(context, name);
    if (!opened) return opened.error();
    const bool is_as_received = instance.live_parent == document.from_layer &&
                                !(*opened)->layer.map().next_used_leaf(0).has_value();
    if (is_as_received) return {};
    const auto from =
        std::ranges::find(instance.snapshots, document.from_layer, &SnapshotEntry::layer);
    const std::string label = from == instance.snapshots.end() ? document.from : from->label;
    return Error{ErrorCode::refused, "instance " + std::string(name) +
                                         " was written to since its snapshot " + label +
                                         ", on which the stream builds; put it back first with "
                                         "`cowtgt snapshot restore " +
                                         std::string(name) + "@" + label + "`"};
}

Result<InstanceInfo> add_to_instance(const Context& context, std::string_view name,
                                     const StreamDocument& document) {
    Result<InstanceDocument> instance = load_instance(context, name);
    if (!instance) return std::move(instance).error();
    const Result<TemplateRecord> record = template_of(context, name, *instance);
    if (!record) return record.error();
    if (Result<void> room = check_depth(name, *record, *instance); !room) {
        return std::move(room).error();
    }
    if (Result<void> same = check_untouched(context, name, *instance, document); !same) {
        return std::move(same).error();
    }
    const std::filesystem::path from = context.layout.receiving(name) / Layout::live_file;
    Result<LayerEntry> entry = entry_of(from, document, *instance);
    if (!entry) return std::move(entry).error();
    const std::filesystem::path folder = context.layout.instance(name);
    Result<void> done = context.files.link(from, folder / entry->file);
    // An earlier try came as far as this.
    if (!done && done.error().os_errno == EEXIST) done = {};
    if (!done) return std::move(done).error();
    add_snapshot(*instance, std::move(*entry), document);
    instance->size_bytes = std::max(instance->size_bytes, document.size_bytes);
    const LayerSpec live = plain_layer(Parent{document.layer, 0, document.size_bytes},
                                       instance->size_bytes, instance->block_size);
    done = replace_live(context, Work::receive, name, *instance, document.layer, live);
    if (!done) return std::move(done).error();
    return describe(context, name, *instance);
}

}  // namespace

Result<InstanceInfo> Streams::finish(std::string_view name) {
    const Context& context = store_.state_->exclusive();
    if (Result<void> legal = check_name(name); !legal) return std::move(legal).error();
    const Result<StreamDocument> document = load_whole_stream(context, name);
    if (!document) return document.error();
    Result<InstanceInfo> info = document->from_layer.is_nil()
                                    ? make_instance(context, std::string(name), *document)
                                    : add_to_instance(context, name, *document);
    // The instance is there; a stream that cannot be removed now is refused when it comes again.
    if (info) {
        (void)remove_object(context, Work::remove_stream, name, context.layout.receiving(name));
    }
    return info;
}

}  // namespace cowtgt::store
