#include "cow-store/identity/signatures.h"

#include <algorithm>
#include <array>
#include <string_view>

namespace cowtgt::identity {

namespace {

using namespace std::string_view_literals;

struct Signature {
    std::uint64_t offset;  ///< bytes from the start of the partition
    std::string_view magic;
    std::string_view name;
};

// Order matters: a volume manager's own signature goes before what may be left of an older use.
constexpr std::array signatures = {
    Signature{0, "LUKS\xba\xbe"sv, "LUKS"},
    Signature{512, "LABELONE"sv, "LVM2"},
    Signature{4096, "\xfc\x4e\x2b\xa9"sv, "MD RAID"},
    Signature{0x10040, "_BHRfS_M"sv, "Btrfs"},
    Signature{4086, "SWAPSPACE2"sv, "swap"},
    Signature{4086, "S1SUSPEND"sv, "hibernation image"},
    Signature{3, "NTFS    "sv, "NTFS"},
    Signature{3, "EXFAT   "sv, "exFAT"},
    Signature{0x52, "FAT32   "sv, "FAT"},
    Signature{0x36, "FAT1"sv, "FAT"},
    Signature{1024, "\x10\x20\xf5\xf2"sv, "F2FS"},
    Signature{1024, "\xe2\xe1\xf5\xe0"sv, "EROFS"},
    Signature{0, "hsqs"sv, "squashfs"},
};

}  // namespace

Result<std::optional<Structure>> examine_signatures(const Window& window,
                                                    const std::string& place) {
    for (const Signature& row : signatures) {
        if (!window.contains(row.offset, row.magic.size())) continue;
        const Result<std::vector<std::byte>> found =
            window.read_bytes(row.offset, row.magic.size());
        if (!found) return found.error();
        if (!std::ranges::equal(*found, bytes_of(row.magic))) continue;

        Structure structure;
        structure.format = "signature";
        structure.where = std::string(row.name) + " on " + place;
        structure.begin = window.begin();
        structure.length = window.length();
        structure.kept_because = std::string(row.name) + " is not supported yet";
        structure.findings.push_back({.where = structure.where,
                                      .kind = "fs-uuid",
                                      .label = {},
                                      .old_value = {},
                                      .new_value = {},
                                      .kept_because = structure.kept_because,
                                      .note = {}});
        return std::optional(std::move(structure));
    }
    return std::optional<Structure>();
}

}  // namespace cowtgt::identity
