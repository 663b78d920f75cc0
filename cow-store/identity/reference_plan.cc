#include "cow-store/identity/reference_plan.h"

#include <algorithm>

#include "cow-store/identity/formats.h"
#include "cow-store/identity/window.h"

namespace cowtgt::identity {

namespace {

using namespace std::string_view_literals;

constexpr std::size_t files_named_max = 3;  ///< in one sentence
constexpr auto escaped_dash = "\\x2d"sv;
constexpr std::string_view remedy =
    "; mount by label, or clone with --rewrite-references=ignore if nothing goes by it";

constexpr std::string_view remedy_of_reader =
    "; or clone with --rewrite-references=ignore if machines are given their kernel";

char to_lower(char c) {
    return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
}
char to_upper(char c) {
    return c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c;
}

/// No link below /dev/disk/by-uuid and no fstab goes by a physical volume; its group does, in the
/// structure itself, and older versions of that may lie beside it.
bool is_lvm2_id(std::string_view value) {
    constexpr std::size_t lvm2_id_length = 38;  // 32 letters and digits in seven groups
    return value.size() == lvm2_id_length;
}

bool equal_without_case(std::string_view a, std::string_view b) {
    return std::ranges::equal(a, b, {}, to_lower, to_lower);
}

std::string with_each(std::string text, std::string_view from, std::string_view to) {
    for (std::size_t at = text.find(from); at != std::string::npos;
         at = text.find(from, at + to.size())) {
        text.replace(at, from.size(), to);
    }
    return text;
}

std::string without_escapes(std::string_view text) {
    return with_each(std::string(text), escaped_dash, "-");
}

/// The new value as the old text was written: in capital letters only where that had no others.
std::string in_case_of(std::string_view old_text, std::string text) {
    const bool has_small = std::ranges::any_of(old_text, [](char c) { return c >= 'a'; });
    const bool has_capital =
        std::ranges::any_of(old_text, [](char c) { return c >= 'A' && c <= 'Z'; });
    if (has_small == has_capital) return text;
    std::ranges::transform(text, text.begin(), has_small ? to_lower : to_upper);
    return text;
}

/// The new value in place of the old text, as long as that.
std::string written_like(std::string_view old_text, const std::string& value) {
    std::string text = in_case_of(without_escapes(old_text), value);
    const bool is_escaped = old_text.find(escaped_dash) != std::string_view::npos;
    if (is_escaped) text = with_each(std::move(text), "-", escaped_dash);
    CHECK(text.size() == old_text.size());
    return text;
}

std::string name_of(const Reference& reference) {
    const std::string& where = reference.where;
    if (reference.file.empty()) return where.empty() ? "the disk outside of file systems" : where;
    return reference.file + " (" + where + ")";
}

/// "/etc/fstab (ext4 on partition 1), ... and 4 more", each once.
std::string names_of(const std::vector<const Reference*>& references) {
    std::vector<std::string> names;
    for (const Reference* reference : references) {
        std::string name = name_of(*reference);
        if (std::ranges::find(names, name) == names.end()) names.push_back(std::move(name));
    }
    std::string text;
    for (std::size_t i = 0; i < std::min(names.size(), files_named_max); ++i)
        text += (i == 0 ? "" : ", ") + names[i];
    if (names.size() > files_named_max)
        text += " and " + std::to_string(names.size() - files_named_max) + " more";
    return text;
}

void append_note(std::string& note, const std::string& more) {
    note += (note.empty() ? "" : "; ") + more;
}

}  // namespace

std::string value_named_by(std::string_view text) {
    std::string value = without_escapes(text);
    std::ranges::transform(value, value.begin(), to_lower);
    return value;
}

bool can_be_named(const Finding& finding) {
    return !finding.old_value.empty() && !is_lvm2_id(finding.old_value) &&
           (finding.kind == "fs-uuid" || finding.kind == "partition-guid" ||
            finding.kind == "disk-guid" || finding.kind == "disk-signature");
}

Result<ReferencePlan> ReferencePlan::make(const Recipe& recipe, const BlockSource& image,
                                          const IdentityChoice& choice) {
    ReferencePlan plan(recipe, choice.references);
    for (const Reference& reference : recipe.references) {
        Entry entry{&reference, false};
        if (reference.kind == ReferenceKind::rewritable) {
            const Window disk(image, 0, image.size());
            const auto now = disk.read_bytes(reference.offset, reference.text.size());
            if (!now && !is_reason_to_keep(now.error())) return now.error();
            entry.is_as_found = now && text_of(*now) == reference.text;
        }
        plan.entries_.push_back(entry);
    }
    return plan;
}

ReferencePlan ReferencePlan::expected(const Recipe& recipe, References wish) {
    ReferencePlan plan(recipe, wish);
    for (const Reference& reference : recipe.references)
        plan.entries_.push_back({&reference, reference.kind == ReferenceKind::rewritable});
    return plan;
}

std::vector<ReferencePlan::Entry> ReferencePlan::naming(const Finding& finding) const {
    std::vector<Entry> found;
    if (!can_be_named(finding)) return found;
    const std::string value = value_named_by(finding.old_value);
    std::ranges::copy_if(entries_, std::back_inserter(found), [&](const Entry& entry) {
        return value_named_by(entry.reference->text) == value;
    });
    return found;
}

/// With two owners of a value nobody knows whom a text means.
bool ReferencePlan::is_shared(const Finding& finding) const {
    std::size_t owners = 0;
    for (const Structure& structure : recipe_.structures) {
        for (const Finding& one : structure.findings)
            owners += can_be_named(one) && equal_without_case(one.old_value, finding.old_value);
    }
    return owners > 1;
}

std::string ReferencePlan::reason_to_keep(const Finding& finding) const {
    if (wish_ == References::ignore || !can_be_named(finding)) return "";
    std::vector<const Reference*> blocking;
    std::vector<const Reference*> rewritable;
    std::string why;
    for (const auto& [reference, is_as_found] : naming(finding)) {
        if (reference->kind == ReferenceKind::history) continue;
        if (reference->kind == ReferenceKind::reader) {
            return "the boot loader in " + name_of(*reference) +
                   " could not read it any more: " + reference->reason +
                   std::string(remedy_of_reader);
        }
        if (reference->kind == ReferenceKind::rewritable && is_as_found) {
            rewritable.push_back(reference);
            continue;
        }
        if (why.empty()) {
            why = reference->kind == ReferenceKind::fixed ? reference->reason
                                                          : "it has changed since it was found";
        }
        blocking.push_back(reference);
    }
    if (!blocking.empty()) {
        return "it is named in " + names_of(blocking) + ", which cannot be rewritten: " + why +
               std::string(remedy);
    }
    if (!rewritable.empty() && is_shared(finding)) {
        return "it is named in " + names_of(rewritable) +
               ", and two of the disk's parts have it: give one of them another in the template";
    }
    if (!rewritable.empty() && wish_ == References::keep) {
        return "it is named in " + names_of(rewritable) +
               ", which was not to be rewritten: see --rewrite-references";
    }
    if (finding.kind != "fs-uuid") return "";
    for (const Unsearchable& one : recipe_.unsearchable) {
        if (one.where == finding.where && !one.names_itself) continue;
        return "files of " + one.where + " may name it and cannot be searched: " + one.reason +
               std::string(remedy);
    }
    return "";
}

void ReferencePlan::rewrite(Patching& patching) const {
    for (Finding& finding : patching.findings) {
        if (finding.new_value.empty()) continue;
        std::vector<const Reference*> rewritten;
        std::vector<const Reference*> left;
        for (const auto& [reference, is_as_found] : naming(finding)) {
            if (reference->kind == ReferenceKind::history ||
                reference->kind == ReferenceKind::reader) {
                continue;
            }
            if (wish_ == References::ignore || !is_as_found) {
                left.push_back(reference);
                continue;
            }
            const std::string text = written_like(reference->text, finding.new_value);
            const Bytes bytes = bytes_of(text);
            patching.patches.push_back({reference->offset, {bytes.begin(), bytes.end()}});
            rewritten.push_back(reference);
        }
        if (!rewritten.empty()) append_note(finding.note, "rewritten in " + names_of(rewritten));
        if (!left.empty()) append_note(finding.note, "the old one stays in " + names_of(left));
    }
}

}  // namespace cowtgt::identity
