#include "cow-store/identity/fat.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <vector>

#include "cow-store/identity/disk_text.h"
#include "cow-store/identity/fat_layout.h"

namespace cowtgt::identity {

using fat::DirectoryEntry;
using fat::ExtendedFields;
using fat::Run;
using fat::Volume;

namespace {

constexpr std::string_view no_name = "NO NAME    ";

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

bool is_label(const DirectoryEntry& entry) {
    return (entry.attributes & fat::attributes_of_long_name) != fat::attributes_of_long_name &&
           (entry.attributes & fat::attribute_volume_id) != 0 &&
           (entry.attributes & fat::attribute_directory) == 0;
}

Result<LabelSlot> find_label(const Window& window, const Volume& volume) {
    const auto runs = fat::root_directory(window, volume);
    if (!runs) return runs.error();
    LabelSlot slot{};
    for (const Run& run : *runs) {
        const auto bytes = window.read_bytes(run.offset, run.length);
        if (!bytes) return bytes.error();
        for (std::uint64_t at = 0; at + sizeof(DirectoryEntry) <= run.length;
             at += sizeof(DirectoryEntry)) {
            DirectoryEntry entry;
            std::memcpy(&entry, bytes->data() + at, sizeof(entry));
            const bool is_end = entry.name[0] == fat::never_used;
            // Behind the end of the directory all entries must say so too, or they would appear.
            const std::uint64_t next = at + sizeof(DirectoryEntry);
            const bool can_move_end = next < run.length && (*bytes)[next] == fat::never_used;
            if (!slot.free && (entry.name[0] == fat::deleted || (is_end && can_move_end))) {
                slot.free = run.offset + at;
            }
            if (is_end) return slot;
            if (entry.name[0] == fat::deleted || !is_label(entry)) continue;
            slot.used = run.offset + at;
            slot.entry = entry;
            return slot;
        }
    }
    return slot;
}

/// Reads and checks all that a patch changes. The error is the reason to keep the identity.
Result<FatFileSystem> read_file_system(const Window& window) {
    const Result<Volume> volume = fat::read_volume(window);
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
    if (!slot.used && !slot.free) {
        return Error{ErrorCode::refused, "its root directory has no room for a label"};
    }
    DirectoryEntry entry = slot.used ? slot.entry : DirectoryEntry{};
    entry.name = label;
    entry.attributes = fat::attribute_volume_id;
    return patch_at(window, slot.used ? *slot.used : *slot.free, bytes_of_struct(entry));
}

}  // namespace

Result<std::optional<Structure>> examine_fat(const Window& window, const std::string& place) {
    if (!window.contains(0, 512)) return std::optional<Structure>();
    const auto sector = window.read_bytes(0, 512);
    if (!sector) return sector.error();
    const std::optional<std::uint64_t> offset = fat::fields_offset_of(*sector);
    if (!offset) return std::optional<Structure>();
    Structure structure = structure_in(window, "fat", "FAT", place);
    const Result<FatFileSystem> fs = read_file_system(window);
    structure.findings.push_back(serial_finding(structure.where, *fat::fields_at(*sector, *offset),
                                                fs ? fs->slot : LabelSlot{}));
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
