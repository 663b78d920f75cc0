#include "cow-store/identity/gpt.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <string>

#include "cow-store/base/checksum.h"
#include "cow-store/base/endian.h"
#include "cow-store/identity/disk_text.h"
#include "cow-store/identity/formats.h"
#include "cow-store/identity/reference_plan.h"

namespace cowtgt::identity {

namespace {

/// UEFI 5.3.2.
struct GptHeader {
    std::array<std::byte, 8> signature;  ///< "EFI PART"
    le32 revision;                       ///< 0x00010000
    le32 header_size;                    ///< bytes; what header_crc32 covers, at least 92
    le32 header_crc32;                   ///< with this field 0
    le32 reserved;
    le64 my_lba;
    le64 alternate_lba;
    le64 first_usable_lba;
    le64 last_usable_lba;
    std::array<std::byte, 16> disk_guid;  ///< mixed endian
    le64 partition_entry_lba;
    le32 number_of_partition_entries;
    le32 size_of_partition_entry;  ///< bytes
    le32 partition_entry_array_crc32;
};
static_assert(sizeof(GptHeader) == 92 && alignof(GptHeader) == 1);
static_assert(offsetof(GptHeader, disk_guid) == 56);

/// UEFI 5.3.3.
struct GptEntry {
    std::array<std::byte, 16> partition_type_guid;  ///< nil: unused
    std::array<std::byte, 16> unique_partition_guid;
    le64 starting_lba;
    le64 ending_lba;  ///< the last one, included
    le64 attributes;
    std::array<std::byte, 72> partition_name;  ///< UTF-16LE
};
static_assert(sizeof(GptEntry) == 128 && alignof(GptEntry) == 1);

constexpr std::string_view gpt_signature = "EFI PART";
constexpr std::uint32_t gpt_revision_1 = 0x00010000;
constexpr std::uint64_t primary_lba = 1;
/// Of which logical block size there are disks.
constexpr std::array<std::uint32_t, 2> block_sizes = {512, 4096};

/// One of the two copies, with everything of it that was checked.
struct GptCopy {
    GptHeader header;
    std::vector<std::byte> header_bytes;  ///< header_size bytes
    std::vector<std::byte> entries;       ///< the whole array
};

struct UsedEntry {
    std::uint32_t number;  ///< from 1
    std::uint64_t offset;  ///< in the array, bytes
    GptEntry entry;
};

Error damaged(std::string_view copy, std::string_view what) {
    return {ErrorCode::corrupt, "the " + std::string(copy) + " GPT is damaged (" +
                                    std::string(what) + "): repair it with sgdisk or gdisk"};
}

std::uint64_t array_blocks(const GptHeader& header, std::uint32_t block_size) {
    const std::uint64_t bytes = std::uint64_t{header.number_of_partition_entries.get()} *
                                header.size_of_partition_entry.get();
    return round_up(bytes, block_size) / block_size;
}

std::uint32_t header_crc(Bytes header_bytes) {
    CHECK(header_bytes.size() >= sizeof(GptHeader));
    std::vector<std::byte> bytes(header_bytes.begin(), header_bytes.end());
    std::memset(bytes.data() + offsetof(GptHeader, header_crc32), 0, sizeof(le32));
    return crc32_ieee(bytes);
}

/// The copy at block `lba`, whose own numbers have been checked but not yet against the other.
Result<GptCopy> read_copy(const Window& disk, std::uint32_t block_size, std::uint64_t lba,
                          std::string_view name) {
    const std::uint64_t disk_blocks = disk.length() / block_size;
    if (lba >= disk_blocks) {
        return Error{ErrorCode::corrupt, "the " + std::string(name) +
                                             " GPT lies past the end of the image (cut off?): "
                                             "repair it with sgdisk -e"};
    }
    GptCopy copy;
    const Result<GptHeader> header = disk.read_struct<GptHeader>(lba * block_size);
    if (!header) return header.error();
    copy.header = *header;
    if (!std::ranges::equal(header->signature, bytes_of(gpt_signature))) {
        return damaged(name, "no signature");
    }
    if (header->revision.get() != gpt_revision_1) return damaged(name, "unknown revision");
    const std::uint32_t header_size = header->header_size.get();
    if (header_size < sizeof(GptHeader) || header_size > block_sizes[0]) {
        return damaged(name, "impossible header size");
    }
    Result<std::vector<std::byte>> bytes = disk.read_bytes(lba * block_size, header_size);
    if (!bytes) return bytes.error();
    copy.header_bytes = *std::move(bytes);
    if (header_crc(copy.header_bytes) != header->header_crc32.get()) {
        return damaged(name, "header checksum");
    }
    if (header->my_lba.get() != lba) return damaged(name, "it says that it lies elsewhere");

    const std::uint32_t entry_size = header->size_of_partition_entry.get();
    if (!is_power_of_two(entry_size) || entry_size < sizeof(GptEntry) ||
        entry_size > gpt_entry_size_max || header->number_of_partition_entries.get() == 0 ||
        header->number_of_partition_entries.get() > gpt_entries_max) {
        return damaged(name, "array of a size that is not supported");
    }
    const std::uint64_t entry_lba = header->partition_entry_lba.get();
    if (entry_lba < 2 || entry_lba >= disk_blocks ||
        array_blocks(*header, block_size) > disk_blocks - entry_lba) {
        return damaged(name, "array outside of the disk");
    }
    Result<std::vector<std::byte>> entries =
        disk.read_bytes(entry_lba * block_size,
                        std::uint64_t{entry_size} * header->number_of_partition_entries.get());
    if (!entries) return entries.error();
    copy.entries = *std::move(entries);
    if (crc32_ieee(copy.entries) != header->partition_entry_array_crc32.get()) {
        return damaged(name, "checksum of the partition entries");
    }
    return copy;
}

/// In the order of the array.
std::vector<UsedEntry> used_entries(const GptCopy& copy) {
    std::vector<UsedEntry> used;
    const std::uint32_t entry_size = copy.header.size_of_partition_entry.get();
    for (std::uint32_t i = 0; i < copy.header.number_of_partition_entries.get(); ++i) {
        UsedEntry one{.number = i + 1, .offset = std::uint64_t{i} * entry_size, .entry = {}};
        std::memcpy(&one.entry, copy.entries.data() + one.offset, sizeof(GptEntry));
        if (uuid_from_disk(one.entry.partition_type_guid).is_nil()) continue;
        used.push_back(one);
    }
    return used;
}

Result<GptCopy> read_primary(const Window& disk, std::uint32_t block_size) {
    Result<GptCopy> copy = read_copy(disk, block_size, primary_lba, "primary");
    if (!copy) return copy;
    const GptHeader& header = copy->header;
    const std::uint64_t last_usable = header.last_usable_lba.get();
    if (header.partition_entry_lba.get() + array_blocks(header, block_size) >
            header.first_usable_lba.get() ||
        header.first_usable_lba.get() > last_usable || last_usable >= disk.length() / block_size) {
        return damaged("primary", "impossible usable blocks");
    }
    std::vector<UsedEntry> used = used_entries(*copy);
    std::ranges::sort(used, {}, [](const UsedEntry& one) { return one.entry.starting_lba.get(); });
    std::uint64_t free_from = header.first_usable_lba.get();
    for (const UsedEntry& one : used) {
        const std::uint64_t first = one.entry.starting_lba.get();
        const std::uint64_t last = one.entry.ending_lba.get();
        if (first < free_from || first > last || last > last_usable) {
            return damaged("primary", "partition " + std::to_string(one.number) +
                                          " overlaps another or is outside of the usable blocks");
        }
        free_from = last + 1;
    }
    return copy;
}

Result<GptCopy> read_backup(const Window& disk, std::uint32_t block_size, const GptCopy& primary) {
    const std::uint64_t lba = primary.header.alternate_lba.get();
    Result<GptCopy> copy = read_copy(disk, block_size, lba, "backup");
    if (!copy) return copy;
    const GptHeader& ours = primary.header;
    const GptHeader& theirs = copy->header;
    if (theirs.alternate_lba.get() != primary_lba || theirs.disk_guid != ours.disk_guid ||
        theirs.header_size != ours.header_size ||
        theirs.first_usable_lba != ours.first_usable_lba ||
        theirs.last_usable_lba != ours.last_usable_lba ||
        theirs.number_of_partition_entries != ours.number_of_partition_entries ||
        theirs.size_of_partition_entry != ours.size_of_partition_entry ||
        copy->entries != primary.entries) {
        return Error{ErrorCode::corrupt,
                     "the primary and the backup GPT differ: repair them with sgdisk or gdisk"};
    }
    const std::uint64_t entry_lba = theirs.partition_entry_lba.get();
    if (entry_lba <= ours.last_usable_lba.get() ||
        entry_lba + array_blocks(theirs, block_size) > lba) {
        return damaged("backup", "its entries lie among the partitions");
    }
    return copy;
}

Structure structure_of(const Window& disk, std::uint32_t block_size, const GptCopy& primary) {
    Structure structure;
    structure.format = "gpt";
    structure.where = "gpt";
    structure.begin = disk.begin();
    structure.length = disk.length();
    const std::uint64_t array_length = primary.entries.size();
    const std::uint64_t header_size = primary.header_bytes.size();
    structure.places = {
        {.role = "header", .offset = block_size, .length = header_size, .number = 0},
        {.role = "entries",
         .offset = primary.header.partition_entry_lba.get() * block_size,
         .length = array_length,
         .number = 0},
    };
    structure.findings.push_back(
        {.where = "gpt",
         .kind = "disk-guid",
         .label = {},
         .old_value = to_string(swap_mixed_endian(uuid_from_disk(primary.header.disk_guid))),
         .new_value = {},
         .kept_because = {},
         .note = {}});
    for (const UsedEntry& one : used_entries(primary)) {
        structure.findings.push_back({.where = "partition " + std::to_string(one.number),
                                      .kind = "partition-guid",
                                      .label = text_from_utf16(one.entry.partition_name),
                                      .old_value = to_string(swap_mixed_endian(
                                          uuid_from_disk(one.entry.unique_partition_guid))),
                                      .new_value = {},
                                      .kept_because = {},
                                      .note = {}});
    }
    return structure;
}

void append_backup_places(Structure& structure, std::uint32_t block_size, const GptCopy& backup) {
    structure.places.push_back({.role = "header",
                                .offset = backup.header.my_lba.get() * block_size,
                                .length = backup.header_bytes.size(),
                                .number = 1});
    structure.places.push_back({.role = "entries",
                                .offset = backup.header.partition_entry_lba.get() * block_size,
                                .length = backup.entries.size(),
                                .number = 1});
}

Result<bool> has_signature(const Window& disk, std::uint64_t offset) {
    if (!disk.contains(offset, gpt_signature.size())) return false;
    const auto found = disk.read_bytes(offset, gpt_signature.size());
    if (!found) return found.error();
    return std::ranges::equal(*found, bytes_of(gpt_signature));
}

/// By the header in block 1, else by the one in the last block: a damaged table is still a table.
Result<std::optional<std::uint32_t>> find_block_size(const Window& disk) {
    std::optional<std::uint32_t> by_signature;
    for (const std::uint32_t block_size : block_sizes) {
        const Result<bool> found = has_signature(disk, block_size);
        if (!found) return found.error();
        if (!*found) continue;
        const Result<GptCopy> primary = read_primary(disk, block_size);
        if (primary) return std::optional(block_size);
        if (!is_reason_to_keep(primary.error())) return primary.error();
        if (!by_signature) by_signature = block_size;
    }
    for (const std::uint32_t block_size : block_sizes) {
        if (by_signature || disk.length() < 2 * block_size) continue;
        const std::uint64_t last_lba = disk.length() / block_size - 1;
        const Result<bool> found = has_signature(disk, last_lba * block_size);
        if (!found) return found.error();
        if (*found) by_signature = block_size;
    }
    return by_signature;
}

Structure kept_without_table(const Window& disk, const std::string& reason) {
    Structure structure;
    structure.format = "gpt";
    structure.where = "gpt";
    structure.begin = disk.begin();
    structure.length = disk.length();
    structure.findings.push_back({.where = "gpt",
                                  .kind = "disk-guid",
                                  .label = {},
                                  .old_value = {},
                                  .new_value = {},
                                  .kept_because = {},
                                  .note = {}});
    return kept(std::move(structure), reason);
}

template <typename T>
Patch patch_of(std::uint64_t offset, const T& bytes) {
    const auto raw = std::as_bytes(std::span(bytes));
    return {offset, std::vector<std::byte>(raw.begin(), raw.end())};
}

/// The header with its checksum, over the bytes it had (a header may be longer than we know).
std::vector<std::byte> sealed(const GptHeader& header, std::vector<std::byte> bytes) {
    std::memcpy(bytes.data(), &header, sizeof(header));
    const le32 crc = header_crc(bytes);
    std::memcpy(bytes.data() + offsetof(GptHeader, header_crc32), &crc, sizeof(crc));
    return bytes;
}

/// Both copies as they will be, and what that takes.
class GptPatch {
public:
    GptPatch(const PatchRequest& request, GptCopy primary, GptCopy backup)
        : request_(request), primary_(std::move(primary)), backup_(std::move(backup)) {}

