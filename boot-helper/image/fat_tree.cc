#include <algorithm>
#include <array>

#include "boot-helper/image/file_tree.h"

/// FAT as in Microsoft's "FAT: General Overview of On-Disk Format" 1.03, read-only and by short
/// names. Nothing on the disk is believed: chains are bounded by the number of clusters.
namespace cowtgt::boot {

namespace {

constexpr std::size_t boot_sector_bytes = 512;
constexpr std::size_t entry_bytes = 32;
constexpr std::uint8_t attribute_volume_label = 0x08;
constexpr std::uint8_t attribute_directory = 0x10;
constexpr std::uint8_t deleted_entry = 0xe5;
constexpr std::size_t directory_bytes_max = 2U << 20;  ///< 65536 entries

std::uint32_t little(Bytes bytes, std::size_t at, std::size_t count) {
    std::uint32_t value = 0;
    for (std::size_t n = count; n-- > 0;) {
        value = value << 8 | std::to_integer<std::uint32_t>(bytes[at + n]);
    }
    return value;
}

enum class FatKind : std::uint8_t { fat12, fat16, fat32 };

/// What the boot sector says, in bytes.
struct Geometry {
    FatKind kind = FatKind::fat12;
    std::uint32_t cluster_bytes = 0;
    std::uint64_t fat_offset = 0;
    std::uint64_t fat_bytes = 0;
    std::uint64_t root_offset = 0;  ///< of FAT12 and FAT16
    std::uint64_t root_bytes = 0;
    std::uint64_t data_offset = 0;  ///< of cluster 2
    std::uint32_t clusters = 0;
    std::uint32_t root_cluster = 0;  ///< of FAT32
};

Error fat_error(std::string_view why) {
    return {ErrorCode::corrupt, "the FAT file system " + std::string(why)};
}

Result<Geometry> read_geometry(Bytes boot, std::uint64_t part_bytes) {
    const std::uint32_t sector = little(boot, 11, 2);
    const std::uint32_t sectors_per_cluster = little(boot, 13, 1);
    const std::uint32_t reserved = little(boot, 14, 2);
    const std::uint32_t fats = little(boot, 16, 1);
    const std::uint32_t root_entries = little(boot, 17, 2);
    const std::uint32_t total =
        little(boot, 19, 2) != 0 ? little(boot, 19, 2) : little(boot, 32, 4);
    const std::uint32_t fat_sectors =
        little(boot, 22, 2) != 0 ? little(boot, 22, 2) : little(boot, 36, 4);
    if (little(boot, 510, 2) != 0xaa55) return fat_error("has no boot sector");
    if (sector < 512 || sector > 4096 || !is_power_of_two(sector) || reserved == 0 || fats == 0 ||
        fat_sectors == 0 || !is_power_of_two(sectors_per_cluster)) {
        return fat_error("has impossible sizes in its boot sector");
    }
    Geometry geometry;
    geometry.cluster_bytes = sector * sectors_per_cluster;
    geometry.fat_offset = std::uint64_t{reserved} * sector;
    geometry.fat_bytes = std::uint64_t{fat_sectors} * sector;
    geometry.root_offset = geometry.fat_offset + fats * geometry.fat_bytes;
    geometry.root_bytes = std::uint64_t{root_entries} * entry_bytes;
    geometry.data_offset = geometry.root_offset + round_up(geometry.root_bytes, sector);
    const std::uint64_t end = std::uint64_t{total} * sector;
    if (end > part_bytes || geometry.data_offset >= end) return fat_error("does not fit its size");
    geometry.clusters =
        static_cast<std::uint32_t>((end - geometry.data_offset) / geometry.cluster_bytes);
    geometry.kind = geometry.clusters < 4'085    ? FatKind::fat12
                    : geometry.clusters < 65'525 ? FatKind::fat16
                                                 : FatKind::fat32;
    if (geometry.kind == FatKind::fat32) geometry.root_cluster = little(boot, 44, 4);
    return geometry;
}

/// "GRUBX64 EFI" is "GRUBX64.EFI".
std::string short_name(Bytes entry) {
    const auto field = [entry](std::size_t at, std::size_t size) {
        const std::string_view text = text_of(entry.subspan(at, size));
        return std::string(text.substr(0, text.find_last_not_of(' ') + 1));
    };
    const std::string extension = field(8, 3);
    return field(0, 8) + (extension.empty() ? "" : "." + extension);
}

bool same_name(std::string_view a, std::string_view b) {
    const auto upper = [](char c) { return c >= 'a' && c <= 'z' ? static_cast<char>(c - 32) : c; };
    return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                      [&](char x, char y) { return upper(x) == upper(y); });
}

class FatTree final : public FileTree {
public:
    FatTree(ImageSource& part, const Geometry& geometry) : part_(part), geometry_(geometry) {}

    std::optional<FileEntry> find(std::string_view path) override {
        const Result<Place> place = walk(path);
        return place ? std::optional(place->entry) : std::nullopt;
    }

    Result<std::vector<FileEntry>> list(std::string_view path) override {
        const Result<Place> place = walk(path);
        if (!place) return place.error();
        Result<std::vector<Place>> places = read_folder(*place);
        if (!places) return places.error();
        std::vector<FileEntry> entries;
        for (Place& found : *places)
            entries.push_back(std::move(found.entry));
        std::sort(entries.begin(), entries.end(),
                  [](const FileEntry& a, const FileEntry& b) { return a.name < b.name; });
        return entries;
    }

    Result<void> read(std::string_view path, const Sink& sink) override {
        const Result<Place> place = walk(path);
        if (!place) return place.error();
        if (place->entry.type != FileEntry::Type::file) {
            return Error{ErrorCode::failed, std::string(path) + " is no file"};
        }
        return read_chain(place->cluster, place->entry.size_bytes, sink);
    }

