#include "cow-store/store/templates.h"

#include <cstdint>
#include <string>
#include <utility>

#include "cow-store/identity/disk_text.h"
#include "cow-store/store/catalogue.h"
#include "cow-store/store/space.h"
#include "cow-store/store/workplace.h"

namespace cowtgt::store {

namespace {

TemplateInfo damaged(std::string_view name, std::uint32_t version, const Error& error) {
    TemplateInfo info;
    info.name = name;
    info.version = version;
    info.damage = error.message;
    return info;
}

/// An instance that cannot be read may stand on any template, so it keeps them all.
Result<void> check_unused(const Usage& usage, std::string_view name,
                          const std::vector<std::uint32_t>& versions) {
    std::string users;
    const auto add = [&users](const std::string& instance) {
        users += (users.empty() ? "" : ", ") + instance;
    };
    for (const std::uint32_t version : versions) {
        for (const std::string& instance : usage.instances_of(name, version))
            add(instance);
    }
    if (!users.empty()) {
        return Error{ErrorCode::in_use, "template " + std::string(name) +
                                            " is in use by: " + users + "; remove these first"};
    }
    for (const std::string& instance : usage.instances_of("", 0))
        add(instance);
    if (users.empty()) return {};
    return Error{ErrorCode::in_use, "template " + std::string(name) +
                                        " may be in use by instances that cannot be read: " +
                                        users + "; restore or remove these first"};
}

/// What goes with a reference: one version, or all of them.
struct Removal {
    std::vector<std::uint32_t> versions;
    std::filesystem::path path;
    std::string what;
};

Result<Removal> plan_removal(const Context& context, const TemplateRef& ref) {
    const Result<std::uint32_t> version = resolve(context, ref);
    if (!version) return version.error();
    const Result<std::vector<std::uint32_t>> all = versions_of(context, ref.name);
    if (!all) return all.error();
    const bool only_one = ref.version != 0 || !ref.tag.empty();
    Removal removal;
    removal.versions = only_one ? std::vector{*version} : *all;
    const Result<Usage> usage = find_usage(context);
    if (!usage) return usage.error();
    if (Result<void> unused = check_unused(*usage, ref.name, removal.versions); !unused) {
        return std::move(unused).error();
    }
    // With its last version a template goes as a whole, tags included, in one step.
    const bool whole = removal.versions.size() == all->size();
    removal.path =
        whole ? context.layout.versions_of(ref.name) : context.layout.version(ref.name, *version);
    removal.what = whole ? ref.name : template_text(ref.name, *version);
    return removal;
}

}  // namespace

Result<std::vector<TemplateInfo>> list_templates(const Context& context) {
    const Result<std::vector<std::string>> names = template_names(context);
    if (!names) return names.error();
    const Result<Usage> usage = find_usage(context);
    if (!usage) return usage.error();
    std::vector<TemplateInfo> list;
    for (const std::string& name : *names) {
        const Result<std::vector<std::uint32_t>> versions = versions_of(context, name);
        if (!versions) return versions.error();
        for (const std::uint32_t version : *versions) {
            const Result<TemplateRecord> record = load_template(context, name, version);
            list.push_back(record ? describe(context, *record, *usage)
                                  : damaged(name, version, record.error()));
        }
    }
    return list;
}

Result<TemplateInfo> find_template(const Context& context, const TemplateRef& ref) {
    const Result<std::uint32_t> version = resolve(context, ref);
    if (!version) return version.error();
    const Result<TemplateRecord> record = load_template(context, ref.name, *version);
    if (!record) return record.error();
    const Result<Usage> usage = find_usage(context);
    if (!usage) return usage.error();
    return describe(context, *record, *usage);
}

Result<TemplateInfo> tag_template(const Context& context, const TemplateRef& ref,
                                  std::string_view tag) {
    if (Result<void> legal = check_tag(tag); !legal) return std::move(legal).error();
    const Result<std::uint32_t> version = resolve(context, ref);
    if (!version) return version.error();
    Result<TagsDocument> tags = load_tags(context, ref.name);
    if (!tags) return std::move(tags).error();
    tags->versions[std::string(tag)] = *version;
    Result<void> done = replace_file(context, context.layout.tags_of(ref.name), encode(*tags));
    if (!done) return std::move(done).error();
    return find_template(context, {.name = ref.name, .version = *version, .tag = ""});
}

Result<void> check_note(std::string_view note) {
    constexpr std::size_t length_max = 1000;  ///< bytes
    const bool is_printable = identity::text_from_disk(bytes_of(note)) == note;
    if (note.size() <= length_max && is_printable) return {};
    return Error{ErrorCode::usage, "a note is one line of text, with at most " +
                                       std::to_string(length_max) + " bytes"};
}

Result<TemplateInfo> note_template(const Context& context, const TemplateRef& ref,
                                   std::string_view note) {
    if (Result<void> legal = check_note(note); !legal) return std::move(legal).error();
    const Result<std::uint32_t> version = resolve(context, ref);
    if (!version) return version.error();
    Result<TemplateRecord> record = load_template(context, ref.name, *version);
    if (!record) return std::move(record).error();
    record->document.note = note;
    Result<void> done =
        replace_file(context, context.layout.version(ref.name, *version) / Layout::template_file,
                     encode(record->document));
    if (!done) return std::move(done).error();
    return find_template(context, {.name = ref.name, .version = *version, .tag = ""});
}

Result<std::uint64_t> try_remove_template(const Context& context, const TemplateRef& ref) {
    const Result<Removal> removal = plan_removal(context, ref);
    if (!removal) return removal.error();
    std::uint64_t bytes = 0;
    for (const std::uint32_t version : removal->versions)
        bytes += bytes_freed_with(context.layout.version(ref.name, version));
    return bytes;
}

Result<void> remove_template(const Context& context, const TemplateRef& ref) {
    const Result<Removal> removal = plan_removal(context, ref);
    if (!removal) return removal.error();
    return with_ballast(context, [&] {
        return remove_object(context, Work::remove_template, removal->what, removal->path);
    });
}

}  // namespace cowtgt::store
