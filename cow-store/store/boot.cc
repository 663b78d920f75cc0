#include "cow-store/store/boot.h"

#include <utility>

#include "cow-store/store/catalogue.h"
#include "cow-store/store/instances.h"
#include "cow-store/store/live_layer.h"
#include "cow-store/store/snapshots.h"
#include "cow-store/store/workplace.h"

namespace cowtgt::store {

Result<void> set_boot_phase(const Context& context, std::string_view name, BootPhase phase) {
    Result<InstanceDocument> document = load_instance(context, name);
    if (!document) return std::move(document).error();
    if (document->boot_phase == phase) return {};
    document->boot_phase = phase;
    return replace_document(context, name, *document);
}

Result<void> reset_for_boot(const Context& context, std::string_view name, BootPhase phase) {
    Result<InstanceDocument> found = load_instance(context, name);
    if (!found) return std::move(found).error();
    const Result<FreshLayer> fresh = plan_reset(context, name, *found);
    if (!fresh) return fresh.error();
    return with_ballast(context, [&]() -> Result<void> {
        InstanceDocument document = *found;
        std::erase_if(document.snapshots, [](const SnapshotEntry& snapshot) {
            return snapshot.label == last_boot_label;
        });
        const Result<LayerEntry> sealed = seal_live_file(context, name, document);
        if (!sealed) return sealed.error();
        document.sealed.push_back(*sealed);
        document.snapshots.push_back(
            {std::string(last_boot_label), sealed->uuid, sealed->sealed_at});
        document.boot_phase = phase;
        return replace_live(context, Work::reset, name, document, Uuid{}, fresh->spec);
    });
}

}  // namespace cowtgt::store
