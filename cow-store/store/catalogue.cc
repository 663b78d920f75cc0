#include "cow-store/store/catalogue.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <optional>
#include <utility>

#include "cow-store/file_posix.h"
#include "cow-store/identity/reference_plan.h"

namespace cowtgt::store {

namespace {

constexpr std::string_view default_tag = "stable";

std::optional<std::uint32_t> version_number(std::string_view text) {
    std::uint32_t number = 0;
    const char* end = text.data() + text.size();
    const auto [stop, failure] = std::from_chars(text.data(), end, number);
    if (stop != end || failure != std::errc{} || number == 0) return std::nullopt;
    if (std::to_string(number) != text) return std::nullopt;  // "007" is not ours
    return number;
}

Error no_template(std::string_view name) {
    return Error{ErrorCode::not_found, "there is no template " + std::string(name) +
                                           "; `cowtgt template ls` lists those that are there"};
}

Error no_version(std::string_view name, std::string_view what,
                 const std::vector<std::uint32_t>& versions) {
    std::string list;
    for (const std::uint32_t version : versions) {
        list += (list.empty() ? "" : ", ") + std::to_string(version);
    }
    return Error{ErrorCode::not_found, "template " + std::string(name) + " has no " +
                                           std::string(what) + "; its versions are: " + list};
}

bool has(const std::vector<std::uint32_t>& versions, std::uint32_t version) {
    return std::binary_search(versions.begin(), versions.end(), version);
}

}  // namespace

Result<TagsDocument> load_tags(const Context& context, std::string_view name) {
    const std::filesystem::path path = context.layout.tags_of(name);
    const Result<std::string> text = read_text_file(path);
    if (!text && text.error().code == ErrorCode::not_found) return TagsDocument{};
    if (!text) return text.error();
    return decode_tags(*text, path.string());
}

Result<std::vector<std::uint32_t>> versions_of(const Context& context, std::string_view name) {
    const Result<std::vector<std::string>> entries =
        list_directory(context.layout.versions_of(name));
    if (!entries) return entries.error();
    std::vector<std::uint32_t> versions;
    for (const std::string& entry : *entries) {
        if (const auto number = version_number(entry)) versions.push_back(*number);
    }
    std::sort(versions.begin(), versions.end());
    return versions;
}

Result<std::uint32_t> resolve(const Context& context, const TemplateRef& ref) {
    if (Result<void> name = check_name(ref.name); !name) return name.error();
    const Result<std::vector<std::uint32_t>> versions = versions_of(context, ref.name);
    if (!versions) return versions.error();
    if (versions->empty()) return no_template(ref.name);
    if (ref.version != 0) {
        if (has(*versions, ref.version)) return ref.version;
        return no_version(ref.name, "version " + std::to_string(ref.version), *versions);
    }
    const Result<TagsDocument> tags = load_tags(context, ref.name);
    if (!tags) return tags.error();
    const auto tagged = tags->versions.find(ref.tag.empty() ? std::string(default_tag) : ref.tag);
    if (tagged != tags->versions.end() && has(*versions, tagged->second)) return tagged->second;
    if (!ref.tag.empty()) return no_version(ref.name, "tag " + ref.tag, *versions);
    return versions->back();
}

Result<TemplateRecord> load_template(const Context& context, std::string_view name,
                                     std::uint32_t version) {
    const std::filesystem::path path =
        context.layout.version(name, version) / Layout::template_file;
    const Result<std::string> text = read_text_file(path);
    if (!text && text.error().code == ErrorCode::not_found) {
        return no_template(template_text(name, version));
    }
    if (!text) return text.error();
    Result<TemplateDocument> document = decode_template(*text, path.string());
    if (!document) return std::move(document).error();
    return TemplateRecord{std::string(name), version, std::move(*document)};
}

Result<InstanceDocument> load_instance(const Context& context, std::string_view name) {
    if (Result<void> legal = check_name(name); !legal) return legal.error();
    const std::filesystem::path path = context.layout.instance(name) / Layout::instance_file;
    const Result<std::string> text = read_text_file(path);
    if (!text && text.error().code == ErrorCode::not_found) {
        return Error{ErrorCode::not_found, "there is no instance " + std::string(name) +
                                               "; `cowtgt ls` lists those that are there"};
    }
    if (!text) return text.error();
    return decode_instance(*text, path.string());
}

TemplateRecord nothing_below(const InstanceDocument& document) {
    TemplateRecord record;
    record.document.recipe.block_size = document.block_size;
    return record;
}

Result<TemplateRecord> template_of(const Context& context, std::string_view name,
                                   const InstanceDocument& document) {
    if (document.template_name.empty()) return nothing_below(document);
    Result<TemplateRecord> record =
        load_template(context, document.template_name, document.template_version);
    if (!record) return record;
    if (record->document.uuid == document.template_uuid &&
        record->document.content_id == document.template_content_id) {
        return record;
    }
    return Error{
        ErrorCode::refused,
        "template " + template_text(document.template_name, document.template_version) +
            " is not the one that instance " + std::string(name) +
            " was made on; restore the folder " +
            context.layout.version(document.template_name, document.template_version).string() +
            " from a backup"};
}

std::string joined_names(const std::vector<std::string>& names) {
    std::string text;
    for (const std::string& name : names)
        text += (text.empty() ? "" : ", ") + name;
    return text;
}

Result<std::vector<std::string>> template_names(const Context& context) {
    Result<std::vector<std::string>> names = list_directory(context.layout.templates());
    if (!names) return names;
    std::vector<std::string> found;
    for (std::string& name : *names) {
        const Result<std::vector<std::uint32_t>> versions = versions_of(context, name);
        if (!versions) return versions.error();
        if (!versions->empty()) found.push_back(std::move(name));
    }
    return found;
}

Result<std::vector<std::string>> instance_names(const Context& context) {
    return list_directory(context.layout.instances());
}

std::vector<std::string> Usage::instances_of(std::string_view name, std::uint32_t version) const {
    std::vector<std::string> instances;
    for (const Entry& entry : entries) {
        if (entry.template_name == name && entry.version == version) {
            instances.push_back(entry.instance);
        }
    }
    return instances;
}

Result<Usage> find_usage(const Context& context) {
    const Result<std::vector<std::string>> names = instance_names(context);
    if (!names) return names.error();
    Usage usage;
    for (const std::string& name : *names) {
        const Result<InstanceDocument> document = load_instance(context, name);
        if (!document) {
            usage.entries.push_back({"", 0, name});
        } else if (!document->template_name.empty()) {
            usage.entries.push_back({document->template_name, document->template_version, name});
        }
    }
    return usage;
}

namespace {

constexpr std::string_view replayed_in_clones =
    "in use when it was copied: its journal is replayed in each clone";

bool is_replayed(const identity::Recipe& recipe, const std::string& where) {
    return std::ranges::any_of(recipe.structures, [&](const identity::Structure& structure) {
        return structure.needs_replay && structure.where == where;
    });
}

/// Files of a disk that was in use are looked at in each clone, once its journal is replayed.
bool is_told_after_replay(const identity::Recipe& recipe, const identity::Finding& finding) {
    if (is_replayed(recipe, finding.where)) return true;
    const std::string value = identity::value_named_by(finding.old_value);
    return std::ranges::any_of(recipe.references, [&](const identity::Reference& reference) {
        return identity::value_named_by(reference.text) == value &&
               is_replayed(recipe, reference.where);
    });
}

/// What a clone does, which the recipe alone does not tell: first it replays journals, and values
/// stay that files name in places where they cannot be rewritten.
std::vector<IdentityItem> items_of(const identity::Recipe& recipe,
                                   const identity::ReferencePlan& plan) {
    std::vector<identity::Finding> findings;
    for (const identity::Structure& structure : recipe.structures) {
        for (identity::Finding finding : structure.findings) {
            if (structure.needs_replay) {
                finding.kept_because.clear();
                finding.note = replayed_in_clones;
            } else if (finding.kept_because.empty() && !is_told_after_replay(recipe, finding)) {
                finding.kept_because = plan.reason_to_keep(finding);
            }
            findings.push_back(std::move(finding));
        }
    }
    return identity_items(findings);
}

std::vector<ContentItem> content_items(const identity::Recipe& recipe) {
    std::vector<ContentItem> items;
    for (const identity::Structure& structure : recipe.structures) {
        const identity::Finding* finding =
            structure.findings.empty() ? nullptr : &structure.findings.front();
        items.push_back({.where = structure.where,
                         .format = structure.format,
                         .label = finding == nullptr ? "" : finding->label,
                         .uuid = finding == nullptr ? "" : finding->old_value,
                         .begin = structure.begin,
                         .size_bytes = structure.length,
                         .problem = structure.needs_replay ? std::string(replayed_in_clones)
                                                           : structure.kept_because});
    }
    return items;
}

/// What becomes of a text, and why it is not rewritten.
struct Verdict {
    ReferenceFate fate;
    std::string reason;
};

Verdict verdict_on(const identity::Reference& reference, const identity::Recipe& recipe,
                   const identity::ReferencePlan& plan) {
    if (reference.kind == identity::ReferenceKind::history) return {ReferenceFate::left, ""};
    const std::string value = identity::value_named_by(reference.text);
    for (const identity::Structure& structure : recipe.structures) {
        for (const identity::Finding& finding : structure.findings) {
            if (!identity::can_be_named(finding) ||
                identity::value_named_by(finding.old_value) != value) {
                continue;
            }
            if (is_told_after_replay(recipe, finding)) return {ReferenceFate::after_replay, ""};
            if (reference.kind != identity::ReferenceKind::rewritable) {
                return {ReferenceFate::fixed, reference.reason};
            }
            const std::string reason =
                finding.kept_because.empty() ? plan.reason_to_keep(finding) : finding.kept_because;
            if (!reason.empty()) return {ReferenceFate::kept, reason};
        }
    }
    return {ReferenceFate::rewritten, ""};
}

/// Each file once for each value that it names.
std::vector<ReferenceItem> reference_items(const identity::Recipe& recipe,
                                           const identity::ReferencePlan& plan) {
    std::vector<ReferenceItem> items;
    for (const identity::Reference& reference : recipe.references) {
        Verdict verdict = verdict_on(reference, recipe, plan);
        const bool is_known = std::ranges::any_of(items, [&](const ReferenceItem& item) {
            return item.value == reference.text && item.where == reference.where &&
                   item.file == reference.file && item.fate == verdict.fate &&
                   item.reason == verdict.reason;
        });
        if (is_known) continue;
        items.push_back({.value = reference.text,
                         .where = reference.where,
                         .file = reference.file,
                         .fate = verdict.fate,
                         .reason = std::move(verdict.reason)});
    }
    return items;
}

}  // namespace

TemplateInfo describe(const Context& context, const TemplateRecord& record, const Usage& usage) {
    const TemplateDocument& document = record.document;
    const std::filesystem::path folder = context.layout.version(record.name, record.version);
    TemplateInfo info;
    info.name = record.name;
    info.version = record.version;
    if (const Result<TagsDocument> tags = load_tags(context, record.name)) {
        for (const auto& [tag, version] : tags->versions) {
            if (version == record.version) info.tags.push_back(tag);
        }
    } else {
        info.damage = tags.error().message;
    }
    info.size_bytes = document.size_bytes;
    info.allocated_bytes = allocated_bytes_of(folder / Layout::image_file) +
                           allocated_bytes_of(folder / Layout::chunks_file);
    for (const LayerEntry& layer : document.layers)
        info.allocated_bytes += allocated_bytes_of(folder / layer.file);
    info.block_size = document.recipe.block_size;
    const std::uint64_t content_id =
        document.layers.empty() ? document.content_id : document.layers.front().content_id;
    if (content_id != 0) info.content_id = hex_text(content_id);
    info.verified = std::ranges::all_of(
        document.layers, [](const LayerEntry& layer) { return layer.content_id != 0; });
    info.imported_at = document.imported_at;
    info.source = document.source;
    info.note = document.note;
    info.uuid = document.uuid;
    const auto plan =
        identity::ReferencePlan::expected(document.recipe, identity::References::rewrite);
    info.identity = items_of(document.recipe, plan);
    info.contents = content_items(document.recipe);
    info.references = reference_items(document.recipe, plan);
    info.instances = usage.instances_of(record.name, record.version);
    return info;
}

InstanceInfo describe(const Context& context, std::string_view name,
                      const InstanceDocument& document) {
    InstanceInfo info;
    info.name = name;
    info.template_name = document.template_name;
    info.template_version = document.template_version;
    info.size_bytes = document.size_bytes;
    const std::filesystem::path folder = context.layout.instance(name);
    info.allocated_bytes = allocated_bytes_of(folder / document.live_file);
    for (const LayerEntry& layer : document.sealed) {
        if (layer.owner == document.uuid) {
            info.allocated_bytes += allocated_bytes_of(folder / layer.file);
        }
    }
    for (const SnapshotEntry& snapshot : document.snapshots)
        info.snapshots.push_back(snapshot.label);
    info.origin = document.origin;
    info.block_size = document.block_size;
    info.uuid = document.uuid;
    info.created_at = document.created_at;
    info.boot_phase = document.boot_phase;
    info.is_flattening = document.is_flattening;
    info.identity = document.identity;
    return info;
}

Result<Fingerprint> fingerprint_of(int fd, const std::filesystem::path& path) {
    struct stat status {};
    if (::fstat(fd, &status) != 0) return system_error("looking at " + path.string(), errno);
    constexpr std::int64_t nanoseconds = 1'000'000'000;
    return Fingerprint{.size = static_cast<std::uint64_t>(status.st_size),
                       .mtime_ns = status.st_mtim.tv_sec * nanoseconds + status.st_mtim.tv_nsec,
                       .inode = status.st_ino};
}

SealedFile sealed_file(const Context& context, const TemplateRecord& record) {
    const std::filesystem::path folder = context.layout.version(record.name, record.version);
    return SealedFile{
        .kind = SealedFile::Kind::image,
        .uuid = record.document.image_uuid,
        .path = folder / Layout::image_file,
        .fingerprint = {record.document.image_bytes, record.document.fingerprint.mtime_ns,
                        record.document.fingerprint.inode},
        .content_id = record.document.content_id,
        .table = folder / Layout::chunks_file};
}

SealedFile sealed_file(const Context& context, const LayerEntry& entry,
                       const std::filesystem::path& folder) {
    return SealedFile{.kind = SealedFile::Kind::layer,
                      .uuid = entry.uuid,
                      .path = folder / entry.file,
                      .fingerprint = entry.fingerprint,
                      .content_id = entry.content_id,
                      .table = context.layout.sums_table(entry.uuid)};
}

}  // namespace cowtgt::store
