#include "cow-store/identity/formats.h"

#include <array>
#include <charconv>
#include <system_error>
#include <utility>

#include "cow-store/identity/btrfs.h"
#include "cow-store/identity/exfat.h"
#include "cow-store/identity/ext.h"
#include "cow-store/identity/fat.h"
#include "cow-store/identity/luks.h"
#include "cow-store/identity/lvm2.h"
#include "cow-store/identity/ntfs.h"
#include "cow-store/identity/swap.h"
#include "cow-store/identity/xfs.h"

namespace cowtgt::identity {

namespace {

// What lies outermost comes first: a container, a magic number at the very beginning, and last what
// only looks like a boot sector.
constexpr std::array rows = {
    FileSystemFormat{"luks", examine_luks, patch_luks},
    FileSystemFormat{"lvm2", examine_lvm2, patch_lvm2},
    FileSystemFormat{"xfs", examine_xfs, patch_xfs},
    FileSystemFormat{"btrfs", examine_btrfs, patch_btrfs},
    FileSystemFormat{"swap", examine_swap, patch_swap},
    FileSystemFormat{"ext", examine_ext, patch_ext},
    FileSystemFormat{"exfat", examine_exfat, patch_exfat},
    FileSystemFormat{"ntfs", examine_ntfs, patch_ntfs},
    FileSystemFormat{"fat", examine_fat, patch_fat},
};

}  // namespace

std::span<const FileSystemFormat> file_system_formats() {
    return rows;
}

const FileSystemFormat* find_file_system_format(std::string_view name) {
    for (const FileSystemFormat& row : rows) {
        if (row.name == name) return &row;
    }
    return nullptr;
}

Uuid derived_uuid(const IdentityChoice& choice, std::string_view where, std::string_view kind) {
    const std::string name = std::string(where) + "/" + std::string(kind);
    // The digest is as good as random for whoever does not know the seed, so it is marked as a
    // random UUID: the guest need not learn that it was derived.
    return make_random_uuid(make_name_uuid(choice.seed, name).bytes);
}

Structure structure_in(const Window& window, std::string_view format, std::string_view name,
                       const std::string& place) {
    Structure structure;
    structure.format = format;
    structure.where = std::string(name) + " on " + place;
    structure.begin = window.begin();
    structure.length = window.length();
    return structure;
}

Finding found(const std::string& where, std::string_view kind, std::string_view old_value,
              std::string_view label) {
    return {.where = where,
            .kind = std::string(kind),
            .label = std::string(label),
            .old_value = std::string(old_value),
            .new_value = {},
            .kept_because = {},
            .note = {}};
}

Result<std::optional<Structure>> with_places(Structure structure,
                                             Result<std::vector<Place>> places) {
    if (!places) {
        if (!is_reason_to_keep(places.error())) return std::move(places).error();
        return std::optional(kept(std::move(structure), places.error().message));
    }
    structure.places = *std::move(places);
    return std::optional(std::move(structure));
}

Result<Uuid> chosen_uuid(const PatchRequest& request, std::string_view kind, const Uuid& old) {
    if (request.uuid) {
        const std::optional<Uuid> uuid = parse_uuid(*request.uuid);
        if (!uuid || uuid->is_nil()) {
            return Error{ErrorCode::usage, "\"" + *request.uuid + "\" is not a UUID"};
        }
        return *uuid;
    }
    if (request.choice.values == Values::as_in_image) return old;
    return derived_uuid(request.choice, request.structure.where, kind);
}

Result<std::uint64_t> chosen_serial(const PatchRequest& request, unsigned digits,
                                    std::uint64_t old) {
    if (request.uuid) {
        std::string text = *request.uuid;
        if (digits == 8 && text.size() == 9 && text[4] == '-') text.erase(4, 1);
        std::uint64_t serial = 0;
        const auto [end, error] =
            std::from_chars(text.data(), text.data() + text.size(), serial, 16);
        if (text.size() != digits || error != std::errc{} || end != text.data() + text.size() ||
            serial == 0) {
            return Error{ErrorCode::usage, "\"" + *request.uuid + "\" is not a serial number of " +
                                               std::to_string(digits) + " hexadecimal digits"};
        }
        return serial;
    }
    if (request.choice.values == Values::as_in_image) return old;
    const Uuid random = derived_uuid(request.choice, request.structure.where, "fs-uuid");
    // The last bytes: none of them carries the version of the UUID.
    std::uint64_t serial = 0;
    for (unsigned i = 0; i < digits / 2; ++i)
        serial = serial << 8 | random.bytes[(10 + i) % 16];
    return serial == 0 ? 1 : serial;
}

std::string serial_text(std::uint64_t serial, unsigned digits) {
    constexpr std::string_view hexadecimal = "0123456789ABCDEF";
    std::string text(digits, '0');
    for (std::size_t i = digits; i-- > 0; serial >>= 4)
        text[i] = hexadecimal[serial & 0xf];
    if (digits == 8) text.insert(4, "-");
    return text;
}

Finding changed(Finding finding, std::string new_value) {
    if (new_value == finding.old_value) {
        finding.kept_because = "it was asked to stay as it is";
    } else {
        finding.new_value = std::move(new_value);
    }
    return finding;
}

Finding changed_label(const Finding& of, std::string new_label) {
    return changed(found(of.where, "fs-label", of.label, of.label), std::move(new_label));
}

Result<void> check_label(std::string_view label, std::size_t bytes_max, std::string_view format) {
    if (label.size() > bytes_max) {
        return Error{ErrorCode::usage, "the label \"" + std::string(label) + "\" has " +
                                           std::to_string(label.size()) + " bytes, " +
                                           std::string(format) + " takes at most " +
                                           std::to_string(bytes_max)};
    }
    if (label.find('\0') != std::string_view::npos) {
        return Error{ErrorCode::usage, "a label cannot contain a NUL"};
    }
    return {};
}

Result<void> check_no_label(const PatchRequest& request, std::string_view why) {
    if (!request.label) return {};
    return Error{ErrorCode::usage, "the label of " + request.structure.where +
                                       " cannot be changed: " + std::string(why)};
}

Patch patch_at(const Window& window, std::uint64_t offset, Bytes bytes) {
    return {window.begin() + offset, std::vector<std::byte>(bytes.begin(), bytes.end())};
}

Structure kept(Structure structure, const std::string& reason) {
    structure.kept_because = reason;
    structure.places.clear();
    for (Finding& finding : structure.findings) {
        finding.new_value.clear();
        finding.note.clear();
        finding.kept_because = reason;
    }
    return structure;
}

Result<void> check_places(const Structure& structure, const std::vector<Place>& now) {
    if (structure.places == now) return {};
    return Error{ErrorCode::corrupt,
                 structure.where +
                     " is not where it was when the template was imported: import "
                     "the image again"};
}

}  // namespace cowtgt::identity
