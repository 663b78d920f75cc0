#include <algorithm>
#include <iterator>
#include <optional>
#include <string>

#include "cow-store/identity/ext_journal.h"
#include "cow-store/identity/formats.h"
#include "cow-store/identity/gpt.h"
#include "cow-store/identity/identity.h"
#include "cow-store/identity/mbr.h"
#include "cow-store/identity/reference_plan.h"
#include "cow-store/identity/signatures.h"

namespace cowtgt::identity {

namespace {

Result<std::optional<PartitionTable>> examine_table(const Window& disk) {
    const Result<std::optional<Mbr>> mbr = read_mbr(disk);
    if (!mbr) return mbr.error();
    Result<std::optional<PartitionTable>> gpt = examine_gpt(disk, *mbr);
    if (!gpt || gpt->has_value() || !mbr->has_value()) return gpt;
    Result<PartitionTable> table = examine_mbr(disk, **mbr);
    if (!table) return std::move(table).error();
    return std::optional(*std::move(table));
}

Result<std::optional<Structure>> examine_content(const Window& window, const std::string& place) {
    Result<std::optional<Structure>> raid = examine_raid_member(window, place);
    if (!raid || raid->has_value()) return raid;
    for (const FileSystemFormat& format : file_system_formats()) {
        Result<std::optional<Structure>> found = format.examine(window, place);
        if (!found || found->has_value()) return found;
    }
    return examine_signatures(window, place);
}

/// Numbers of partitions that share a byte with another, as an MBR can say it by mistake.
std::vector<std::uint32_t> overlapping(const PartitionTable& table) {
    std::vector<Partition> partitions = table.partitions;
    std::ranges::copy(table.boot_records, std::back_inserter(partitions));
    std::ranges::sort(partitions, {}, &Partition::begin);
    std::vector<std::uint32_t> numbers;
    const Partition* furthest = nullptr;
    for (const Partition& one : partitions) {
        if (furthest != nullptr && one.begin < furthest->begin + furthest->length) {
            numbers.push_back(furthest->number);
            numbers.push_back(one.number);
        }
        if (furthest == nullptr || one.begin + one.length > furthest->begin + furthest->length) {
            furthest = &one;
        }
    }
    return numbers;
}

Result<void> examine_partitions(const BlockSource& image, const PartitionTable& table,
                                std::vector<Structure>& structures) {
    const std::vector<std::uint32_t> shared = overlapping(table);
    for (const Partition& partition : table.partitions) {
        const Window window(image, partition.begin, partition.length);
        Result<std::optional<Structure>> found =
            examine_content(window, "partition " + std::to_string(partition.number));
        if (!found) return std::move(found).error();
        if (!found->has_value()) continue;
        Structure structure = **std::move(found);
        if (std::ranges::find(shared, partition.number) != shared.end()) {
            structure = kept(std::move(structure),
                             "its partition overlaps another: repair the partition table");
        }
        structures.push_back(std::move(structure));
    }
    return {};
}

/// Which overrides are for this structure; each may be used once in all.
class Overrides {
public:
    explicit Overrides(const std::vector<Override>& wishes) : wishes_(wishes) {}

    Result<std::optional<std::string>> take(const Structure& structure) {
        std::optional<std::string> value;
        for (std::size_t i = 0; i < wishes_.size(); ++i) {
            const Override& wish = wishes_[i];
            const bool by_label = !structure.findings.empty() && !wish.target.empty() &&
                                  structure.findings.front().label == wish.target;
            if (wish.target != structure.where && !by_label) continue;
            if (value || std::ranges::find(used_, i) != used_.end()) {
                return Error{ErrorCode::usage, "\"" + wish.target +
                                                   "\" names more than one file system: use the "
                                                   "place, as \"" +
                                                   structure.where + "\""};
            }
            if (!structure.kept_because.empty()) {
                return Error{ErrorCode::refused,
                             structure.where + " cannot be changed: " + structure.kept_because};
            }
            used_.push_back(i);
            value = wish.value;
        }
        return value;
    }

