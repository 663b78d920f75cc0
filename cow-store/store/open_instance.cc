#include "cow-store/store/open_instance.h"

#include <utility>

#include "cow-store/file_posix.h"
#include "cow-store/store/catalogue.h"
#include "cow-store/store/live_lock.h"
#include "cow-store/store/opening.h"

namespace cowtgt::store {

namespace {

/// The layer must stand on the image that it is going to be served over.
Result<void> check_parent(std::string_view name, const LayerSummary& layer,
                          const InstanceDocument& document) {
    if (layer.parent.uuid == document.template_uuid &&
        layer.parent.content_id == document.template_content_id) {
        return {};
    }
    return Error{ErrorCode::refused,
                 "the layer of instance " + std::string(name) +
                     " belongs to another template; restore the instance's folder from a backup"};
}

}  // namespace

Result<std::unique_ptr<OpenedInstance>> open_instance(const Context& context,
                                                      std::string_view name) {
    const Result<InstanceDocument> document = load_instance(context, name);
    if (!document) return document.error();
    const Result<TemplateRecord> record = template_of(context, name, *document);
    if (!record) return record.error();
    Result<Descriptor> base = open_image_of(context, *record);
    if (!base) return std::move(base).error();
    Result<LockedLayer> locked = lock_live_layer(context, name);
    if (!locked) return std::move(locked).error();

    const std::filesystem::path path = context.layout.instance(name) / Layout::live_file;
    PosixFile file(std::move(locked->buffered), path.string());
    OpenContext opening;
    opening.boot_id = context.boot_id;
    Result<RecoveredLayer> layer = open_layer(file, opening);
    if (!layer) {
        Error error = std::move(layer).error();
        error.message = "instance " + std::string(name) + ": " + error.message;
        return error;
    }
    Result<void> belongs = check_parent(name, layer->summary(), *document);
    if (!belongs) return std::move(belongs).error();

    DirectIoAlignment alignment{.memory = 1, .offset = 1};
    if (locked->direct_io) {
        alignment = direct_io_alignment(locked->direct.get()).value_or(DirectIoAlignment{});
    }
    InstanceInfo info = describe(context, name, *document);
    info.size_bytes = layer->summary().virtual_size;
    return std::make_unique<OpenedInstance>(
        OpenedInstance{.info = std::move(info),
                       .layer = std::move(*layer),
                       .live_direct = std::move(locked->direct),
                       .live_buffered = file.release(),
                       .direct_io = locked->direct_io,
                       .alignment = alignment,
                       .base = std::move(*base),
                       .base_size = record->document.size_bytes});
}

}  // namespace cowtgt::store
