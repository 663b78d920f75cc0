#include "cow-store/identity/fat.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <vector>

#include "cow-store/base/endian.h"
#include "cow-store/identity/disk_text.h"

namespace cowtgt::identity {

namespace {

/// The BIOS parameter block, with the names of Microsoft's "FAT: General Overview".
struct BootSector {
    std::array<std::byte, 3> jump;
    std::array<std::byte, 8> oem_name;
    le16 bytes_per_sector;
    std::uint8_t sectors_per_cluster;
    le16 reserved_sectors;
    std::uint8_t fat_count;
    le16 root_entries;      ///< 0 on FAT32
    le16 total_sectors_16;  ///< 0: see total_sectors_32
    std::uint8_t media;
    le16 fat_sectors_16;  ///< 0 on FAT32
    le16 sectors_per_track;
    le16 heads;
    le32 hidden_sectors;
    le32 total_sectors_32;
    // Only on FAT32:
    le32 fat_sectors_32;
    le16 extended_flags;
    le16 version;
    le32 root_cluster;
    le16 info_sector;
    le16 backup_sector;
    std::array<std::byte, 12> reserved_34;
};
static_assert(sizeof(BootSector) == 64 && alignof(BootSector) == 1);
static_assert(offsetof(BootSector, fat_sectors_32) == 36);

/// Behind the parameter block of either kind.
struct ExtendedFields {
    std::uint8_t drive;
    std::uint8_t flags;      ///< bit 0: not unmounted cleanly
    std::uint8_t signature;  ///< 0x29: the fields below are there
    le32 serial;
    std::array<std::byte, 11> label;  ///< padded with blanks
    std::array<std::byte, 8> type;    ///< "FAT32   "
};
static_assert(sizeof(ExtendedFields) == 26 && alignof(ExtendedFields) == 1);

struct DirectoryEntry {
    std::array<std::byte, 11> name;
    std::uint8_t attributes;
    std::array<std::byte, 20> rest;
};
static_assert(sizeof(DirectoryEntry) == 32 && alignof(DirectoryEntry) == 1);

constexpr std::uint64_t offset_of_small_fields = 36;  ///< of FAT12 and FAT16
constexpr std::uint64_t offset_of_large_fields = 64;  ///< of FAT32
constexpr std::uint64_t boot_magic_offset = 510;
constexpr std::uint16_t boot_magic = 0xaa55;
constexpr std::uint8_t extended_signature = 0x29;
constexpr std::uint16_t no_backup = 0xffff;
constexpr std::uint64_t directory_size_max = std::uint64_t{2} << 20;  ///< bytes: 65536 entries
constexpr std::uint32_t cluster_mask = 0x0fffffff;
constexpr std::uint32_t last_cluster_from = 0x0ffffff8;
constexpr std::byte deleted{0xe5};
constexpr std::byte never_used{0};
constexpr std::string_view no_name = "NO NAME    ";

struct Run {
    std::uint64_t offset;  ///< bytes from the start of the window
    std::uint64_t length;  ///< bytes
};

/// Where things lie, as far as the numbers have been checked.
struct Volume {
    BootSector boot;
    ExtendedFields fields;
    std::uint64_t fields_offset;  ///< bytes, in each boot sector
    std::uint64_t sector_size;    ///< bytes
    std::uint64_t cluster_bytes;
    std::uint64_t fat_begin;   ///< bytes; of the one in use
    std::uint64_t data_begin;  ///< bytes; of cluster 2
    std::uint64_t cluster_count;
    std::optional<std::uint64_t> backup;  ///< bytes; of the second boot sector