    Result<Patching> make(std::vector<Finding> findings) {
        used_ = used_entries(primary_);
        CHECK(findings.size() == used_.size() + 1);
        const bool keeps_guids = request_.choice.values == Values::as_in_image;
        if (keeps_guids) {
            for (Finding& finding : findings)
                finding = changed(finding, finding.old_value);
        } else {
            change_guids(findings);
        }
        const std::uint64_t last_lba =
            std::max(request_.choice.disk_size, request_.window.length()) / request_.block_size - 1;
        const bool moves = last_lba > backup_.header.my_lba.get();
        if (keeps_guids && !moves) return Patching{{}, std::move(findings)};
        const std::optional<std::uint32_t> grown = moves ? grow(last_lba) : std::nullopt;
        seal_entries();
        if (moves) {
            const Result<void> done = move_backup(last_lba);
            if (!done) return done.error();
        } else {
            append_entry_patches(backup_.header);
        }
        append_entry_patches(primary_.header);
        append_header(primary_);
        append_header(backup_);
        if (moves) findings.front().note = "the backup GPT moved to the new end of the disk";
        if (grown) {
            findings.front().note += ", and partition " + std::to_string(*grown) +
                                     " ends there: its file system grows in the machine (growfs)";
        }
        return Patching{std::move(patches_), std::move(findings)};
    }

private:
    void change_guids(std::vector<Finding>& findings) {
        const auto new_guid = [&](Finding& finding, std::array<std::byte, 16>& field) {
            finding.kept_because = request_.plan.reason_to_keep(finding);
            if (!finding.kept_because.empty()) return;
            const Uuid guid = derived_uuid(request_.choice, finding.where, finding.kind);
            finding.new_value = to_string(guid);
            const Uuid mixed = swap_mixed_endian(guid);
            std::memcpy(field.data(), mixed.bytes.data(), field.size());
        };
        new_guid(findings.front(), primary_.header.disk_guid);
        for (std::size_t i = 0; i < used_.size(); ++i) {
            new_guid(findings[i + 1], used_[i].entry.unique_partition_guid);
        }
        backup_.header.disk_guid = primary_.header.disk_guid;
    }