    Result<void> all_used() const {
        for (std::size_t i = 0; i < wishes_.size(); ++i) {
            if (std::ranges::find(used_, i) != used_.end()) continue;
            return Error{ErrorCode::not_found,
                         "there is no file system \"" + wishes_[i].target + "\" in the image"};
        }
        return {};
    }

private:
    const std::vector<Override>& wishes_;
    std::vector<std::size_t> used_;
};

/// A file system that files name keeps its UUID; its label may still change on request.
Result<Patching> patch_named(PatchRequest request, const FileSystemFormat& format,
                             const std::string& reason) {
    const Structure& structure = request.structure;
    if (request.uuid) {
        return Error{ErrorCode::refused, structure.where + " cannot be changed: " + reason};
    }
    if (!request.label) return Patching{{}, kept(structure, reason).findings};
    request.uuid = structure.findings.front().old_value;
    Result<Patching> patching = format.patch(request);
    if (!patching) return patching;
    for (Finding& finding : patching->findings) {
        if (finding.kind == "fs-uuid") finding.kept_because = reason;
    }
    return patching;
}

/// Patches one structure; a reason to keep it becomes part of its findings.
Result<Patching> patch_structure(const PatchRequest& request) {
    const Structure& structure = request.structure;
    if (!structure.kept_because.empty()) {
        return Patching{{}, kept(structure, structure.kept_because).findings};
    }
    const bool grows = structure.format == "gpt" || structure.format == "mbr";
    if (request.choice.values == Values::as_in_image && !request.uuid && !request.label && !grows) {
        return Patching{{}, kept(structure, "it was asked to stay as it is").findings};
    }
    const FileSystemFormat* format = find_file_system_format(structure.format);
    if (format != nullptr && !structure.findings.empty()) {
        const std::string reason = request.plan.reason_to_keep(structure.findings.front());
        if (!reason.empty()) return patch_named(request, *format, reason);
    }
    Result<Patching> patching =
        structure.format == "gpt"   ? patch_gpt(request)
        : structure.format == "mbr" ? patch_mbr(request)
        : format != nullptr
            ? format->patch(request)
            : Error{ErrorCode::unsupported,
                    "the recipe names a format that this version does not know: import the image "
                    "again"};
    if (!patching && is_reason_to_keep(patching.error())) {
        if (request.uuid || request.label) {
            return Error{ErrorCode::refused,
                         structure.where + " cannot be changed: " + patching.error().message};
        }
        return Patching{{}, kept(structure, patching.error().message).findings};
    }
    return patching;
}

Result<void> check_request(const Recipe& recipe, const BlockSource& image,
                           const IdentityChoice& choice) {
    if (recipe.version == 0 || recipe.version > recipe_version) {
        return Error{ErrorCode::unsupported,
                     "the identity recipe is of version " + std::to_string(recipe.version) +
                         ", this program knows up to version " + std::to_string(recipe_version)};
    }
    if (recipe.block_size != 512 && recipe.block_size != 4096) {
        return Error{ErrorCode::corrupt, "the identity recipe has an impossible block size"};
    }
    if (choice.disk_size != 0 && choice.disk_size < image.size()) {
        return Error{ErrorCode::usage, "a disk cannot be smaller than the image it is cloned from"};
    }
    return {};
}

Result<void> sort_and_check(std::vector<Patch>& patches, std::uint64_t disk_size) {
    std::ranges::sort(patches, {}, &Patch::offset);
    std::uint64_t free_from = 0;
    for (const Patch& patch : patches) {
        const std::uint64_t size = patch.bytes.size();
        if (patch.offset < free_from || size > disk_size || patch.offset > disk_size - size) {
            return Error{ErrorCode::corrupt,
                         "the identity recipe changes byte " + std::to_string(patch.offset) +
                             " twice or past the end of the disk: import the image again"};
        }
        free_from = patch.offset + size;
    }
    return {};
}

}  // namespace

Result<Recipe> examine(const BlockSource& image) {
    Recipe recipe;
    recipe.disk_size = image.size();
    const Window disk(image, 0, image.size());
    Result<std::optional<PartitionTable>> table = examine_table(disk);
    if (!table) return std::move(table).error();
    if (table->has_value()) {
        recipe.block_size = (*table)->block_size;
        recipe.structures.push_back((*table)->structure);
        const Result<void> done = examine_partitions(image, **table, recipe.structures);
        if (!done) return done.error();
        return recipe;
    }
    Result<std::optional<Structure>> found = examine_content(disk, "the whole disk");
    if (!found) return std::move(found).error();
    if (found->has_value()) recipe.structures.push_back(**std::move(found));
    return recipe;
}

Result<Replay> replay_journals(const Recipe& recipe, const BlockSource& image) {
    Replay all;
    for (const Structure& structure : recipe.structures) {
        if (!structure.needs_replay) continue;
        Result<std::vector<Patch>> patches = replay_ext_journal(image, structure);
        if (!patches && !is_reason_to_keep(patches.error())) return std::move(patches).error();
        if (patches) {
            std::ranges::move(*patches, std::back_inserter(all.patches));
        } else {
            all.failures.push_back({structure.where, patches.error().message});
        }
    }
    std::ranges::sort(all.patches, {}, &Patch::offset);
    return all;
}

std::vector<Finding> findings_of(const Recipe& recipe) {
    std::vector<Finding> findings;
    for (const Structure& structure : recipe.structures) {
        findings.insert(findings.end(), structure.findings.begin(), structure.findings.end());
    }
    return findings;
}

Result<Patching> make_patches(const Recipe& recipe, const BlockSource& image,
                              const IdentityChoice& choice) {
    if (const Result<void> good = check_request(recipe, image, choice); !good) return good.error();
    const Result<ReferencePlan> plan = ReferencePlan::make(recipe, image, choice);
    if (!plan) return plan.error();
    Overrides labels(choice.labels);
    Overrides uuids(choice.uuids);
    Patching all;
    for (const Structure& structure : recipe.structures) {
        const bool is_file_system =
            find_file_system_format(structure.format) != nullptr || structure.format == "signature";
        std::optional<std::string> label;
        std::optional<std::string> uuid;
        if (is_file_system) {
            Result<std::optional<std::string>> label_wish = labels.take(structure);
            if (!label_wish) return label_wish.error();
            Result<std::optional<std::string>> uuid_wish = uuids.take(structure);
            if (!uuid_wish) return uuid_wish.error();
            label = *std::move(label_wish);
            uuid = *std::move(uuid_wish);
        }
        const Window window(image, structure.begin, structure.length);
        Result<Patching> one =
            patch_structure({structure, window, choice, recipe.block_size, uuid, label, *plan});
        if (!one) return one;
        std::ranges::move(one->patches, std::back_inserter(all.patches));
        std::ranges::move(one->findings, std::back_inserter(all.findings));
    }
    for (const Overrides* wishes : {&labels, &uuids}) {
        if (const Result<void> used = wishes->all_used(); !used) return used.error();
    }
    plan->rewrite(all);
    const Result<void> good = sort_and_check(all.patches, std::max(image.size(), choice.disk_size));
    if (!good) return good.error();
    return all;
}

}  // namespace cowtgt::identity
