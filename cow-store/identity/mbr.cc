#include "cow-store/identity/mbr.h"

#include <algorithm>
#include <string>

#include "cow-store/identity/reference_plan.h"

namespace cowtgt::identity {

namespace {

constexpr std::uint64_t sector_size = 512;
/// Links of a chain of extended boot records that are followed; it may be a circle.
constexpr std::uint32_t logical_partitions_max = 128;
constexpr std::uint32_t first_logical_number = 5;

bool is_extended(std::uint8_t type) {
    return type == 0x05 || type == 0x0f || type == 0x85;
}

bool is_plausible(const MbrEntry& entry) {
    if (entry.status != 0 && entry.status != 0x80) return false;
    return entry.type == 0 || (entry.first_lba.get() != 0 && entry.block_count.get() != 0);
}

std::string hex8(std::uint32_t value) {
    constexpr std::string_view digits = "0123456789abcdef";
    std::string text(8, '0');
    for (std::size_t i = 0; i < text.size(); ++i) {
        text[i] = digits[value >> (28 - 4 * i) & 0xf];
    }
    return text;
}

Result<void> append_logical_partitions(const Window& disk, std::uint64_t extended_begin,
                                       PartitionTable& into) {
    std::uint64_t record = extended_begin;
    for (std::uint32_t i = 0; i < logical_partitions_max; ++i) {
        if (!disk.contains(record, sizeof(Mbr))) return {};
        const Result<Mbr> table = disk.read_struct<Mbr>(record);
        if (!table) return table.error();
        if (table->magic.get() != mbr_magic) return {};
        into.boot_records.push_back({.number = 0, .begin = record, .length = sizeof(Mbr)});
        // The first entry counts from its own record, the link from the extended partition.
        const MbrEntry& logical = table->entries[0];
        if (logical.type != 0 && is_plausible(logical)) {
            into.partitions.push_back({.number = first_logical_number + i,
                                       .begin = record + logical.first_lba.get() * sector_size,
                                       .length = logical.block_count.get() * sector_size});
        }
        const MbrEntry& link = table->entries[1];
        if (!is_extended(link.type) || link.first_lba.get() == 0) return {};
        record = extended_begin + link.first_lba.get() * sector_size;
    }
    return {};
}

Structure structure_of(const Window& disk, const Mbr& mbr) {
    Structure structure;
    structure.format = "mbr";
    structure.where = "mbr";
    structure.begin = disk.begin();
    structure.length = disk.length();
    structure.places.push_back({.role = "sector", .offset = 0, .length = sizeof(Mbr), .number = 0});
    Finding finding;
    finding.where = structure.where;
    finding.kind = "disk-signature";
    finding.old_value = hex8(mbr.disk_signature.get());
    structure.findings.push_back(finding);
    if (mbr.disk_signature.get() == 0) {
        return kept(structure, "the disk has no signature, so nothing can refer to it");
    }
    return structure;
}

/// The last partition ends at the last whole MiB of the disk, if it is a primary one.
void append_growth(const PatchRequest& request, const Mbr& mbr, Patching& patching) {
    constexpr std::uint64_t alignment = std::uint64_t{1} << 20;  ///< bytes
    const std::uint64_t end = round_down(request.choice.disk_size, alignment) / sector_size;
    const auto last = std::ranges::max_element(
        mbr.entries, {}, [](const MbrEntry& entry) { return entry.first_lba.get(); });
    const std::uint64_t first = last->first_lba.get();
    if (last->type == 0 || is_extended(last->type) || end <= first + last->block_count.get()) {
        return;
    }
    const le32 count = static_cast<std::uint32_t>(std::min<std::uint64_t>(end - first, UINT32_MAX));
    const auto index = static_cast<std::size_t>(last - mbr.entries.begin());
    patching.patches.push_back(patch_at(
        request.window,
        offsetof(Mbr, entries) + index * sizeof(MbrEntry) + offsetof(MbrEntry, block_count),
        bytes_of_struct(count)));
}

}  // namespace

bool is_protective(const Mbr& mbr) {
    return std::ranges::any_of(
        mbr.entries, [](const MbrEntry& entry) { return entry.type == mbr_type_gpt_protective; });
}

Result<std::optional<Mbr>> read_mbr(const Window& disk) {
    if (!disk.contains(0, sizeof(Mbr))) return std::optional<Mbr>();
    const Result<Mbr> mbr = disk.read_struct<Mbr>(0);
    if (!mbr) return mbr.error();
    const bool any_used =
        std::ranges::any_of(mbr->entries, [](const MbrEntry& entry) { return entry.type != 0; });
    const bool is_table = mbr->magic.get() == mbr_magic && any_used &&
                          std::ranges::all_of(mbr->entries, is_plausible);
    return is_table ? std::optional(*mbr) : std::nullopt;
}

Result<PartitionTable> examine_mbr(const Window& disk, const Mbr& mbr) {
    PartitionTable table{
        .structure = structure_of(disk, mbr), .partitions = {}, .boot_records = {}};
    for (std::uint32_t i = 0; i < mbr.entries.size(); ++i) {
        const MbrEntry& entry = mbr.entries[i];
        if (entry.type == 0) continue;
        const std::uint64_t begin = entry.first_lba.get() * sector_size;
        if (!is_extended(entry.type)) {
            table.partitions.push_back(
                {.number = i + 1, .begin = begin, .length = entry.block_count.get() * sector_size});
            continue;
        }
        const Result<void> done = append_logical_partitions(disk, begin, table);
        if (!done) return done.error();
    }
    return table;
}

Result<Patching> patch_mbr(const PatchRequest& request) {
    const Result<std::optional<Mbr>> mbr = read_mbr(request.window);
    if (!mbr) return mbr.error();
    if (!mbr->has_value() || is_protective(**mbr)) {
        return Error{ErrorCode::corrupt, "the disk has no MBR partition table any more"};
    }
    Structure structure = structure_of(request.window, **mbr);
    if (!structure.kept_because.empty()) {
        return Error{ErrorCode::refused, structure.kept_because};
    }
    if (Result<void> same = check_places(request.structure, structure.places); !same) {
        return same.error();
    }
    Patching patching;
    if (request.choice.growth == Growth::last_partition) append_growth(request, **mbr, patching);
    Finding& finding = structure.findings.front();
    if (request.choice.values == Values::as_in_image) {
        patching.findings.push_back(changed(finding, finding.old_value));
        return patching;
    }
    finding.kept_because = request.plan.reason_to_keep(finding);
    if (!finding.kept_because.empty()) {
        patching.findings.push_back(finding);
        return patching;
    }
    const Uuid random = derived_uuid(request.choice, finding.where, finding.kind);
    le32 signature;
    std::copy_n(random.bytes.begin(), sizeof(signature),
                reinterpret_cast<std::uint8_t*>(&signature));
    if (signature.get() == 0) signature = 1;  // 0 means that there is none
    finding.new_value = hex8(signature.get());
    finding.note = "PARTUUID= of its partitions changes with it";

    patching.patches.push_back(
        patch_at(request.window, offsetof(Mbr, disk_signature), bytes_of_struct(signature)));
    patching.findings = std::move(structure.findings);
    return patching;
}

}  // namespace cowtgt::identity