    /// The last partition ends where the usable blocks will, at a whole MiB. Its number, if it
    /// does become larger.
    std::optional<std::uint32_t> grow(std::uint64_t last_lba) {
        if (request_.choice.growth != Growth::last_partition || used_.empty()) return std::nullopt;
        constexpr std::uint64_t alignment = std::uint64_t{1} << 20;  ///< bytes
        const std::uint64_t usable_end =
            last_lba - array_blocks(backup_.header, request_.block_size);
        const std::uint64_t end =
            round_down(usable_end * request_.block_size, alignment) / request_.block_size;
        const auto last = std::ranges::max_element(
            used_, {}, [](const UsedEntry& one) { return one.entry.starting_lba.get(); });
        if (end <= last->entry.ending_lba.get() + 1) return std::nullopt;
        last->entry.ending_lba = end - 1;
        return last->number;
    }

    void seal_entries() {
        for (const UsedEntry& one : used_)
            std::memcpy(primary_.entries.data() + one.offset, &one.entry, sizeof(GptEntry));
        const le32 crc = crc32_ieee(primary_.entries);
        primary_.header.partition_entry_array_crc32 = crc;
        backup_.header.partition_entry_array_crc32 = crc;
    }

    Result<void> move_backup(std::uint64_t last_lba) {
        const std::uint64_t block_size = request_.block_size;
        const std::uint64_t old_lba = backup_.header.my_lba.get();
        const std::uint64_t entry_lba =
            last_lba - array_blocks(backup_.header, request_.block_size);
        backup_.header.my_lba = last_lba;
        backup_.header.partition_entry_lba = entry_lba;
        primary_.header.alternate_lba = last_lba;
        for (GptCopy* copy : {&primary_, &backup_})
            copy->header.last_usable_lba = entry_lba - 1;
        patches_.push_back(patch_of(entry_lba * block_size, primary_.entries));
        // A header in the middle of the disk would be found by recovery tools; the new one may
        // already lie over it.
        if (old_lba < entry_lba) {
            patches_.push_back(patch_of(old_lba * block_size,
                                        std::vector<std::byte>(backup_.header_bytes.size())));
        }
        return resize_protective_mbr(last_lba);
    }

