#include "cow-store/identity/signatures.h"

#include <algorithm>
#include <array>
#include <string_view>

#include "cow-store/base/endian.h"
#include "cow-store/identity/formats.h"

namespace cowtgt::identity {

namespace {

using namespace std::string_view_literals;

struct Signature {
    std::uint64_t offset;  ///< bytes from the start of the partition
    std::string_view magic;
    std::string_view name;
};

constexpr std::array signatures = {
    Signature{1024, "\x10\x20\xf5\xf2"sv, "F2FS"},
    Signature{1024, "\xe2\xe1\xf5\xe0"sv, "EROFS"},
    Signature{0, "hsqs"sv, "squashfs"},
    Signature{4120, "\xc6\x85\x73\xf6\x4e\x1a\x45\xca"sv, "bcachefs"},
    Signature{0x8001, "CD001"sv, "ISO 9660"},
    Signature{4086, "SWAP-SPACE"sv, "old swap"},
};

constexpr std::uint32_t raid_magic = 0xa92b4efc;

/// Where an MD superblock of version 1.1, 1.2, 1.0 and 0.90 lies.
std::array<std::uint64_t, 4> raid_offsets(std::uint64_t length) {
    constexpr std::uint64_t room_at_end = 8192;
    constexpr std::uint64_t unit_of_090 = 65536;
    const std::uint64_t near_end = length < room_at_end ? 0 : length - room_at_end;
    const std::uint64_t last_unit = length < unit_of_090 ? unit_of_090 : length;
    return {0, 4096, round_down(near_end, 4096), round_down(last_unit, unit_of_090) - unit_of_090};
}

Structure kept_structure(const Window& window, std::string_view name, const std::string& place,
                         const std::string& reason) {
    Structure structure = structure_in(window, "signature", name, place);
    structure.findings.push_back(found(structure.where, "fs-uuid", ""));
    return kept(std::move(structure), reason);
}

}  // namespace

Result<std::optional<Structure>> examine_raid_member(const Window& window,
                                                     const std::string& place) {
    for (const std::uint64_t offset : raid_offsets(window.length())) {
        if (!window.contains(offset, sizeof(le32))) continue;
        const Result<le32> magic = window.read_struct<le32>(offset);
        if (!magic) return magic.error();
        if (magic->get() != raid_magic) continue;
        return std::optional(kept_structure(
            window, "MD RAID", place,
            "it is a member of an MD RAID, whose members must stay alike: make the template from "
            "the assembled array"));
    }
    return std::optional<Structure>();
}

Result<std::optional<Structure>> examine_signatures(const Window& window,
                                                    const std::string& place) {
    for (const Signature& row : signatures) {
        if (!window.contains(row.offset, row.magic.size())) continue;
        const Result<std::vector<std::byte>> bytes =
            window.read_bytes(row.offset, row.magic.size());
        if (!bytes) return bytes.error();
        if (!std::ranges::equal(*bytes, bytes_of(row.magic))) continue;
        const std::string reason = std::string(row.name) + " is not supported yet";
        return std::optional(kept_structure(window, row.name, place, reason));
    }
    return std::optional<Structure>();
}

}  // namespace cowtgt::identity
