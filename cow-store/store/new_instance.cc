#include "cow-store/store/new_instance.h"

#include <sys/stat.h>

#include <cerrno>
#include <utility>

#include "cow-store/store/image_input.h"
#include "cow-store/store/live_layer.h"
#include "cow-store/store/workplace.h"

namespace cowtgt::store {

namespace {

Error name_is_taken(std::string_view name) {
    return Error{ErrorCode::exists, "there is an instance " + std::string(name) +
                                        " already; choose another name, or remove it first"};
}

}  // namespace

Result<void> check_name_is_free(const Context& context, std::string_view name) {
    if (Result<void> legal = check_name(name); !legal) return legal;
    struct stat status {};
    if (::lstat(context.layout.instance(name).c_str(), &status) == 0) return name_is_taken(name);
    return {};
}

Result<std::uint64_t> clone_size(const CloneSource& source, std::uint64_t wished) {
    if (wished == 0) return source.size_bytes;
    if (wished % source.block_size != 0) {
        return Error{ErrorCode::usage, "a size of " + std::to_string(wished) +
                                           " bytes is not possible: it must be a multiple of " +
                                           std::to_string(source.block_size)};
    }
    if (wished < source.size_bytes) {
        return Error{ErrorCode::usage, "a size of " + std::to_string(wished) +
                                           " bytes is too small: " + source.name + " needs " +
                                           std::to_string(source.size_bytes)};
    }
    if (wished > disk_size_max) {
        return Error{ErrorCode::usage, "a size of " + std::to_string(wished) +
                                           " bytes is more than the 16 TiB that a disk may have"};
    }
    return wished;
}

InstanceDocument new_document(const TemplateRecord& record, const CloneOptions& options,
                              std::uint64_t size_bytes) {
    InstanceDocument document;
    document.uuid = draw_uuid();
    document.identity_seed = options.identity_seed.is_nil() ? draw_uuid() : options.identity_seed;
    document.identity_wishes = options.identity;
    document.template_name = record.name;
    document.template_version = record.version;
    document.template_uuid = record.document.uuid;
    document.template_content_id = record.document.content_id;
    document.size_bytes = size_bytes;
    document.block_size = record.document.recipe.block_size;
    document.created_at = time_now();
    return document;
}

Result<InstanceInfo> publish_instance(const Context& context, const std::string& name,
                                      const InstanceDocument& document, const LayerSpec& live,
                                      const std::vector<SharedFile>& shared) {
    Result<Workplace> workplace = Workplace::make(context, Work::clone, name);
    if (!workplace) return std::move(workplace).error();
    Result<void> done = write_layer(context, workplace->path() / document.live_file, live);
    for (const SharedFile& file : shared) {
        if (done) done = context.files.link(file.path, workplace->path() / file.name);
    }
    if (done) {
        done = context.files.write_new_file(workplace->path() / Layout::instance_file,
                                            encode(document));
    }
    if (done) done = workplace->publish(context.layout.instance(name));
    if (done) return describe(context, name, document);
    if (done.error().os_errno == EEXIST || done.error().os_errno == ENOTEMPTY) {
        return name_is_taken(name);
    }
    return std::move(done).error();
}

}  // namespace cowtgt::store
