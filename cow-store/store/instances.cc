#include "cow-store/store/instances.h"

#include <sys/stat.h>

#include <utility>

#include "cow-store/store/catalogue.h"
#include "cow-store/store/chain.h"
#include "cow-store/store/new_instance.h"
#include "cow-store/store/snapshots.h"
#include "cow-store/store/space.h"
#include "cow-store/store/workplace.h"

namespace cowtgt::store {

namespace {

bool is_there(const std::filesystem::path& path) {
    struct stat status {};
    return ::lstat(path.c_str(), &status) == 0;
}

/// An instance that cannot be read has no snapshots that could be cloned.
Result<void> check_not_cloned(const Context& context, std::string_view name) {
    const Result<InstanceDocument> document = load_instance(context, name);
    if (!document || document->snapshots.empty()) return {};
    const Result<std::vector<std::string>> clones = clones_of(context, *document, Uuid{});
    if (!clones) return clones.error();
    if (clones->empty()) return {};
    return Error{ErrorCode::in_use, "snapshots of instance " + std::string(name) +
                                        " are what these were cloned from: " +
                                        joined_names(*clones) + "; remove these first"};
}

Error no_instance(std::string_view name) {
    return Error{ErrorCode::not_found, "there is no instance " + std::string(name) +
                                           "; `cowtgt ls` lists those that are there"};
}

}  // namespace

Result<FreshLayer> plan_layer(const Context& context, const TemplateRecord& record,
                              const InstanceDocument& document) {
    const Result<OpenedChain> chain = open_chain(context, record);
    if (!chain) return chain.error();
    const ChainReader disk(*chain, record.document.size_bytes,
                           template_text(record.name, record.version));
    return plan_identity(record.document.recipe, disk, parent_for(record.document), document);
}

Result<InstanceInfo> clone_template(const Context& context, const CloneOptions& options) {
    if (Result<void> free = check_name_is_free(context, options.name); !free) {
        return std::move(free).error();
    }
    const Result<std::uint32_t> version = resolve(context, options.source);
    if (!version) return version.error();
    const Result<TemplateRecord> record = load_template(context, options.source.name, *version);
    if (!record) return record.error();
    const Result<std::uint64_t> size =
        clone_size({"template " + template_text(record->name, record->version),
                    record->document.size_bytes, record->document.recipe.block_size},
                   options.size_bytes);
    if (!size) return size.error();
    InstanceDocument document = new_document(*record, options, *size);
    Result<FreshLayer> fresh = plan_layer(context, *record, document);
    if (!fresh) return std::move(fresh).error();
    document.identity = std::move(fresh->identity);
    return publish_instance(context, options.name, document, fresh->spec, {});
}

Result<FreshLayer> plan_reset(const Context& context, std::string_view name,
                              const InstanceDocument& document) {
    if (document.template_name.empty()) {
        return Error{ErrorCode::refused, "instance " + std::string(name) +
                                             " stands on no template that it could go back to"};
    }
    const Result<TemplateRecord> record = template_of(context, name, document);
    if (!record) return record.error();
    return plan_layer(context, *record, document);
}

Result<void> reset_instance(const Context& context, std::string_view name) {
    Result<InstanceDocument> document = load_instance(context, name);
    if (!document) return std::move(document).error();
    if (Result<void> idle = check_idle(context, name); !idle) return idle;
    const Result<FreshLayer> fresh = plan_reset(context, name, *document);
    if (!fresh) return fresh.error();
    return with_ballast(context, [&] {
        return replace_live(context, Work::reset, name, *document, Uuid{}, fresh->spec);
    });
}

Result<InstanceInfo> resize_instance(const Context& context, std::string_view name,
                                     std::uint64_t size_bytes) {
    Result<InstanceDocument> document = load_instance(context, name);
    if (!document) return std::move(document).error();
    if (size_bytes < document->size_bytes) {
        return Error{ErrorCode::refused, "instance " + std::string(name) + " has " +
                                             std::to_string(document->size_bytes) +
                                             " bytes and cannot shrink; what lies at the end "
                                             "would be lost"};
    }
    const Result<std::uint64_t> size = clone_size(
        {"instance " + std::string(name), document->size_bytes, document->block_size}, size_bytes);
    if (!size) return size.error();
    if (Result<void> idle = check_idle(context, name); !idle) return std::move(idle).error();
    document->size_bytes = *size;
    // The layer follows when it is opened next.
    Result<void> done = replace_document(context, name, *document);
    if (!done) return std::move(done).error();
    return describe(context, name, *document);
}

Result<void> rename_instance(const Context& context, std::string_view from, std::string_view to) {
    for (const std::string_view name : {from, to}) {
        if (Result<void> legal = check_name(name); !legal) return legal;
    }
    const std::filesystem::path old_folder = context.layout.instance(from);
    const std::filesystem::path new_folder = context.layout.instance(to);
    if (!is_there(old_folder)) return no_instance(from);
    if (Result<void> free = check_name_is_free(context, to); !free) return free;
    if (Result<void> idle = check_idle(context, from); !idle) return idle;
    if (Result<void> done = context.files.rename(old_folder, new_folder); !done) return done;
    return context.files.sync_directory(context.layout.instances());
}

Result<std::uint64_t> try_remove_instance(const Context& context, std::string_view name) {
    if (Result<void> legal = check_name(name); !legal) return std::move(legal).error();
    const std::filesystem::path folder = context.layout.instance(name);
    if (!is_there(folder)) return no_instance(name);
    if (Result<void> unused = check_not_cloned(context, name); !unused) {
        return std::move(unused).error();
    }
    return bytes_freed_with(folder);
}

Result<void> remove_instance(const Context& context, std::string_view name) {
    const Result<std::uint64_t> possible = try_remove_instance(context, name);
    if (!possible) return possible.error();
    const std::filesystem::path folder = context.layout.instance(name);
    if (Result<void> idle = check_idle(context, name); !idle) return idle;
    return with_ballast(
        context, [&] { return remove_object(context, Work::remove_instance, name, folder); });
}

}  // namespace cowtgt::store
