#include "cow-store/identity/exfat.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
#include <vector>

#include "cow-store/base/endian.h"
#include "cow-store/identity/disk_text.h"

namespace cowtgt::identity {

namespace {

/// Section 3.1: the part of the main boot sector that has a meaning.
struct BootSector {
    std::array<std::byte, 3> jump_boot;
    std::array<std::byte, 8> file_system_name;  ///< "EXFAT   "
    std::array<std::byte, 53> must_be_zero;
    le64 partition_offset;
    le64 volume_length;        ///< sectors
    le32 fat_offset;           ///< sectors
    le32 fat_length;           ///< sectors
    le32 cluster_heap_offset;  ///< sectors
    le32 cluster_count;
    le32 first_cluster_of_root_directory;
    le32 volume_serial_number;
    le16 file_system_revision;
    le16 volume_flags;  ///< not in the checksum, and neither is percent_in_use
    std::uint8_t bytes_per_sector_shift;
    std::uint8_t sectors_per_cluster_shift;
    std::uint8_t number_of_fats;
    std::uint8_t drive_select;
    std::uint8_t percent_in_use;
};
static_assert(sizeof(BootSector) == 113 && alignof(BootSector) == 1);
static_assert(offsetof(BootSector, volume_serial_number) == 100);
static_assert(offsetof(BootSector, volume_flags) == 106);
static_assert(offsetof(BootSector, percent_in_use) == 112);

/// Section 7.3.
struct LabelEntry {
    std::uint8_t entry_type;
    std::uint8_t character_count;
    std::array<std::byte, 22> volume_label;  ///< UTF-16LE
    std::array<std::byte, 8> reserved_24;
};
static_assert(sizeof(LabelEntry) == 32 && alignof(LabelEntry) == 1);

constexpr std::string_view exfat_name = "EXFAT   ";
constexpr std::uint64_t hashed_sectors = 11;       ///< of a boot region
constexpr std::uint64_t boot_region_sectors = 12;  ///< with the checksum; the backup follows
constexpr std::uint8_t entry_end = 0x00;
constexpr std::uint8_t entry_label = 0x83;
constexpr std::uint8_t entry_label_unused = 0x03;
constexpr std::size_t label_characters_max = 11;
constexpr std::uint64_t directory_size_max = std::uint64_t{256} << 20;  ///< bytes, section 6.2
constexpr std::uint64_t directory_clusters_max = 4096;                  ///< read at a clone
constexpr std::uint32_t last_cluster = 0xffffffff;

struct Volume {
    BootSector boot;
    std::uint64_t sector_size;  ///< bytes
    std::uint64_t cluster_bytes;
    std::vector<std::byte> main, backup;  ///< the boot regions without their checksums
};

struct ExfatFileSystem {
    Volume volume;
    std::optional<std::uint64_t> label_at;  ///< bytes from the start of the window
    LabelEntry label;                       ///< of label_at; unused when its type says so
};

Error damaged(std::string_view what) {
    return {ErrorCode::corrupt,
            "its boot region is damaged (" + std::string(what) + "): run fsck.exfat on it"};
}

/// Section 3.4.
std::uint32_t boot_checksum(Bytes region) {
    std::uint32_t sum = 0;
    for (std::size_t i = 0; i < region.size(); ++i) {
        const bool is_flag = i == offsetof(BootSector, volume_flags) ||
                             i == offsetof(BootSector, volume_flags) + 1 ||
                             i == offsetof(BootSector, percent_in_use);
        if (!is_flag) sum = std::rotr(sum, 1) + std::to_integer<std::uint32_t>(region[i]);
    }
    return sum;
}

Result<std::vector<std::byte>> read_region(const Window& window, std::uint64_t begin,
                                           std::uint64_t sector_size, std::string_view name) {
    const std::uint64_t hashed = hashed_sectors * sector_size;
    Result<std::vector<std::byte>> region =
        window.read_bytes(begin, boot_region_sectors * sector_size);
    if (!region) return region;
    const le32 sum = boot_checksum(Bytes(*region).first(hashed));
    for (std::uint64_t at = hashed; at < region->size(); at += sizeof(sum)) {
        if (std::memcmp(region->data() + at, &sum, sizeof(sum)) != 0) {
            return damaged("checksum of the " + std::string(name));
        }
    }
    region->resize(hashed);
    return region;
}

Result<void> check_numbers(const Window& window, Volume& volume) {
    const BootSector& boot = volume.boot;
    const std::uint64_t sectors = boot.volume_length.get();
    const std::uint64_t heap = boot.cluster_heap_offset.get();
    if (sectors > window.length() / volume.sector_size) {
        return Error{ErrorCode::corrupt,
                     "it is larger than the space it lies in (was the image cut off?)"};
    }
    if (boot.sectors_per_cluster_shift > 25 - boot.bytes_per_sector_shift ||
        boot.fat_offset.get() < 2 * boot_region_sectors || heap >= sectors ||
        boot.fat_offset.get() + std::uint64_t{boot.fat_length.get()} > heap ||
        boot.cluster_count.get() > (sectors - heap) >> boot.sectors_per_cluster_shift ||
        (std::uint64_t{boot.cluster_count.get()} + 2) * sizeof(le32) >
            boot.fat_length.get() * volume.sector_size) {
        return damaged("impossible numbers");
    }
    volume.cluster_bytes = volume.sector_size << boot.sectors_per_cluster_shift;
    return {};
}

Result<Volume> read_volume(const Window& window) {
    Volume volume{};
    const Result<BootSector> boot = window.read_struct<BootSector>(0);
    if (!boot) return boot.error();
    volume.boot = *boot;
    if (!std::ranges::equal(boot->file_system_name, bytes_of(exfat_name))) {
        return Error{ErrorCode::corrupt, "the exFAT file system is gone"};
    }
    if (boot->bytes_per_sector_shift < 9 || boot->bytes_per_sector_shift > 12) {
        return damaged("sector size");
    }
    volume.sector_size = std::uint64_t{1} << boot->bytes_per_sector_shift;
    auto main = read_region(window, 0, volume.sector_size, "main one");
    if (!main) return main.error();
    auto backup =
        read_region(window, boot_region_sectors * volume.sector_size, volume.sector_size, "backup");
    if (!backup) return backup.error();
    volume.main = *std::move(main);
    volume.backup = *std::move(backup);
    if (boot_checksum(volume.main) != boot_checksum(volume.backup) ||
        std::memcmp(volume.main.data() + offsetof(BootSector, partition_offset),
                    volume.backup.data() + offsetof(BootSector, partition_offset),
                    offsetof(BootSector, volume_flags) - offsetof(BootSector, partition_offset)) !=
            0) {
        return Error{ErrorCode::corrupt,
                     "its boot region and the backup of it differ: run fsck.exfat on it"};
    }
    constexpr std::uint8_t major_version = 1;
    if (boot->file_system_revision.get() >> 8 != major_version || boot->number_of_fats != 1) {
        return Error{ErrorCode::unsupported, "it is of an unknown version or has two FATs"};
    }
    if (Result<void> good = check_numbers(window, volume); !good) return good.error();
    return volume;
}

/// The label's entry, else one that is unused or ends the directory if another can do that.
Result<void> find_label(const Window& window, ExfatFileSystem& fs) {
    const BootSector& boot = fs.volume.boot;
    std::uint32_t cluster = boot.first_cluster_of_root_directory.get();
    for (std::uint64_t i = 0; cluster != last_cluster; ++i) {
        if (cluster < 2 || cluster - 2 >= boot.cluster_count.get() || i >= directory_clusters_max ||
            i * fs.volume.cluster_bytes > directory_size_max) {
            return Error{ErrorCode::corrupt, "its root directory is damaged: run fsck.exfat on it"};
        }
        const std::uint64_t begin = boot.cluster_heap_offset.get() * fs.volume.sector_size +
                                    (cluster - 2) * fs.volume.cluster_bytes;
        const auto bytes = window.read_bytes(begin, fs.volume.cluster_bytes);
        if (!bytes) return bytes.error();
        for (std::uint64_t at = 0; at < bytes->size(); at += sizeof(LabelEntry)) {
            LabelEntry entry;
            std::memcpy(&entry, bytes->data() + at, sizeof(entry));
            const std::uint64_t next = at + sizeof(LabelEntry);
            const bool can_move_end = next < bytes->size() && (*bytes)[next] == std::byte{0};
            const bool is_label = entry.entry_type == entry_label;
            const bool is_end = entry.entry_type == entry_end;
            const bool is_free = entry.entry_type == entry_label_unused || (is_end && can_move_end);
            if (is_label || (is_free && !fs.label_at)) {
                fs.label_at = begin + at;
                fs.label = entry;
            }
            if (is_label || is_end) return {};
        }
        const Result<le32> next = window.read_struct<le32>(
            boot.fat_offset.get() * fs.volume.sector_size + cluster * sizeof(le32));
        if (!next) return next.error();
        cluster = next->get();
    }
    return {};
}

/// Reads and checks all that a patch changes. The error is the reason to keep the identity.
Result<ExfatFileSystem> read_file_system(const Window& window) {
    Result<Volume> volume = read_volume(window);
    if (!volume) return volume.error();
    ExfatFileSystem fs{*std::move(volume), std::nullopt, {}};
    if (Result<void> good = find_label(window, fs); !good) return good.error();
    return fs;
}

std::vector<Place> places_of(const Window& window, const ExfatFileSystem& fs) {
    std::vector<Place> places;
    const std::uint64_t length = boot_region_sectors * fs.volume.sector_size;
    for (std::uint64_t i = 0; i < 2; ++i) {
        places.push_back({.role = "boot region",
                          .offset = window.begin() + i * length,
                          .length = length,
                          .number = i});
    }
    if (fs.label_at) {
        places.push_back({.role = "label",
                          .offset = window.begin() + *fs.label_at,
                          .length = sizeof(LabelEntry),
                          .number = 0});
    }
    return places;
}

Finding serial_finding(const std::string& where, const BootSector& boot, const LabelEntry& label) {
    std::string text;
    if (label.entry_type == entry_label) {
        const std::size_t characters =
            std::min<std::size_t>(label.character_count, label_characters_max);
        text = text_from_utf16(Bytes(label.volume_label).first(2 * characters));
    }
    return found(where, "fs-uuid", serial_text(boot.volume_serial_number.get(), 8), text);
}

Result<LabelEntry> label_to_disk(const std::string& label) {
    const bool is_ascii = std::ranges::all_of(label, [](char c) { return c >= ' ' && c < '\x7f'; });
    if (label.empty() || label.size() > label_characters_max || !is_ascii) {
        return Error{ErrorCode::usage, "the label \"" + label +
                                           "\" is not possible on exFAT: 1 to 11 characters of "
                                           "ASCII"};
    }
    LabelEntry entry{};
    entry.entry_type = entry_label;
    entry.character_count = static_cast<std::uint8_t>(label.size());
    for (std::size_t i = 0; i < label.size(); ++i)
        entry.volume_label[2 * i] = static_cast<std::byte>(label[i]);
    return entry;
}

/// The fields up to the serial number, and the sector of checksums.
void append_region(const Window& window, const Volume& volume, std::uint64_t number,
                   std::uint32_t serial, std::vector<Patch>& patches) {
    std::vector<std::byte> region = number == 0 ? volume.main : volume.backup;
    const le32 on_disk = serial;
    constexpr std::size_t at = offsetof(BootSector, volume_serial_number);
    std::memcpy(region.data() + at, &on_disk, sizeof(on_disk));
    const le32 sum = boot_checksum(region);
    std::vector<std::byte> sums(volume.sector_size);
    for (std::size_t i = 0; i < sums.size(); i += sizeof(sum))
        std::memcpy(sums.data() + i, &sum, sizeof(sum));
    const std::uint64_t begin = number * boot_region_sectors * volume.sector_size;
    patches.push_back(patch_at(window, begin + at, bytes_of_struct(on_disk)));
    patches.push_back(patch_at(window, begin + hashed_sectors * volume.sector_size, sums));
}

}  // namespace

Result<std::optional<Structure>> examine_exfat(const Window& window, const std::string& place) {
    if (!window.contains(0, sizeof(BootSector))) return std::optional<Structure>();
    const Result<BootSector> boot = window.read_struct<BootSector>(0);
    if (!boot) return boot.error();
    if (!std::ranges::equal(boot->file_system_name, bytes_of(exfat_name))) {
        return std::optional<Structure>();
    }
    Structure structure = structure_in(window, "exfat", "exFAT", place);
    const Result<ExfatFileSystem> fs = read_file_system(window);
    structure.findings.push_back(
        serial_finding(structure.where, *boot, fs ? fs->label : LabelEntry{}));
    if (!fs) return with_places(std::move(structure), fs.error());
    return with_places(std::move(structure), places_of(window, *fs));
}

Result<Patching> patch_exfat(const PatchRequest& request) {
    const Window& window = request.window;
    const Result<ExfatFileSystem> fs = read_file_system(window);
    if (!fs) return fs.error();
    if (Result<void> same = check_places(request.structure, places_of(window, *fs)); !same) {
        return same.error();
    }
    const BootSector& boot = fs->volume.boot;
    const Result<std::uint64_t> serial = chosen_serial(request, 8, boot.volume_serial_number.get());
    if (!serial) return serial.error();
    Patching patching;
    for (std::uint64_t number = 0; number < 2; ++number) {
        append_region(window, fs->volume, number, static_cast<std::uint32_t>(*serial),
                      patching.patches);
    }
    const Finding finding = serial_finding(request.structure.where, boot, fs->label);
    patching.findings.push_back(changed(finding, serial_text(*serial, 8)));
    if (request.label) {
        const Result<LabelEntry> label = label_to_disk(*request.label);
        if (!label) return label.error();
        if (!fs->label_at) {
            return Error{ErrorCode::refused, "its root directory has no room for a label"};
        }
        patching.patches.push_back(patch_at(window, *fs->label_at, bytes_of_struct(*label)));
        patching.findings.push_back(changed_label(finding, *request.label));
    }
    return patching;
}

}  // namespace cowtgt::identity
