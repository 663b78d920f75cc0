#include "cow-store/identity/btrfs.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <vector>

#include "cow-store/base/checksum.h"
#include "cow-store/base/endian.h"
#include "cow-store/identity/digests.h"
#include "cow-store/identity/disk_text.h"

namespace cowtgt::identity {

namespace {

/// btrfs_super_block, with the names of the kernel.
struct Superblock {
    std::array<std::byte, 32> csum;  ///< of all behind it
    std::array<std::byte, 16> fsid;
    le64 bytenr;  ///< where this copy lies, bytes
    le64 flags;
    std::array<std::byte, 8> magic;
    le64 generation;
    std::array<std::byte, 0x38> roots_and_sizes_50;
    le64 num_devices;
    le32 sectorsize;
    le32 nodesize;
    std::array<std::byte, 0x1c> sizes_and_compat_98;
    le64 compat_ro_flags;
    le64 incompat_flags;
    le16 csum_type;
    std::array<std::byte, 3> levels_c6;
    le64 dev_item_devid;
    le64 dev_item_total_bytes;
    std::array<std::byte, 0x32> dev_item_numbers_d9;
    std::array<std::byte, 16> dev_item_uuid;
    std::array<std::byte, 16> dev_item_fsid;  ///< is the metadata_uuid
    std::array<std::byte, 256> label;
    std::array<std::byte, 0x10> cache_and_uuid_tree_22b;
    std::array<std::byte, 16> metadata_uuid;  ///< only with its feature
    std::array<std::byte, 0xdb5> roots_24b;
};
static_assert(sizeof(Superblock) == 4096 && alignof(Superblock) == 1);
static_assert(offsetof(Superblock, magic) == 0x40 && offsetof(Superblock, num_devices) == 0x88);
static_assert(offsetof(Superblock, incompat_flags) == 0xbc);
static_assert(offsetof(Superblock, csum_type) == 0xc4 &&
              offsetof(Superblock, dev_item_devid) == 0xc9);
static_assert(offsetof(Superblock, dev_item_uuid) == 0x10b && offsetof(Superblock, label) == 0x12b);
static_assert(offsetof(Superblock, metadata_uuid) == 0x23b);

constexpr std::string_view superblock_magic = "_BHRfS_M";
constexpr std::array<std::uint64_t, 3> superblock_offsets = {
    std::uint64_t{64} << 10, std::uint64_t{64} << 20, std::uint64_t{256} << 30};
constexpr std::uint64_t incompat_metadata_uuid = 1 << 10;
/// Every feature whose dealings with the fsid are known: up to raid1c34 without zoned, and the free
/// space tree, verity and the block group tree.
constexpr std::uint64_t incompat_known = 0xfff;
constexpr std::uint64_t compat_ro_known = 0xf;
constexpr std::uint64_t flag_written = 1 << 0;
constexpr std::uint64_t flag_relocated = 1 << 1;
constexpr std::uint64_t flag_error = 1 << 2;
constexpr std::uint64_t flag_seeding = std::uint64_t{1} << 32;
constexpr std::size_t label_bytes_max = 255;

struct SuperblockCopy {
    std::uint64_t number;
    Superblock sb;
};

bool is_superblock(const Superblock& sb) {
    return std::ranges::equal(sb.magic, bytes_of(superblock_magic));
}

bool has_metadata_uuid(const Superblock& sb) {
    return (sb.incompat_flags.get() & incompat_metadata_uuid) != 0;
}

const std::array<std::byte, 16>& metadata_uuid_of(const Superblock& sb) {
    return has_metadata_uuid(sb) ? sb.metadata_uuid : sb.fsid;
}

/// Nothing for a type of checksum that is not known.
std::optional<std::array<std::byte, 32>> checksum_of(const Superblock& sb) {
    const Bytes covered = bytes_of_struct(sb).subspan(sizeof(sb.csum));
    std::array<std::byte, 32> csum{};
    switch (sb.csum_type.get()) {
        case 0: {
            const le32 crc = crc32c(covered);
            std::memcpy(csum.data(), &crc, sizeof(crc));
            return csum;
        }
        case 1: {
            const le64 hash = xxh64(covered);
            std::memcpy(csum.data(), &hash, sizeof(hash));
            return csum;
        }
        case 2:
            return sha256(covered);
        case 3:
            return blake2b_256(covered);
        default:
            return std::nullopt;
    }
}

Result<void> check_checksum(const SuperblockCopy& copy) {
    const auto csum = checksum_of(copy.sb);
    if (!csum) return Error{ErrorCode::unsupported, "its checksums are of an unknown type"};
    if (*csum != copy.sb.csum) {
        return Error{ErrorCode::corrupt, "the checksum of its superblock " +
                                             std::to_string(copy.number) +
                                             " is wrong: run btrfs rescue super-recover"};
    }
    return {};
}

Result<void> check_primary(const Window& window, const Superblock& sb) {
    const auto refused = [](const char* reason) { return Error{ErrorCode::refused, reason}; };
    if ((sb.incompat_flags.get() & ~incompat_known) != 0 ||
        (sb.compat_ro_flags.get() & ~compat_ro_known) != 0) {
        return Error{ErrorCode::unsupported,
                     "it has features that this version does not know, which may depend on the "
                     "UUID: see btrfs inspect-internal dump-super, and make it anew without them"};
    }
    const std::uint64_t flags = sb.flags.get();
    if ((flags & flag_seeding) != 0) {
        return refused(
            "it is a seed for other file systems, which refer to its UUID: clear that with "
            "btrfstune "
            "-S 0");
    }
    if ((flags & flag_error) != 0) return refused("it is marked as having errors: run btrfs check");
    if ((flags & ~(flag_written | flag_relocated)) != 0) {
        return refused("a change of its UUID or a restore was not finished: run btrfstune again");
    }
    if (sb.num_devices.get() != 1) {
        return refused(
            "it lies on several devices, which must all have the same UUID: leave one of them with "
            "btrfs device remove");
    }
    if (sb.dev_item_fsid != metadata_uuid_of(sb)) {
        return Error{ErrorCode::corrupt,
                     "its device item has another UUID than its metadata: run btrfs check"};
    }
    if (sb.dev_item_total_bytes.get() > window.length()) {
        return Error{ErrorCode::corrupt,
                     "it is larger than the space it lies in (was the image cut off?)"};
    }
    return {};
}

/// A copy may be of an older generation: fsync writes the first one only.
Result<void> check_mirror(const Superblock& primary, const SuperblockCopy& copy) {
    const Superblock& sb = copy.sb;
    const std::string name = "its superblock " + std::to_string(copy.number);
    if (!is_superblock(sb) || sb.fsid != primary.fsid || sb.csum_type != primary.csum_type ||
        sb.num_devices != primary.num_devices || sb.dev_item_devid != primary.dev_item_devid ||
        sb.dev_item_uuid != primary.dev_item_uuid || sb.dev_item_fsid != primary.dev_item_fsid ||
        has_metadata_uuid(sb) != has_metadata_uuid(primary) ||
        metadata_uuid_of(sb) != metadata_uuid_of(primary)) {
        return Error{ErrorCode::corrupt,
                     name + " differs from the primary: run btrfs rescue super-recover"};
    }
    return check_checksum(copy);
}

/// All copies, read and found good; the primary first. The error is the reason to keep the
/// identity.
Result<std::vector<SuperblockCopy>> read_superblocks(const Window& window) {
    std::vector<SuperblockCopy> copies;
    for (std::uint64_t i = 0; i < superblock_offsets.size(); ++i) {
        // The kernel writes those that end before the end of the device.
        if (i > 0 && superblock_offsets[i] + sizeof(Superblock) >=
                         copies.front().sb.dev_item_total_bytes.get()) {
            break;
        }
        const Result<Superblock> sb = window.read_struct<Superblock>(superblock_offsets[i]);
        if (!sb) return sb.error();
        SuperblockCopy copy{.number = i, .sb = *sb};
        if (i == 0 && !is_superblock(*sb)) {
            return Error{ErrorCode::corrupt, "the Btrfs file system is gone"};
        }
        Result<void> good = i == 0 ? check_checksum(copy) : check_mirror(copies.front().sb, copy);
        if (good && sb->bytenr.get() != superblock_offsets[i]) {
            good = Error{ErrorCode::corrupt, "its superblock " + std::to_string(i) +
                                                 " says that it lies elsewhere: run btrfs check"};
        }
        if (good && i == 0) good = check_primary(window, *sb);
        if (!good) return good.error();
        copies.push_back(copy);
    }
    return copies;
}

std::vector<Place> places_of(const Window& window, const std::vector<SuperblockCopy>& copies) {
    std::vector<Place> places;
    for (const SuperblockCopy& copy : copies) {
        places.push_back({.role = "superblock",
                          .offset = window.begin() + superblock_offsets[copy.number],
                          .length = sizeof(Superblock),
                          .number = copy.number});
    }
    return places;
}

Finding uuid_finding(const std::string& where, const Superblock& sb) {
    return found(where, "fs-uuid", to_string(uuid_from_disk(sb.fsid)), text_from_disk(sb.label));
}

Superblock with_identity(Superblock sb, const Uuid& uuid, const std::optional<std::string>& label) {
    const std::array<std::byte, 16> metadata_uuid = metadata_uuid_of(sb);
    std::memcpy(sb.fsid.data(), uuid.bytes.data(), sb.fsid.size());
    std::uint64_t incompat = sb.incompat_flags.get() | incompat_metadata_uuid;
    sb.metadata_uuid = metadata_uuid;
    if (sb.fsid == metadata_uuid) {  // back to its first one: the feature is not needed any more
        incompat &= ~incompat_metadata_uuid;
        sb.metadata_uuid = {};
    }
    sb.incompat_flags = incompat;
    if (label) {
        sb.label = {};
        std::memcpy(sb.label.data(), label->data(), label->size());
    }
    const auto csum = checksum_of(sb);
    CHECK(csum.has_value());
    sb.csum = *csum;
    return sb;
}

}  // namespace

Result<std::optional<Structure>> examine_btrfs(const Window& window, const std::string& place) {
    if (!window.contains(superblock_offsets[0], sizeof(Superblock))) {
        return std::optional<Structure>();
    }
    const Result<Superblock> sb = window.read_struct<Superblock>(superblock_offsets[0]);
    if (!sb) return sb.error();
    if (!is_superblock(*sb)) return std::optional<Structure>();
    Structure structure = structure_in(window, "btrfs", "Btrfs", place);
    structure.findings.push_back(uuid_finding(structure.where, *sb));
    const auto copies = read_superblocks(window);
    if (!copies) return with_places(std::move(structure), copies.error());
    return with_places(std::move(structure), places_of(window, *copies));
}

Result<Patching> patch_btrfs(const PatchRequest& request) {
    const Window& window = request.window;
    const auto copies = read_superblocks(window);
    if (!copies) return copies.error();
    if (Result<void> same = check_places(request.structure, places_of(window, *copies)); !same) {
        return same.error();
    }
    const Superblock& primary = copies->front().sb;
    const Result<Uuid> uuid = chosen_uuid(request, "fs-uuid", uuid_from_disk(primary.fsid));
    if (!uuid) return uuid.error();
    if (request.label) {
        const Result<void> fits = check_label(*request.label, label_bytes_max, "Btrfs");
        if (!fits) return fits.error();
    }

    Patching patching;
    for (const SuperblockCopy& copy : *copies) {
        const Superblock sb = with_identity(copy.sb, *uuid, request.label);
        patching.patches.push_back(
            patch_at(window, superblock_offsets[copy.number], bytes_of_struct(sb)));
    }
    Finding finding = changed(uuid_finding(request.structure.where, primary), to_string(*uuid));
    if (!has_metadata_uuid(primary)) {
        finding.note = "the feature metadata_uuid is on now: Linux 5.0 or newer reads it";
    }
    patching.findings.push_back(finding);
    if (request.label) patching.findings.push_back(changed_label(finding, *request.label));
    return patching;
}

}  // namespace cowtgt::identity