    bool is_fat32() const { return fields_offset == offset_of_large_fields; }
};

/// The label in the root directory, and where one could be put.
struct LabelSlot {
    std::optional<std::uint64_t> used;  ///< bytes from the start of the window
    std::optional<std::uint64_t> free;
    DirectoryEntry entry;  ///< of `used`
};

struct FatFileSystem {
    Volume volume;
    LabelSlot slot;
};

Error damaged(std::string_view what) {
    return {ErrorCode::corrupt,
            "its boot sector is damaged (" + std::string(what) + "): run fsck.fat on it"};
}

std::optional<ExtendedFields> fields_at(Bytes sector, std::uint64_t offset) {
    ExtendedFields fields;
    std::memcpy(&fields, sector.data() + offset, sizeof(fields));
    if (!std::ranges::equal(Bytes(fields.type).first(3), bytes_of("FAT"))) return std::nullopt;
    return fields;
}

/// By the text that says so: the other fields of a boot sector may be anybody's.
std::optional<std::uint64_t> fields_offset_of(Bytes sector) {
    const bool is_fat32 = fields_at(sector, offset_of_large_fields).has_value();
    if (is_fat32) return offset_of_large_fields;
    if (fields_at(sector, offset_of_small_fields)) return offset_of_small_fields;
    return std::nullopt;
}

Result<void> check_numbers(const Window& window, Volume& volume) {
    const BootSector& boot = volume.boot;
    volume.sector_size = boot.bytes_per_sector.get();
    const std::uint64_t per_cluster = boot.sectors_per_cluster;
    if (!is_power_of_two(volume.sector_size) || volume.sector_size < 512 ||
        volume.sector_size > 4096) {
        return damaged("sector size");
    }
    if (!is_power_of_two(per_cluster)) return damaged("cluster size");
    const bool is_fat32 = boot.fat_sectors_16.get() == 0;
    if (is_fat32 != volume.is_fat32()) return damaged("two kinds of FAT at once");
    const std::uint64_t fat_sectors =
        is_fat32 ? boot.fat_sectors_32.get() : boot.fat_sectors_16.get();
    const std::uint64_t total = boot.total_sectors_16.get() != 0 ? boot.total_sectors_16.get()
                                                                 : boot.total_sectors_32.get();
    const std::uint64_t reserved = boot.reserved_sectors.get();
    const std::uint64_t root_bytes =
        std::uint64_t{boot.root_entries.get()} * sizeof(DirectoryEntry);
    const std::uint64_t root_sectors = (root_bytes + volume.sector_size - 1) / volume.sector_size;
    if (reserved == 0 || boot.fat_count == 0 || boot.fat_count > 2 || fat_sectors == 0 ||
        (is_fat32 ? root_bytes != 0 : root_bytes == 0)) {
        return damaged("number of sectors");
    }
    const std::uint64_t data = reserved + boot.fat_count * fat_sectors + root_sectors;
    if (total <= data) return damaged("number of sectors");
    if (total > window.length() / volume.sector_size) {
        return Error{ErrorCode::corrupt,
                     "it is larger than the space it lies in (was the image cut off?)"};
    }
    volume.cluster_bytes = per_cluster * volume.sector_size;
    volume.cluster_count = (total - data) / per_cluster;
    volume.data_begin = data * volume.sector_size;
    volume.fat_begin = reserved * volume.sector_size;
    if (!is_fat32) return {};
    constexpr std::uint16_t one_fat_only = 0x80;
    const std::uint16_t flags = boot.extended_flags.get();
    const std::uint64_t active = (flags & one_fat_only) != 0 ? flags & 0xfU : 0;
    if (active >= boot.fat_count || boot.version.get() != 0) return damaged("extended flags");
    volume.fat_begin += active * fat_sectors * volume.sector_size;
    if (volume.cluster_count * sizeof(le32) > fat_sectors * volume.sector_size) {
        return damaged("number of clusters");
    }
    const std::uint64_t backup = boot.backup_sector.get();
    if (backup == 0 || backup == no_backup) return {};
    if (backup >= reserved) return damaged("place of its backup");
    volume.backup = backup * volume.sector_size;
    return {};
}

/// The backup has no checksum: that it is equal is all the proof there is.
Result<void> check_backup(const Window& window, const Volume& volume, Bytes primary) {
    if (!volume.backup) return {};
    const auto backup = window.read_bytes(*volume.backup, primary.size());
    if (!backup) return backup.error();
    constexpr std::size_t begin = offsetof(BootSector, bytes_per_sector);
    const std::size_t flags = volume.fields_offset + offsetof(ExtendedFields, flags);
    const std::size_t end = volume.fields_offset + sizeof(ExtendedFields);
    const auto equal = [&](std::size_t from, std::size_t to) {
        return std::ranges::equal(primary.subspan(from, to - from),
                                  Bytes(*backup).subspan(from, to - from));
    };
    if (!equal(begin, flags) || !equal(flags + 1, end) ||
        !equal(boot_magic_offset, primary.size())) {
        return Error{ErrorCode::corrupt,
                     "its boot sector and the backup of it differ: run fsck.fat on it"};
    }
    return {};
}

Result<Volume> read_volume(const Window& window) {
    const auto sector = window.read_bytes(0, 512);
    if (!sector) return sector.error();
    const std::optional<std::uint64_t> offset = fields_offset_of(*sector);
    if (!offset) return Error{ErrorCode::corrupt, "the FAT file system is gone"};
    Volume volume{};
    volume.fields_offset = *offset;
    volume.fields = *fields_at(*sector, *offset);
    std::memcpy(&volume.boot, sector->data(), sizeof(volume.boot));
    le16 magic;
    std::memcpy(&magic, sector->data() + boot_magic_offset, sizeof(magic));
    if (magic.get() != boot_magic) return damaged("no signature");
    if (volume.fields.signature != extended_signature) return damaged("no serial number");
    if (Result<void> good = check_numbers(window, volume); !good) return good.error();
    if (Result<void> good = check_backup(window, volume, *sector); !good) return good.error();
    return volume;
}

Result<std::vector<Run>> root_directory(const Window& window, const Volume& volume) {
    if (!volume.is_fat32()) {
        const std::uint64_t length =
            std::uint64_t{volume.boot.root_entries.get()} * sizeof(DirectoryEntry);
        return std::vector<Run>{{volume.data_begin - round_up(length, volume.sector_size), length}};
    }
    std::vector<Run> runs;
    std::uint32_t cluster = volume.boot.root_cluster.get() & cluster_mask;
    for (std::uint64_t length = 0; cluster < last_cluster_from; length += volume.cluster_bytes) {
        if (cluster < 2 || cluster - 2 >= volume.cluster_count || length > directory_size_max) {
            return Error{ErrorCode::corrupt, "its root directory is damaged: run fsck.fat on it"};
        }
        runs.push_back(
            {volume.data_begin + (cluster - 2) * volume.cluster_bytes, volume.cluster_bytes});
        const Result<le32> next =
            window.read_struct<le32>(volume.fat_begin + cluster * sizeof(le32));
        if (!next) return next.error();
        cluster = next->get() & cluster_mask;
    }
    return runs;
}

bool is_label(const DirectoryEntry& entry) {
    constexpr std::uint8_t volume_id = 0x08;
    constexpr std::uint8_t directory = 0x10;
    constexpr std::uint8_t long_name = 0x0f;
    return (entry.attributes & long_name) != long_name && (entry.attributes & volume_id) != 0 &&
           (entry.attributes & directory) == 0;
}

Result<LabelSlot> find_label(const Window& window, const Volume& volume) {
    const auto runs = root_directory(window, volume);
    if (!runs) return runs.error();
    LabelSlot slot{};
    for (const Run& run : *runs) {
        const auto bytes = window.read_bytes(run.offset, run.length);
        if (!bytes) return bytes.error();
        for (std::uint64_t at = 0; at + sizeof(DirectoryEntry) <= run.length;
             at += sizeof(DirectoryEntry)) {
            DirectoryEntry entry;
            std::memcpy(&entry, bytes->data() + at, sizeof(entry));
            const bool is_end = entry.name[0] == never_used;
            // Behind the end of the directory all entries must say so too, or they would appear.
            const std::uint64_t next = at + sizeof(DirectoryEntry);
            const bool can_move_end = next < run.length && (*bytes)[next] == never_used;
            if (!slot.free && (entry.name[0] == deleted || (is_end && can_move_end))) {
                slot.free = run.offset + at;
            }
            if (is_end) return slot;
            if (entry.name[0] == deleted || !is_label(entry)) continue;
            slot.used = run.offset + at;
            slot.entry = entry;
            return slot;
        }
    }
    return slot;
}

/// Reads and checks all that a patch changes. The error is the reason to keep the identity.
Result<FatFileSystem> read_file_system(const Window& window) {
    const Result<Volume> volume = read_volume(window);
    if (!volume) return volume.error();
    const Result<LabelSlot> slot = find_label(window, *volume);
    if (!slot) return slot.error();
    return FatFileSystem{*volume, *slot};
}

std::vector<Place> places_of(const Window& window, const FatFileSystem& fs) {
    std::vector<Place> places;
    const auto append = [&](std::string_view role, std::uint64_t offset, std::uint64_t length,
                            std::uint64_t number) {
        places.push_back({.role = std::string(role),
                          .offset = window.begin() + offset,
                          .length = length,
                          .number = number});
    };
    append("boot sector", 0, 512, 0);
    if (fs.volume.backup) append("boot sector", *fs.volume.backup, 512, 1);
    if (fs.slot.used) append("label", *fs.slot.used, sizeof(DirectoryEntry), 0);
    return places;
}

std::string without_blanks(std::string text) {
    const std::size_t last = text.find_last_not_of(' ');
    text.erase(last == std::string::npos ? 0 : last + 1);
    return text;
}

std::string label_of(const ExtendedFields& fields) {
    if (std::ranges::equal(fields.label, bytes_of(no_name))) return "";
    return without_blanks(text_from_disk(fields.label));
}

Finding serial_finding(const std::string& where, const ExtendedFields& fields,
                       const LabelSlot& slot) {
    const std::string label =
        slot.used ? without_blanks(text_from_disk(slot.entry.name)) : label_of(fields);
    return found(where, "fs-uuid", serial_text(fields.serial.get(), 8), label);
}

Result<std::array<std::byte, 11>> label_to_disk(const std::string& label) {
    std::array<std::byte, 11> field;
    if (Result<void> fits = check_label(label, field.size(), "FAT"); !fits) return fits.error();
    constexpr std::string_view allowed = "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789 !#$%&'()-@^_`{}~";
    if (label.empty() || label.front() == ' ' ||
        label.find_first_not_of(allowed) != std::string::npos) {
        return Error{ErrorCode::usage,
                     "the label \"" + label +
                         "\" is not possible on FAT: capital letters, digits and !#$%&'()-@^_`{}~"};
    }
    field.fill(std::byte{' '});
    std::memcpy(field.data(), label.data(), label.size());
    return field;
}

Result<Patch> label_patch(const Window& window, const LabelSlot& slot,
                          const std::array<std::byte, 11>& label) {
    constexpr std::uint8_t volume_id = 0x08;
    if (!slot.used && !slot.free) {
        return Error{ErrorCode::refused, "its root directory has no room for a label"};
    }
    DirectoryEntry entry = slot.used ? slot.entry : DirectoryEntry{};
    entry.name = label;
    entry.attributes = volume_id;
    return patch_at(window, slot.used ? *slot.used : *slot.free, bytes_of_struct(entry));
}

}  // namespace

Result<std::optional<Structure>> examine_fat(const Window& window, const std::string& place) {
    if (!window.contains(0, 512)) return std::optional<Structure>();
    const auto sector = window.read_bytes(0, 512);
    if (!sector) return sector.error();
    const std::optional<std::uint64_t> offset = fields_offset_of(*sector);
    if (!offset) return std::optional<Structure>();
    Structure structure = structure_in(window, "fat", "FAT", place);
    const Result<FatFileSystem> fs = read_file_system(window);
    structure.findings.push_back(
        serial_finding(structure.where, *fields_at(*sector, *offset), fs ? fs->slot : LabelSlot{}));
    if (!fs) return with_places(std::move(structure), fs.error());
    return with_places(std::move(structure), places_of(window, *fs));
}

Result<Patching> patch_fat(const PatchRequest& request) {
    const Window& window = request.window;
    const Result<FatFileSystem> fs = read_file_system(window);
    if (!fs) return fs.error();
    if (Result<void> same = check_places(request.structure, places_of(window, *fs)); !same) {
        return same.error();
    }
    ExtendedFields to = fs->volume.fields;
    const Result<std::uint64_t> serial = chosen_serial(request, 8, to.serial.get());
    if (!serial) return serial.error();
    to.serial = static_cast<std::uint32_t>(*serial);

    Patching patching;
    Finding finding = serial_finding(request.structure.where, fs->volume.fields, fs->slot);
    patching.findings.push_back(changed(finding, serial_text(*serial, 8)));
    if (request.label) {
        const auto label = label_to_disk(*request.label);
        if (!label) return label.error();
        to.label = *label;
        Result<Patch> patch = label_patch(window, fs->slot, *label);
        if (!patch) return patch.error();
        patching.patches.push_back(*std::move(patch));
        patching.findings.push_back(changed_label(finding, *request.label));
    }
    // Without the flags: those of the two copies may differ.
    constexpr std::size_t begin = offsetof(ExtendedFields, signature);
    const Bytes bytes = bytes_of_struct(to).subspan(begin);
    const std::uint64_t offset = fs->volume.fields_offset + begin;
    patching.patches.push_back(patch_at(window, offset, bytes));
    if (fs->volume.backup) {
        patching.patches.push_back(patch_at(window, *fs->volume.backup + offset, bytes));
    }
    return patching;
}

}  // namespace cowtgt::identity