    /// UEFI 5.2.3: the size in blocks without block 0, or all ones when it does not fit.
    Result<void> resize_protective_mbr(std::uint64_t last_lba) {
        const Result<Mbr> mbr = request_.window.read_struct<Mbr>(0);
        if (!mbr) return mbr.error();
        std::size_t used = 0;
        for (const MbrEntry& entry : mbr->entries)
            used += entry.type != 0;
        if (used != 1) return {};  // a hybrid MBR says what its owner wants it to say
        for (std::size_t i = 0; i < mbr->entries.size(); ++i) {
            if (mbr->entries[i].type != mbr_type_gpt_protective) continue;
            const std::array<le32, 1> size = {
                static_cast<std::uint32_t>(std::min<std::uint64_t>(last_lba, 0xffffffffU))};
            patches_.push_back(patch_of(
                offsetof(Mbr, entries) + i * sizeof(MbrEntry) + offsetof(MbrEntry, block_count),
                size));
        }
        return {};
    }

    void append_entry_patches(const GptHeader& header) {
        const std::uint64_t array = header.partition_entry_lba.get() * request_.block_size;
        constexpr std::size_t begin = offsetof(GptEntry, unique_partition_guid);
        constexpr std::size_t end = offsetof(GptEntry, attributes);
        for (const UsedEntry& one : used_) {
            const Bytes fields = bytes_of_struct(one.entry).subspan(begin, end - begin);
            patches_.push_back(patch_of(array + one.offset + begin, fields));
        }
    }

