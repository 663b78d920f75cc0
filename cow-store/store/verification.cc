#include "cow-store/store/verification.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <map>
#include <set>
#include <utility>

#include "cow-store/file_posix.h"
#include "cow-store/store/catalogue.h"
#include "cow-store/store/workplace.h"
#include "cow-store/volume/layer_file.h"

namespace cowtgt::store {

namespace {

std::uint64_t inode_of(const std::filesystem::path& path) {
    struct stat status {};
    return ::stat(path.c_str(), &status) == 0 ? status.st_ino : 0;
}

class Collection {
public:
    void add(SealedFile file, const Owner& owner) {
        const auto [place, is_new] =
            places_.try_emplace({file.uuid.bytes, inode_of(file.path)}, uses_.size());
        if (is_new) uses_.push_back({.file = file, .owners = {}, .fingerprints = {}});
        SealedUse& use = uses_[place->second];
        use.owners.push_back(owner);
        use.fingerprints.push_back(file.fingerprint);
        use.all_know = use.all_know && file.content_id != 0;
        if (use.file.content_id == 0) use.file = std::move(file);
    }
    std::vector<SealedUse> take() { return std::move(uses_); }

private:
    using UuidBytes = decltype(Uuid::bytes);

    std::vector<SealedUse> uses_;
    std::map<std::pair<UuidBytes, std::uint64_t>, std::size_t> places_;  ///< by uuid and inode
};

Result<void> add_templates(const Context& context, Collection& collection) {
    const Result<std::vector<std::string>> names = template_names(context);
    if (!names) return names.error();
    for (const std::string& name : *names) {
        const Result<std::vector<std::uint32_t>> versions = versions_of(context, name);
        if (!versions) return versions.error();
        for (const std::uint32_t version : *versions) {
            const Result<TemplateRecord> record = load_template(context, name, version);
            if (!record) continue;
            const Owner owner{name, version};
            collection.add(sealed_file(context, *record), owner);
            for (const LayerEntry& layer : record->document.layers) {
                collection.add(sealed_file(context, layer, context.layout.version(name, version)),
                               owner);
            }
        }
    }
    return {};
}

Result<void> add_instances(const Context& context, Collection& collection) {
    const Result<std::vector<std::string>> names = instance_names(context);
    if (!names) return names.error();
    for (const std::string& name : *names) {
        const Result<InstanceDocument> document = load_instance(context, name);
        if (!document) continue;
        for (const LayerEntry& layer : document->sealed) {
            collection.add(sealed_file(context, layer, context.layout.instance(name)),
                           Owner{name, 0});
        }
    }
    return {};
}

/// Hashes a layer for the first time, or again because its hashes were lost.
Result<void> hash_layer(const Context& context, SealedFile& file, int fd, const Pace& pace) {
    if (Result<void> made = context.files.make_directory(context.layout.sums());
        !made && made.error().os_errno != EEXIST) {
        return made;
    }
    Result<Workplace> workplace = Workplace::make(context, Work::replace, to_string(file.uuid));
    if (!workplace) return std::move(workplace).error();
    const std::filesystem::path table_path = workplace->path() / Layout::chunks_file;
    const Result<std::unique_ptr<File>> table = context.files.create_file(table_path);
    if (!table) return table.error();
    const Result<std::uint64_t> id =
        hash_file(fd, file.fingerprint.size, sealed_name(file), **table, pace);
    if (!id) return id.error();
    if (file.content_id != 0 && *id != file.content_id) {
        return Error{ErrorCode::corrupt, sealed_name(file) +
                                             " is not what stands on it knows; restore it from a "
                                             "backup"};
    }
    Result<void> done = (*table)->sync_data();
    if (done) done = context.files.rename(table_path, file.table);
    if (done) done = context.files.sync_directory(context.layout.sums());
    // The document last: where it is, the hashes are whole.
    if (done) {
        done = replace_file(context, context.layout.sums_document(file.uuid),
                            encode(SumsDocument{file.uuid, *id, file.fingerprint.size}));
    }
    if (done) file.content_id = *id;
    return done;
}

Result<void> compare(const SealedFile& file, int fd, const Pace& pace) {
    const Result<std::vector<std::uint64_t>> hashes = load_table(file);
    if (!hashes) return hashes.error();
    return compare_file(fd, file.fingerprint.size, sealed_name(file), *hashes, pace,
                        [&file](std::uint64_t offset, Bytes) -> Result<void> {
                            return chunk_differs(sealed_name(file), offset);
                        });
}

/// The hashes prove the content, but only the map's own checksums prove the map when the hashes are
/// made.
Result<void> check_map(const Context& context, const SealedFile& file) {
    Result<std::unique_ptr<PosixFile>> opened = PosixFile::open(file.path, O_RDONLY);
    if (!opened) return std::move(opened).error();
    OpenContext opening;
    opening.boot_id = context.boot_id;
    opening.expected_uuid = file.uuid;
    const Result<RecoveredLayer> layer = open_layer(**opened, opening);
    if (layer) return {};
    return Error{layer.error().code, sealed_name(file) + ": " + layer.error().message};
}

void take_over(const Verification& work, LayerEntry& layer) {
    if (layer.uuid != work.file.uuid) return;
    layer.content_id = work.file.content_id;
    layer.fingerprint = work.file.fingerprint;
}

}  // namespace

std::string owner_text(const Owner& owner) {
    if (owner.version == 0) return "instance " + owner.name;
    return "template " + template_text(owner.name, owner.version);
}

Result<std::vector<SealedUse>> sealed_files(const Context& context) {
    Collection collection;
    if (Result<void> added = add_templates(context, collection); !added) return added.error();
    if (Result<void> added = add_instances(context, collection); !added) return added.error();
    return collection.take();
}

Result<std::vector<Verification>> pending_verifications(const Context& context) {
    Result<std::vector<SealedUse>> uses = sealed_files(context);
    if (!uses) return std::move(uses).error();
    std::vector<Verification> pending;
    for (SealedUse& use : *uses) {
        const Result<Descriptor> file = open_descriptor(use.file.path, O_RDONLY);
        if (!file) continue;  // whoever opens it says so
        const Result<Fingerprint> found = fingerprint_of(file->get(), use.file.path);
        if (!found || found->size != use.file.fingerprint.size) continue;
        const auto known = std::ranges::count(use.fingerprints, *found);
        const bool all_know = std::cmp_equal(known, use.owners.size()) && use.all_know;
        if (!all_know) pending.push_back({std::move(use.file), std::move(use.owners), known == 0});
    }
    return pending;
}

Result<void> verify(const Context& context, Verification& work, const Pace& pace) {
    SealedFile& file = work.file;
    const Result<Descriptor> opened = open_for_scan(file.path);
    if (!opened) return opened.error();
    const Result<Fingerprint> before = fingerprint_of(opened->get(), file.path);
    if (!before) return before.error();
    bool is_hashed = file.kind == SealedFile::Kind::image;
    if (!is_hashed) {
        if (Result<void> sound = check_map(context, file); !sound) return sound;
        const Result<std::optional<SumsDocument>> sums = load_sums(context, file.uuid);
        is_hashed =
            sums && *sums && (file.content_id == 0 || (*sums)->content_id == file.content_id);
        if (is_hashed) file.content_id = (*sums)->content_id;
    }
    Result<void> done =
        is_hashed && work.is_in_doubt
            ? compare(file, opened->get(), pace)
            : (is_hashed ? Result<void>{} : hash_layer(context, file, opened->get(), pace));
    if (!done) return done;
    const Result<Fingerprint> after = fingerprint_of(opened->get(), file.path);
    if (!after) return after.error();
    if (*before != *after) {
        return Error{ErrorCode::refused, sealed_name(file) + " changed while it was verified"};
    }
    file.fingerprint = *after;
    return {};
}

Result<void> settle(const Context& context, const Verification& work, const Owner& owner) {
    context.read_sums->believe(work.file.fingerprint.inode);
    if (owner.version == 0) {
        Result<InstanceDocument> document = load_instance(context, owner.name);
        if (!document) return std::move(document).error();
        for (LayerEntry& layer : document->sealed)
            take_over(work, layer);
        return replace_file(context, context.layout.instance(owner.name) / Layout::instance_file,
                            encode(*document));
    }
    Result<TemplateRecord> record = load_template(context, owner.name, owner.version);
    if (!record) return std::move(record).error();
    TemplateDocument& document = record->document;
    if (work.file.kind == SealedFile::Kind::image && document.image_uuid == work.file.uuid) {
        document.fingerprint = work.file.fingerprint;
    }
    for (LayerEntry& layer : document.layers)
        take_over(work, layer);
    const std::filesystem::path folder = context.layout.version(owner.name, owner.version);
    return replace_file(context, folder / Layout::template_file, encode(document));
}

Result<void> remove_unused_sums(const Context& context) {
    const Result<std::vector<std::string>> files = list_directory(context.layout.sums());
    if (!files || files->empty()) return files ? Result<void>{} : files.error();
    const Result<std::vector<SealedUse>> uses = sealed_files(context);
    if (!uses) return uses.error();
    std::set<std::string> used;
    for (const SealedUse& use : *uses)
        used.insert(to_string(use.file.uuid));
    for (const std::string& file : *files) {
        if (used.contains(file.substr(0, file.rfind('.')))) continue;
        Result<void> removed = context.files.remove_file(context.layout.sums() / file);
        if (!removed) return removed;
    }
    return {};
}

}  // namespace cowtgt::store
