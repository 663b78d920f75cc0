#include "cow-store/identity/lvm2.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <utility>
#include <vector>

#include "cow-store/base/endian.h"
#include "cow-store/identity/disk_text.h"
#include "cow-store/identity/lvm2_text.h"

namespace cowtgt::identity {

namespace {

/// label_header of LVM2, in one of the first four sectors.
struct LabelHeader {
    std::array<std::byte, 8> id;  ///< "LABELONE"
    le64 sector;                  ///< where it lies
    le32 crc;                     ///< of the rest of the sector behind it
    le32 offset;                  ///< of the physical volume's header in the sector, bytes
    std::array<std::byte, 8> type;
};
static_assert(sizeof(LabelHeader) == 32 && alignof(LabelHeader) == 1);

/// disk_locn.
struct Area {
    le64 offset;  ///< bytes from the start of the device
    le64 size;
};

/// raw_locn: one version of the text.
struct TextLocation {
    le64 offset;  ///< bytes from the start of the metadata area
    le64 size;
    le32 checksum;
    le32 flags;
};

/// mda_header.
struct MetadataHeader {
    le32 checksum;  ///< of the rest of the sector behind it
    std::array<std::byte, 16> magic;
    le32 version;
    le64 start;                         ///< where it lies, bytes from the start of the device
    le64 size;                          ///< of the area with this header
    std::array<TextLocation, 4> texts;  ///< committed, precommitted, none
};
static_assert(sizeof(MetadataHeader) == 136 && alignof(MetadataHeader) == 1);
static_assert(offsetof(MetadataHeader, texts) == 40);

constexpr std::uint64_t sector_size = 512;
constexpr std::uint64_t label_sectors = 4;  ///< that are searched
constexpr std::string_view label_id = "LABELONE";
constexpr std::string_view label_type = "LVM2 001";
constexpr std::string_view metadata_magic = " LVM2 x[5A%r0N*>";
constexpr std::size_t areas_max = 8;
constexpr std::uint64_t text_size_max = std::uint64_t{4} << 20;  ///< bytes, read at a clone

constexpr std::array<std::uint32_t, 256> make_crc_table() {
    std::array<std::uint32_t, 256> table{};
    for (std::uint32_t byte = 0; byte < table.size(); ++byte) {
        std::uint32_t state = byte;
        for (int bit = 0; bit < 8; ++bit)
            state = (state >> 1) ^ ((state & 1) != 0 ? 0xedb88320U : 0U);
        table[byte] = state;
    }
    return table;
}
constexpr std::array<std::uint32_t, 256> crc_table = make_crc_table();

/// The CRC-32 of Ethernet with another start and without the inversions.
std::uint32_t lvm_crc(Bytes bytes) {
    std::uint32_t state = 0xf597a6cf;
    for (const std::byte byte : bytes)
        state = crc_table[(state ^ std::to_integer<std::uint32_t>(byte)) & 0xff] ^ state >> 8;
    return state;
}

struct MetadataArea {
    std::uint64_t offset;  ///< of its header, bytes from the start of the window
    std::vector<std::byte> sector;
    MetadataHeader header;
    std::string text;  ///< of the volume group