    void append_header(const GptCopy& copy) {
        patches_.push_back(patch_of(copy.header.my_lba.get() * request_.block_size,
                                    sealed(copy.header, copy.header_bytes)));
    }

    const PatchRequest& request_;
    GptCopy primary_;
    GptCopy backup_;
    std::vector<UsedEntry> used_;
    std::vector<Patch> patches_;
};

}  // namespace

Result<std::optional<PartitionTable>> examine_gpt(const Window& disk,
                                                  const std::optional<Mbr>& mbr) {
    const bool has_protective_mbr = mbr.has_value() && is_protective(*mbr);
    // An MBR with partitions of its own is what the kernel goes by; an old GPT may lie behind it.
    if (mbr.has_value() && !has_protective_mbr) return std::optional<PartitionTable>();
    const Result<std::optional<std::uint32_t>> block_size = find_block_size(disk);
    if (!block_size) return block_size.error();
    if (!block_size->has_value() && !has_protective_mbr) return std::optional<PartitionTable>();

    PartitionTable table;
    table.block_size = block_size->value_or(table.block_size);
    Result<GptCopy> primary = read_primary(disk, table.block_size);
    if (!primary) {
        if (!is_reason_to_keep(primary.error())) return primary.error();
        table.structure = kept_without_table(disk, primary.error().message);
        return std::optional(std::move(table));
    }
    table.structure = structure_of(disk, table.block_size, *primary);
    if (!has_protective_mbr) {
        table.structure = kept(std::move(table.structure),
                               "there is a GPT, but no protective MBR in front of it: repair it "
                               "with sgdisk or gdisk");
        return std::optional(std::move(table));
    }
    for (const UsedEntry& one : used_entries(*primary)) {
        const std::uint64_t first = one.entry.starting_lba.get();
        const std::uint64_t count = one.entry.ending_lba.get() - first + 1;
        table.partitions.push_back({.number = one.number,
                                    .begin = first * table.block_size,
                                    .length = count * table.block_size});
    }
    const Result<GptCopy> backup = read_backup(disk, table.block_size, *primary);
    if (backup) {
        append_backup_places(table.structure, table.block_size, *backup);
    } else {
        if (!is_reason_to_keep(backup.error())) return backup.error();
        table.structure = kept(std::move(table.structure), backup.error().message);
    }
    return std::optional(std::move(table));
}

Result<Patching> patch_gpt(const PatchRequest& request) {
    Result<GptCopy> primary = read_primary(request.window, request.block_size);
    if (!primary) return primary.error();
    Result<GptCopy> backup = read_backup(request.window, request.block_size, *primary);
    if (!backup) return backup.error();
    Structure now = structure_of(request.window, request.block_size, *primary);
    append_backup_places(now, request.block_size, *backup);
    if (Result<void> same = check_places(request.structure, now.places); !same) {
        return same.error();
    }
    return GptPatch(request, *std::move(primary), *std::move(backup)).make(std::move(now.findings));
}

}  // namespace cowtgt::identity