    /// The flags that say so (FAT16, FAT32) are not kept by all drivers; a FAT needs no replay.
    bool is_clean() const override { return true; }

private:
    struct Place {
        FileEntry entry;
        std::uint32_t cluster = 0;  ///< 0: none, or the root folder
    };

    Result<Place> walk(std::string_view path) {
        Place at{{"", FileEntry::Type::directory, 0}, 0};
        while (!path.empty()) {
            const std::string_view name = path.substr(0, path.find('/'));
            path.remove_prefix(std::min(name.size() + 1, path.size()));
            if (name.empty()) continue;
            Result<std::vector<Place>> places = read_folder(at);
            if (!places) return places.error();
            const auto found = std::find_if(places->begin(), places->end(), [&](const Place& p) {
                return same_name(p.entry.name, name);
            });
            if (found == places->end()) {
                return Error{ErrorCode::not_found, std::string(name) + " is not there"};
            }
            at = *found;
        }
        return at;
    }

    Result<std::vector<Place>> read_folder(const Place& folder) {
        if (folder.entry.type != FileEntry::Type::directory) {
            return Error{ErrorCode::not_found, folder.entry.name + " is no folder"};
        }
        std::vector<std::byte> bytes;
        const auto collect = [&bytes](Bytes more) -> Result<void> {
            bytes.insert(bytes.end(), more.begin(), more.end());
            return {};
        };
        const bool fixed_root = folder.cluster == 0 && geometry_.kind != FatKind::fat32;
        const std::uint32_t first = folder.cluster == 0 ? geometry_.root_cluster : folder.cluster;
        const Result<void> done =
            fixed_root ? read_span(geometry_.root_offset, geometry_.root_bytes, collect)
                       : read_chain(first, directory_bytes_max, collect);
        if (!done) return done.error();
        return parse_folder(bytes);
    }

    static std::vector<Place> parse_folder(Bytes bytes) {
        std::vector<Place> places;
        for (; bytes.size() >= entry_bytes; bytes = bytes.subspan(entry_bytes)) {
            const Bytes entry = bytes.first(entry_bytes);
            const std::uint32_t first = little(entry, 0, 1);
            const std::uint32_t attributes = little(entry, 11, 1);
            if (first == 0) break;  // no more entries
            // long names have the bit of the volume label too
            if (first == deleted_entry || (attributes & attribute_volume_label) != 0) continue;
            Place place;
            place.entry.name = short_name(entry);
            if (place.entry.name == "." || place.entry.name == "..") continue;
            place.entry.type = (attributes & attribute_directory) != 0 ? FileEntry::Type::directory
                                                                       : FileEntry::Type::file;
            place.entry.size_bytes = little(entry, 28, 4);
            place.cluster = little(entry, 20, 2) << 16 | little(entry, 26, 2);
            places.push_back(std::move(place));
        }
        return places;
    }

    Result<void> read_span(std::uint64_t offset, std::uint64_t size, const Sink& sink) {
        std::vector<std::byte> bytes(size);
        if (auto done = part_.read(offset, bytes); !done) return done;
        return sink(bytes);
    }

    /// At most `size` bytes; the end of the chain ends it before.
    Result<void> read_chain(std::uint32_t cluster, std::uint64_t size, const Sink& sink) {
        for (std::uint32_t steps = 0; size > 0 && is_data(cluster); ++steps) {
            if (steps == geometry_.clusters) return fat_error("has a chain that goes round");
            const std::uint64_t count = std::min<std::uint64_t>(size, geometry_.cluster_bytes);
            const std::uint64_t offset =
                geometry_.data_offset + std::uint64_t{cluster - 2} * geometry_.cluster_bytes;
            if (auto done = read_span(offset, count, sink); !done) return done;
            size -= count;
            const Result<std::uint32_t> next = next_cluster(cluster);
            if (!next) return next.error();
            cluster = *next;
        }
        return {};
    }

    bool is_data(std::uint32_t cluster) const {
        return cluster >= 2 && cluster - 2 < geometry_.clusters;
    }

    Result<std::uint32_t> next_cluster(std::uint32_t cluster) {
        const bool fat12 = geometry_.kind == FatKind::fat12;
        const bool fat32 = geometry_.kind == FatKind::fat32;
        const std::uint64_t at =
            fat12 ? cluster + cluster / 2 : std::uint64_t{cluster} * (fat32 ? 4 : 2);
        const std::size_t size = fat32 ? 4 : 2;
        std::array<std::byte, 4> bytes{};
        if (at + size > geometry_.fat_bytes) return fat_error("has a table that is too short");
        if (auto done = part_.read(geometry_.fat_offset + at, std::span(bytes).first(size));
            !done) {
            return done.error();
        }
        const std::uint32_t value = little(bytes, 0, size);
        if (fat32) return value & 0x0fffffff;
        if (!fat12) return value;
        return cluster % 2 != 0 ? value >> 4 : value & 0xfff;
    }

    ImageSource& part_;
    Geometry geometry_;
};

}  // namespace

Result<std::unique_ptr<FileTree>> open_fat_tree(ImageSource& part) {
    std::array<std::byte, boot_sector_bytes> boot{};
    if (part.size_bytes() < boot.size()) return fat_error("is shorter than its boot sector");
    if (auto done = part.read(0, boot); !done) return done.error();
    const Result<Geometry> geometry = read_geometry(boot, part.size_bytes());
    if (!geometry) return geometry.error();
    return std::unique_ptr<FileTree>(std::make_unique<FatTree>(part, *geometry));
}

}  // namespace cowtgt::boot