    /// Where the text lies: one run, or two when it goes around the end.
    std::vector<std::pair<std::uint64_t, std::uint64_t>> runs() const {
        const std::uint64_t begin = header.texts[0].offset.get();
        const std::uint64_t straight = std::min(text.size(), header.size.get() - begin);
        std::vector<std::pair<std::uint64_t, std::uint64_t>> found = {{offset + begin, straight}};
        if (straight < text.size()) {
            found.push_back({offset + sector_size, text.size() - straight});
        }
        return found;
    }
};

/// Everything of the physical volume that a patch changes, read and found good.
struct PhysicalVolume {
    std::uint64_t label_offset;  ///< bytes from the start of the window
    std::vector<std::byte> label_sector;
    std::size_t id_offset;  ///< in the sector
    std::string id;         ///< 32 digits
    std::vector<MetadataArea> areas;
    std::vector<lvm2::IdField> ids;  ///< of the text, which is the same in all areas
};

Error damaged(std::string_view what) {
    return {ErrorCode::corrupt,
            "it is damaged (" + std::string(what) + "): repair it with pvck or vgck"};
}

std::optional<LabelHeader> label_in(Bytes sector) {
    LabelHeader label;
    std::memcpy(&label, sector.data(), sizeof(label));
    const bool is_label = std::ranges::equal(label.id, bytes_of(label_id)) &&
                          std::ranges::equal(label.type, bytes_of(label_type));
    return is_label ? std::optional(label) : std::nullopt;
}

Result<std::optional<std::uint64_t>> find_label(const Window& window) {
    for (std::uint64_t i = 0; i < label_sectors; ++i) {
        if (!window.contains(i * sector_size, sector_size)) break;
        const auto sector = window.read_bytes(i * sector_size, sector_size);
        if (!sector) return sector.error();
        if (label_in(*sector)) return std::optional(i * sector_size);
    }
    return std::optional<std::uint64_t>();
}

/// The areas of metadata, which are listed behind those of data.
Result<std::vector<Area>> metadata_areas(Bytes sector, std::size_t at) {
    std::array<std::vector<Area>, 2> lists;
    for (std::vector<Area>& list : lists) {
        for (;;) {
            if (at + sizeof(Area) > sector.size() || list.size() == areas_max) {
                return damaged("list of areas");
            }
            Area area;
            std::memcpy(&area, sector.data() + at, sizeof(area));
            at += sizeof(area);
            if (area.offset.get() == 0) break;
            list.push_back(area);
        }
    }
    return std::move(lists[1]);
}

Result<std::string> read_text(const Window& window, const MetadataArea& area) {
    const TextLocation& location = area.header.texts[0];
    const std::uint64_t begin = location.offset.get();
    const std::uint64_t size = location.size.get();
    const std::uint64_t area_size = area.header.size.get();
    if (begin == 0 || size == 0) {
        return Error{ErrorCode::refused,
                     "it belongs to no volume group, so nothing refers to it: make the group in "
                     "the template, or in the clone with a new pvcreate"};
    }
    if (begin < sector_size || begin >= area_size || size > area_size - sector_size ||
        size > text_size_max) {
        return damaged("place of the metadata");
    }
    MetadataArea located = area;
    located.text.resize(size);
    std::string text;
    for (const auto& [offset, length] : located.runs()) {
        const auto bytes = window.read_bytes(offset, length);
        if (!bytes) return bytes.error();
        text += text_of(*bytes);
    }
    if (lvm_crc(bytes_of(text)) != location.checksum.get()) {
        return damaged("checksum of the metadata");
    }
    // What is behind the terminator was hashed, but is not read.
    return text;
}

Result<MetadataArea> read_area(const Window& window, const Area& at) {
    MetadataArea area{.offset = at.offset.get(), .sector = {}, .header = {}, .text = {}};
    Result<std::vector<std::byte>> sector = window.read_bytes(area.offset, sector_size);
    if (!sector) return sector.error();
    area.sector = *std::move(sector);
    std::memcpy(&area.header, area.sector.data(), sizeof(area.header));
    const MetadataHeader& header = area.header;
    if (!std::ranges::equal(header.magic, bytes_of(metadata_magic)) || header.version.get() != 1) {
        return damaged("header of the metadata");
    }
    if (lvm_crc(Bytes(area.sector).subspan(sizeof(le32))) != header.checksum.get()) {
        return damaged("checksum of the metadata's header");
    }
    if (header.start.get() != area.offset || header.size.get() < 2 * sector_size ||
        !window.contains(area.offset, header.size.get())) {
        return damaged("size of the metadata");
    }
    if (header.texts[0].flags.get() != 0) {
        return Error{ErrorCode::refused,
                     "one of its metadata areas is ignored: run pvchange "
                     "--metadataignore n on it"};
    }
    for (std::size_t i = 1; i < header.texts.size(); ++i) {
        if (header.texts[i].offset.get() == 0) continue;
        return Error{ErrorCode::refused,
                     "a change of its group was not finished: activate the group once"};
    }
    Result<std::string> text = read_text(window, area);
    if (!text) return text.error();
    area.text = *std::move(text);
    return area;
}

Result<void> read_label(const Window& window, PhysicalVolume& volume) {
    Result<std::vector<std::byte>> sector = window.read_bytes(volume.label_offset, sector_size);
    if (!sector) return sector.error();
    volume.label_sector = *std::move(sector);
    const std::optional<LabelHeader> label = label_in(volume.label_sector);
    if (!label) return damaged("no label");
    constexpr std::size_t hashed_from = offsetof(LabelHeader, offset);
    if (lvm_crc(Bytes(volume.label_sector).subspan(hashed_from)) != label->crc.get()) {
        return damaged("checksum of the label");
    }
    if (label->sector.get() != volume.label_offset / sector_size) {
        return damaged("the label says that it lies elsewhere");
    }
    volume.id_offset = label->offset.get();
    if (volume.id_offset < sizeof(LabelHeader) ||
        volume.id_offset + lvm2::id_digits > sector_size) {
        return damaged("label");
    }
    volume.id = text_of(Bytes(volume.label_sector).subspan(volume.id_offset, lvm2::id_digits));
    return {};
}

/// The error is the reason to keep the identity.
Result<PhysicalVolume> read_physical_volume(const Window& window) {
    const Result<std::optional<std::uint64_t>> label = find_label(window);
    if (!label) return label.error();
    if (!label->has_value()) return damaged("no label");
    PhysicalVolume volume{};
    volume.label_offset = **label;
    if (Result<void> good = read_label(window, volume); !good) return good.error();
    constexpr std::size_t id_and_device_size = lvm2::id_digits + sizeof(le64);
    const auto areas = metadata_areas(volume.label_sector, volume.id_offset + id_and_device_size);
    if (!areas) return areas.error();
    if (areas->empty()) {
        return Error{ErrorCode::refused,
                     "it has no metadata of its own, so it is one of several: use one disk for "
                     "each group, or run vgimportclone in the clone"};
    }
    for (const Area& at : *areas) {
        Result<MetadataArea> area = read_area(window, at);
        if (!area) return area.error();
        if (!volume.areas.empty() && area->text != volume.areas.front().text) {
            return damaged("its metadata areas differ");
        }
        volume.areas.push_back(*std::move(area));
    }
    std::string_view text = volume.areas.front().text;
    text = text.substr(0, text.find('\0'));
    Result<std::vector<lvm2::IdField>> ids = lvm2::find_ids(text);
    if (!ids) return ids.error();
    volume.ids = *std::move(ids);
    const std::string own = lvm2::id_with_dashes(volume.id);
    if (std::ranges::find(volume.ids, own, &lvm2::IdField::id) == volume.ids.end()) {
        return damaged("the label and the metadata have different ids");
    }
    return volume;
}

std::vector<Place> places_of(const Window& window, const PhysicalVolume& volume) {
    std::vector<Place> places = {{.role = "label",
                                  .offset = window.begin() + volume.label_offset,
                                  .length = sector_size,
                                  .number = 0}};
    for (std::size_t i = 0; i < volume.areas.size(); ++i) {
        const MetadataArea& area = volume.areas[i];
        places.push_back({.role = "metadata header",
                          .offset = window.begin() + area.offset,
                          .length = sector_size,
                          .number = i});
        for (const auto& [offset, length] : area.runs()) {
            places.push_back({.role = "metadata",
                              .offset = window.begin() + offset,
                              .length = length,
                              .number = i});
        }
    }
    return places;
}

std::vector<Finding> findings_of(const std::string& where, const PhysicalVolume& volume) {
    std::vector<Finding> findings;
    for (const lvm2::IdField& field : volume.ids) {
        std::string kind = "lv-id";
        if (field.where == "physical volume") kind = "fs-uuid";
        if (field.where.starts_with("group ")) kind = "vg-id";
        const std::size_t name = field.where.rfind(' ');
        const bool is_own = kind == "fs-uuid";
        findings.push_back(
            found(where, kind, field.id, is_own ? "" : field.where.substr(name + 1)));
    }
    // The physical volume's own comes first, as with all other formats.
    std::stable_partition(findings.begin(), findings.end(),
                          [](const Finding& one) { return one.kind == "fs-uuid"; });
    return findings;
}

/// 32 digits, which are as good as random for whoever does not know the seed.
std::string derived_id(const PatchRequest& request, const Finding& finding) {
    constexpr std::string_view digits =
        "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
    std::string id;
    for (const std::string_view half : {"/1", "/2"}) {
        const Uuid random = derived_uuid(request.choice, finding.where + "/" + finding.label,
                                         finding.kind + std::string(half));
        for (const std::uint8_t byte : random.bytes)
            id += digits[byte % digits.size()];
    }
    return id;
}

/// The label's sector with another id.
Patch label_patch(const Window& window, const PhysicalVolume& volume, std::string_view id) {
    std::vector<std::byte> sector = volume.label_sector;
    std::memcpy(sector.data() + volume.id_offset, id.data(), lvm2::id_digits);
    const le32 crc = lvm_crc(Bytes(sector).subspan(offsetof(LabelHeader, offset)));
    std::memcpy(sector.data() + offsetof(LabelHeader, crc), &crc, sizeof(crc));
    return patch_at(window, volume.label_offset, sector);
}

void append_area(const Window& window, MetadataArea area, const std::string& text,
                 std::vector<Patch>& patches) {
    area.header.texts[0].checksum = lvm_crc(bytes_of(text));
    std::memcpy(area.sector.data(), &area.header, sizeof(area.header));
    const le32 crc = lvm_crc(Bytes(area.sector).subspan(sizeof(le32)));
    std::memcpy(area.sector.data(), &crc, sizeof(crc));
    patches.push_back(patch_at(window, area.offset, area.sector));
    Bytes rest = bytes_of(text);
    for (const auto& [offset, length] : area.runs()) {
        patches.push_back(patch_at(window, offset, rest.first(length)));
        rest = rest.subspan(length);
    }
}

}  // namespace

Result<std::optional<Structure>> examine_lvm2(const Window& window, const std::string& place) {
    const Result<std::optional<std::uint64_t>> label = find_label(window);
    if (!label) return label.error();
    if (!label->has_value()) return std::optional<Structure>();
    Structure structure = structure_in(window, "lvm2", "LVM2", place);
    const Result<PhysicalVolume> volume = read_physical_volume(window);
    if (!volume) {
        structure.findings.push_back(found(structure.where, "fs-uuid", ""));
        return with_places(std::move(structure), volume.error());
    }
    structure.findings = findings_of(structure.where, *volume);
    return with_places(std::move(structure), places_of(window, *volume));
}

Result<Patching> patch_lvm2(const PatchRequest& request) {
    const Window& window = request.window;
    const Result<PhysicalVolume> volume = read_physical_volume(window);
    if (!volume) return volume.error();
    if (Result<void> same = check_places(request.structure, places_of(window, *volume)); !same) {
        return same.error();
    }
    if (Result<void> none = check_no_label(request, "LVM2 has none"); !none) return none.error();
    if (request.uuid) {
        return Error{ErrorCode::usage,
                     "the ids of " + request.structure.where + " cannot be chosen by name"};
    }
    Patching patching;
    patching.findings = findings_of(request.structure.where, *volume);
    std::string text = volume->areas.front().text;
    for (Finding& finding : patching.findings) {
        const std::string digits = derived_id(request, finding);
        finding.new_value = lvm2::id_with_dashes(digits);
        for (const lvm2::IdField& field : volume->ids) {
            if (field.id != finding.old_value) continue;
            text.replace(field.offset, finding.new_value.size(), finding.new_value);
        }
        if (finding.kind == "fs-uuid") {
            patching.patches.push_back(label_patch(window, *volume, digits));
        }
    }
    patching.findings.front().note =
        "the group keeps its name, and what is on its logical volumes keeps its identity";
    for (const MetadataArea& area : volume->areas)
        append_area(window, area, text, patching.patches);
    return patching;
}

}  // namespace cowtgt::identity
