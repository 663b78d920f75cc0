#include "cow-store/store/open_instance.h"

#include <utility>

#include "cow-store/file_posix.h"
#include "cow-store/store/catalogue.h"
#include "cow-store/store/chain.h"
#include "cow-store/store/live_lock.h"
#include "cow-store/store/opening.h"

namespace cowtgt::store {

namespace {

/// The layer must stand on what it is going to be served over.
Result<void> check_parent(std::string_view name, const LayerSummary& layer, const Parent& parent) {
    // A layer that was made before its parent was hashed does not know the parent's content id.
    const std::uint64_t known = layer.parent.content_id;
    const bool same_content = known == 0 || known == parent.content_id;
    if (layer.parent.uuid == parent.uuid && same_content) return {};
    return Error{ErrorCode::refused,
                 "the layer of instance " + std::string(name) +
                     " belongs to another template; restore the instance's folder from a backup"};
}

/// The live layer, recovered. What its document says about it was committed, so an interrupted
/// change is ended here: a layer that was sealed but is still live is opened again, and one that is
/// smaller than the disk grows, and one that names what it does not need any more forgets it.
Result<RecoveredLayer> open_live(const Context& context, File& file,
                                 const InstanceDocument& document) {
    const std::uint64_t size_bytes = document.size_bytes;
    OpenContext opening;
    opening.boot_id = context.boot_id;
    Result<RecoveredLayer> layer = open_layer(file, opening);
    if (!layer) return layer;
    const LayerSummary summary = layer->summary();
    Result<void> done;
    if (summary.phase == LayerPhase::sealed) done = unseal_layer(file, opening);
    if (done && summary.virtual_size < size_bytes) done = grow_layer(file, opening, size_bytes);
    const bool stands_alone = document.template_name.empty() && document.live_parent.is_nil();
    const bool is_attached = stands_alone && !summary.parent.uuid.is_nil() &&
                             summary.parent.uuid == document.former_parent;
    if (done && is_attached) done = detach_layer(file, opening);
    if (!done) return std::move(done).error();
    const bool as_it_was =
        summary.phase != LayerPhase::sealed && summary.virtual_size >= size_bytes && !is_attached;
    return as_it_was ? std::move(layer) : open_layer(file, opening);
}

}  // namespace

Result<std::unique_ptr<OpenedInstance>> open_instance(const Context& context,
                                                      std::string_view name) {
    const Result<InstanceDocument> document = load_instance(context, name);
    if (!document) return document.error();
    const Result<TemplateRecord> record = template_of(context, name, *document);
    if (!record) return record.error();
    Result<OpenedChain> below =
        open_chain(context, name, *document, *record, document->live_parent);
    if (!below) return std::move(below).error();
    const Result<Parent> parent = parent_for(record->document, *document, document->live_parent);
    if (!parent) return parent.error();
    Result<LockedLayer> locked = lock_live_layer(context, name, document->live_file);
    if (!locked) return std::move(locked).error();

    const std::filesystem::path path = context.layout.instance(name) / document->live_file;
    PosixFile file(std::move(locked->buffered), path.string());
    Result<RecoveredLayer> layer = open_live(context, file, *document);
    if (!layer) {
        Error error = std::move(layer).error();
        error.message = "instance " + std::string(name) + ": " + error.message;
        return error;
    }
    Result<void> belongs = check_parent(name, layer->summary(), *parent);
    if (!belongs) return std::move(belongs).error();

    DirectIoAlignment alignment{.memory = 1, .offset = 1};
    if (locked->direct_io) {
        alignment = direct_io_alignment(locked->direct.get()).value_or(DirectIoAlignment{});
    }
    return std::make_unique<OpenedInstance>(
        OpenedInstance{.info = describe(context, name, *document),
                       .layer = std::move(*layer),
                       .live_direct = std::move(locked->direct),
                       .live_buffered = file.release(),
                       .direct_io = locked->direct_io,
                       .alignment = alignment,
                       .below = std::move(*below)});
}

}  // namespace cowtgt::store
