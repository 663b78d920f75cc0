#include "cow-store/identity/fat_layout.h"

#include <algorithm>
#include <cstring>
#include <string_view>

namespace cowtgt::identity::fat {

namespace {

constexpr std::uint64_t offset_of_small_fields = 36;  ///< of FAT12 and FAT16
constexpr std::uint64_t offset_of_large_fields = 64;  ///< of FAT32
constexpr std::uint64_t boot_magic_offset = 510;
constexpr std::uint16_t boot_magic = 0xaa55;
constexpr std::uint8_t extended_signature = 0x29;
constexpr std::uint16_t no_backup = 0xffff;
constexpr std::uint64_t directory_size_max = std::uint64_t{2} << 20;  ///< bytes: 65536 entries
constexpr std::uint32_t cluster_mask = 0x0fffffff;
constexpr std::uint32_t last_cluster_from = 0x0ffffff8;
constexpr std::uint64_t fat16_clusters_min = 4085;  ///< with less it is FAT12

Error damaged(std::string_view what) {
    return {ErrorCode::corrupt,
            "its boot sector is damaged (" + std::string(what) + "): run fsck.fat on it"};
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
    const bool is_fat32 = volume.is_fat32();
    if (is_fat32 != (volume.fields_offset == offset_of_large_fields))
        return damaged("two kinds of FAT at once");
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

}  // namespace

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

Result<std::optional<std::uint32_t>> next_cluster(const Window& window, const Volume& volume,
                                                  std::uint32_t cluster) {
    std::uint32_t next = 0;
    std::uint32_t last_from = last_cluster_from;
    if (volume.is_fat32()) {
        const auto entry = window.read_struct<le32>(volume.fat_begin + cluster * sizeof(le32));
        if (!entry) return entry.error();
        next = entry->get() & cluster_mask;
    } else if (volume.cluster_count >= fat16_clusters_min) {
        const auto entry = window.read_struct<le16>(volume.fat_begin + cluster * sizeof(le16));
        if (!entry) return entry.error();
        next = entry->get();
        last_from = last_cluster_from & 0xffff;
    } else {
        // Twelve bits each: two entries share three bytes.
        const auto entry = window.read_struct<le16>(volume.fat_begin + cluster + cluster / 2);
        if (!entry) return entry.error();
        next = cluster % 2 != 0 ? entry->get() >> 4 : entry->get() & 0xfff;
        last_from = last_cluster_from & 0xfff;
    }
    if (next >= last_from) return std::optional<std::uint32_t>();
    if (next != 0 && (next < 2 || next - 2 >= volume.cluster_count)) {
        return Error{ErrorCode::corrupt, "its allocation table is damaged: run fsck.fat on it"};
    }
    return std::optional(next);
}

Result<std::vector<Run>> runs_from(const Window& window, const Volume& volume, std::uint32_t first,
                                   std::uint64_t bytes_max) {
    std::vector<Run> runs;
    std::optional<std::uint32_t> cluster = first;
    for (std::uint64_t length = 0; cluster; length += volume.cluster_bytes) {
        if (*cluster < 2 || *cluster - 2 >= volume.cluster_count || length > bytes_max) {
            return Error{ErrorCode::corrupt, "a chain of clusters is damaged: run fsck.fat on it"};
        }
        runs.push_back(
            {volume.data_begin + (*cluster - 2) * volume.cluster_bytes, volume.cluster_bytes});
        const auto next = next_cluster(window, volume, *cluster);
        if (!next) return next.error();
        cluster = *next;
    }
    return runs;
}

Result<std::vector<Run>> root_directory(const Window& window, const Volume& volume) {
    if (volume.is_fat32()) {
        return runs_from(window, volume, volume.boot.root_cluster.get() & cluster_mask,
                         directory_size_max);
    }
    const std::uint64_t length =
        std::uint64_t{volume.boot.root_entries.get()} * sizeof(DirectoryEntry);
    return std::vector<Run>{{volume.data_begin - round_up(length, volume.sector_size), length}};
}

}  // namespace cowtgt::identity::fat
