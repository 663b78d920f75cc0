#include "cow-store/store/reshape.h"

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "cow-store/store/catalogue.h"
#include "cow-store/store/instances.h"
#include "cow-store/store/live_layer.h"
#include "cow-store/store/opened_store.h"
#include "cow-store/store/template_move.h"
#include "cow-store/store/workplace.h"

namespace cowtgt::store {

Result<TemplateMove> plan_move(const Context& context, std::string_view name,
                               const TemplateRef& to) {
    Result<InstanceDocument> document = load_instance(context, name);
    if (!document) return std::move(document).error();
    const Result<std::uint32_t> version = resolve(context, to);
    if (!version) return version.error();
    Result<TemplateRecord> record = load_template(context, to.name, *version);
    if (!record) return std::move(record).error();
    if (!document->snapshots.empty()) {
        std::vector<std::string> labels;
        for (const SnapshotEntry& snapshot : document->snapshots)
            labels.push_back(snapshot.label);
        return Error{ErrorCode::refused, "the snapshots of instance " + std::string(name) +
                                             " stand on its template: " + joined_names(labels) +
                                             "; remove these first"};
    }
    if (record->document.recipe.block_size != document->block_size) {
        return Error{ErrorCode::refused,
                     "template " + template_text(record->name, record->version) +
                         " has blocks of " + std::to_string(record->document.recipe.block_size) +
                         " bytes, instance " + std::string(name) + " of " +
                         std::to_string(document->block_size) + "; clone a new one"};
    }
    return TemplateMove{std::move(*document), std::move(*record)};
}

InstanceDocument on_template(InstanceDocument document, const TemplateRecord& record) {
    document.template_name = record.name;
    document.template_version = record.version;
    document.template_uuid = record.document.uuid;
    document.template_content_id = record.document.content_id;
    document.size_bytes = std::max(document.size_bytes, record.document.size_bytes);
    return document;
}

Result<TemplateInfo> Reshape::try_rebase(std::string_view name, const TemplateRef& to) const {
    const Context& context = store_.state_->context;
    const Result<TemplateMove> move = plan_move(context, name, to);
    if (!move) return move.error();
    return describe(context, move->to, Usage{});
}

Result<InstanceInfo> Reshape::rebase(std::string_view name, const TemplateRef& to) {
    const Context& context = store_.state_->exclusive();
    Result<TemplateMove> move = plan_move(context, name, to);
    if (!move) return std::move(move).error();
    if (Result<void> idle = check_idle(context, name); !idle) return std::move(idle).error();
    const TemplateRecord& record = move->to;
    InstanceDocument document = on_template(std::move(move->document), record);
    Result<FreshLayer> fresh = plan_layer(context, record, document);
    if (!fresh) return std::move(fresh).error();
    document.identity = std::move(fresh->identity);
    Result<void> done = with_ballast(context, [&] {
        return replace_live(context, Work::rebase, name, document, Uuid{}, fresh->spec);
    });
    if (!done) return std::move(done).error();
    return describe(context, name, document);
}

}  // namespace cowtgt::store
