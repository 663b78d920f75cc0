#include "cow-store/identity/ext.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <vector>

#include "cow-store/identity/disk_text.h"
#include "cow-store/identity/ext_layout.h"

namespace cowtgt::identity {

using ext::DescriptorRun;
using ext::Geometry;
using ext::Superblock;

namespace {

constexpr std::uint32_t rev_level_dynamic = 1;
constexpr std::uint8_t checksum_type_crc32c = 1;

struct SuperblockCopy {
    std::uint64_t group;
    std::uint64_t offset;  ///< bytes from the start of the window
    Superblock sb;
};

struct DescriptorCopy {
    DescriptorRun run;
    std::vector<std::byte> bytes;
};

/// Everything of the file system that a patch changes, read and found good.
struct ExtFileSystem {
    Geometry geometry;
    std::vector<SuperblockCopy> superblocks;  ///< the primary one first
    std::vector<DescriptorCopy> descriptors;  ///< only with uninit_bg
};

std::string_view name_of(const Superblock& sb) {
    constexpr std::uint32_t incompat_of_ext3 = 0x0016;   // filetype, recover, meta_bg
    constexpr std::uint32_t ro_compat_of_ext3 = 0x0007;  // sparse_super, large_file, btree_dir
    if ((sb.s_feature_incompat.get() & ~incompat_of_ext3) != 0 ||
        (sb.s_feature_ro_compat.get() & ~ro_compat_of_ext3) != 0) {
        return "ext4";
    }
    return ext::has_compat(sb, ext::compat_has_journal) ? "ext3" : "ext2";
}

/// Nothing happened to the file system that somebody has to look at first.
Result<void> check_clean(const Superblock& sb) {
    const auto refused = [](const char* reason) { return Error{ErrorCode::refused, reason}; };
    if (ext::has_incompat(sb, ext::incompat_recover)) {
        return refused(
            "its journal was not replayed (the machine was running or crashed) and would bring "
            "the old identity back: run e2fsck -p on it, or mount and unmount it once");
    }
    if ((sb.s_state.get() & ext::state_valid) == 0) {
        return refused("it was not unmounted cleanly: run e2fsck -f on it");
    }
    return {};
}

/// A backup may lag behind in counts and in features that nothing here depends on.
Result<void> check_backup(const Superblock& primary, const SuperblockCopy& copy) {
    constexpr std::uint32_t incompat_compared =
        ext::incompat_64bit | ext::incompat_meta_bg | ext::incompat_csum_seed;
    constexpr std::uint32_t ro_compat_compared = ext::ro_compat_sparse_super |
                                                 ext::ro_compat_gdt_csum | ext::ro_compat_bigalloc |
                                                 ext::ro_compat_metadata_csum;
    const Superblock& sb = copy.sb;
    const auto differ = [](const le32& a, const le32& b, std::uint32_t bits) {
        return ((a.get() ^ b.get()) & bits) != 0;
    };
    const auto refused = [&copy](std::string_view what) {
        return Error{ErrorCode::corrupt, "the backup superblock in group " +
                                             std::to_string(copy.group) + " " + std::string(what) +
                                             ": run e2fsck -f on it"};
    };
    if (sb.s_magic.get() != ext::superblock_magic || sb.s_uuid != primary.s_uuid ||
        sb.s_blocks_count_lo != primary.s_blocks_count_lo ||
        sb.s_blocks_count_hi != primary.s_blocks_count_hi ||
        sb.s_inodes_count != primary.s_inodes_count ||
        sb.s_first_data_block != primary.s_first_data_block ||
        sb.s_log_block_size != primary.s_log_block_size ||
        sb.s_log_cluster_size != primary.s_log_cluster_size ||
        sb.s_blocks_per_group != primary.s_blocks_per_group ||
        sb.s_inodes_per_group != primary.s_inodes_per_group ||
        sb.s_inode_size != primary.s_inode_size || sb.s_desc_size != primary.s_desc_size ||
        sb.s_checksum_seed != primary.s_checksum_seed ||
        differ(sb.s_feature_incompat, primary.s_feature_incompat, incompat_compared) ||
        differ(sb.s_feature_ro_compat, primary.s_feature_ro_compat, ro_compat_compared)) {
        return refused("differs from the primary");
    }
    if (ext::has_ro_compat(sb, ext::ro_compat_metadata_csum) &&
        sb.s_checksum.get() != ext::checksum_of(sb)) {
        return refused("has a wrong checksum");
    }
    return {};
}

Result<std::vector<SuperblockCopy>> read_superblocks(const Window& window,
                                                     const Superblock& primary,
                                                     const Geometry& geometry) {
    const Result<std::vector<std::uint64_t>> groups = ext::superblock_groups(primary, geometry);
    if (!groups) return groups.error();
    std::vector<SuperblockCopy> copies;
    copies.reserve(groups->size());
    copies.push_back({0, ext::superblock_offset, primary});
    for (const std::uint64_t group : *groups) {
        if (group == 0) continue;
        const std::uint64_t offset = ext::group_offset(geometry, group);
        const Result<Superblock> sb = window.read_struct<Superblock>(offset);
        if (!sb) return sb.error();
        copies.push_back({group, offset, *sb});
        if (const Result<void> good = check_backup(primary, copies.back()); !good) {
            return good.error();
        }
    }
    return copies;
}

/// The descriptor of the run's `i`th group.
template <typename Container>
auto descriptor_at(Container& bytes, const Geometry& geometry, std::uint64_t i) {
    return std::span(bytes).subspan(i * geometry.descriptor_size, geometry.descriptor_size);
}

Result<std::vector<DescriptorCopy>> read_descriptors(const Window& window,
                                                     const Superblock& primary,
                                                     const Geometry& geometry) {
    const Result<std::vector<DescriptorRun>> runs = ext::descriptor_runs(primary, geometry);
    if (!runs) return runs.error();
    const std::uint16_t seed = ext::group_checksum_seed(primary.s_uuid);
    std::vector<DescriptorCopy> copies;
    for (const DescriptorRun& run : *runs) {
        Result<std::vector<std::byte>> bytes =
            window.read_bytes(run.offset, run.group_count * geometry.descriptor_size);
        if (!bytes) return bytes.error();
        for (std::uint64_t i = 0; i < run.group_count; ++i) {
            const auto group = static_cast<std::uint32_t>(run.first_group + i);
            const auto descriptor = descriptor_at(*bytes, geometry, i);
            le16 stored;
            std::memcpy(&stored, descriptor.data() + ext::group_checksum_offset, sizeof(stored));
            if (stored.get() != ext::group_checksum(seed, group, descriptor)) {
                return Error{ErrorCode::corrupt, "the descriptor of group " +
                                                     std::to_string(group) +
                                                     " has a wrong checksum: run e2fsck -f on it"};
            }
        }
        copies.push_back({run, *std::move(bytes)});
    }
    return copies;
}

/// Reads and checks all that a patch changes. The error is the reason to keep the identity.
Result<ExtFileSystem> read_file_system(const Window& window) {
    const Result<Superblock> primary = window.read_struct<Superblock>(ext::superblock_offset);
    if (!primary) return primary.error();
    if (primary->s_magic.get() != ext::superblock_magic) {
        return Error{ErrorCode::corrupt, "the ext file system is gone"};
    }
    if (const Result<void> good = check_ext_superblock(*primary); !good) return good.error();
    if (const Result<void> clean = check_clean(*primary); !clean) return clean.error();
    const Result<Geometry> geometry = ext::geometry_of(*primary);
    if (!geometry) return geometry.error();
    if (geometry->length() > window.length()) {
        return Error{ErrorCode::corrupt,
                     "it is larger than the space it lies in (was the image cut off?)"};
    }
    Result<std::vector<SuperblockCopy>> superblocks = read_superblocks(window, *primary, *geometry);
    if (!superblocks) return superblocks.error();
    ExtFileSystem fs{*geometry, *std::move(superblocks), {}};
    if (ext::has_old_group_checksums(*primary)) {
        Result<std::vector<DescriptorCopy>> descriptors =
            read_descriptors(window, *primary, *geometry);
        if (!descriptors) return descriptors.error();
        fs.descriptors = *std::move(descriptors);
    }
    return fs;
}

std::vector<Place> places_of(const Window& window, const ExtFileSystem& fs) {
    std::vector<Place> places;
    for (const SuperblockCopy& copy : fs.superblocks) {
        places.push_back({.role = "superblock",
                          .offset = window.begin() + copy.offset,
                          .length = sizeof(Superblock),
                          .number = copy.group});
    }
    for (const DescriptorCopy& copy : fs.descriptors) {
        places.push_back({.role = "descriptors",
                          .offset = window.begin() + copy.run.offset,
                          .length = copy.bytes.size(),
                          .number = copy.run.first_group});
    }
    return places;
}

Finding uuid_finding(const std::string& where, const Superblock& sb) {
    return found(where, "fs-uuid", to_string(uuid_from_disk(sb.s_uuid)),
                 text_from_disk(sb.s_volume_name));
}

/// What all copies get.
struct NewIdentity {
    std::array<std::byte, 16> uuid;
    std::array<std::byte, 16> volume_name;
    bool needs_seed;     ///< checksums start from the UUID or from a seed
    std::uint32_t seed;  ///< the one that the checksums on disk were made with
};

Patch superblock_patch(const Window& window, const SuperblockCopy& copy, const NewIdentity& to) {
    Superblock sb = copy.sb;
    sb.s_uuid = to.uuid;
    sb.s_volume_name = to.volume_name;
    if (to.needs_seed) {
        sb.s_feature_incompat = sb.s_feature_incompat.get() | ext::incompat_csum_seed;
        sb.s_checksum_seed = to.seed;
    }
    if (ext::has_ro_compat(sb, ext::ro_compat_metadata_csum)) {
        sb.s_checksum = ext::checksum_of(sb);
    }
    const Bytes bytes = bytes_of_struct(sb);
    return {window.begin() + copy.offset, std::vector<std::byte>(bytes.begin(), bytes.end())};
}

Patch descriptor_patch(const Window& window, const Geometry& geometry, const DescriptorCopy& copy,
                       const NewIdentity& to) {
    const std::uint16_t seed = ext::group_checksum_seed(to.uuid);
    std::vector<std::byte> bytes = copy.bytes;
    for (std::uint64_t i = 0; i < copy.run.group_count; ++i) {
        const auto descriptor = descriptor_at(bytes, geometry, i);
        const auto group = static_cast<std::uint32_t>(copy.run.first_group + i);
        const le16 checksum = ext::group_checksum(seed, group, descriptor);
        std::memcpy(descriptor.data() + ext::group_checksum_offset, &checksum, sizeof(checksum));
    }
    return {window.begin() + copy.run.offset, std::move(bytes)};
}

Result<NewIdentity> new_identity(const PatchRequest& request, const Superblock& primary) {
    NewIdentity to{};
    const Result<Uuid> uuid = chosen_uuid(request, "fs-uuid", uuid_from_disk(primary.s_uuid));
    if (!uuid) return uuid.error();
    std::memcpy(to.uuid.data(), uuid->bytes.data(), to.uuid.size());
    to.volume_name = primary.s_volume_name;
    if (request.label) {
        const Result<void> fits = check_label(*request.label, to.volume_name.size(), "ext");
        if (!fits) return fits.error();
        to.volume_name = {};
        std::memcpy(to.volume_name.data(), request.label->data(), request.label->size());
    }
    const bool has_seed = ext::has_incompat(primary, ext::incompat_csum_seed);
    to.needs_seed = has_seed || ext::has_ro_compat(primary, ext::ro_compat_metadata_csum) ||
                    ext::has_incompat(primary, ext::incompat_ea_inode);
    to.seed = has_seed ? primary.s_checksum_seed.get() : ext::seed_of(primary.s_uuid);
    return to;
}

}  // namespace

Result<void> check_ext_superblock(const Superblock& sb) {
    const auto refused = [](const char* reason) { return Error{ErrorCode::refused, reason}; };
    if (sb.s_rev_level.get() != rev_level_dynamic) {
        return refused(
            "it is of an old revision that has no features: copy it to a new file system");
    }
    if (ext::has_ro_compat(sb, ext::ro_compat_metadata_csum)) {
        if (sb.s_checksum_type != checksum_type_crc32c) {
            return Error{ErrorCode::unsupported, "its checksums are of an unknown type"};
        }
        if (sb.s_checksum.get() != ext::checksum_of(sb)) {
            return Error{ErrorCode::corrupt,
                         "the checksum of its superblock is wrong: run e2fsck -f on it"};
        }
    }
    if (ext::has_incompat(sb, ext::incompat_journal_dev)) {
        return refused(
            "it is the journal of a file system on another device, which names it: make that "
            "journal internal and leave this one out");
    }
    const auto unknown = [](const le32& features, std::uint32_t known) {
        return (features.get() & ~known) != 0;
    };
    if (unknown(sb.s_feature_compat, ext::compat_known) ||
        unknown(sb.s_feature_incompat, ext::incompat_known) ||
        unknown(sb.s_feature_ro_compat, ext::ro_compat_known)) {
        return Error{ErrorCode::unsupported,
                     "it has features that this version does not know, which may depend on the "
                     "UUID: see dumpe2fs -h, and clear them with tune2fs"};
    }
    if ((sb.s_state.get() & ext::state_error) != 0) {
        return refused("it is marked as having errors: run e2fsck -f on it");
    }
    if (ext::has_compat(sb, ext::compat_stable_inodes)) {
        return refused(
            "its encryption is bound to the UUID (feature stable_inodes): make it anew without "
            "that");
    }
    if (ext::has_compat(sb, ext::compat_has_journal) &&
        (sb.s_journal_dev.get() != 0 || sb.s_journal_inum.get() == 0)) {
        return refused(
            "its journal is on another device, which has the UUID too: make it internal with "
            "tune2fs "
            "-O ^has_journal and tune2fs -j");
    }
    return {};
}

Result<std::optional<Structure>> examine_ext(const Window& window, const std::string& place) {
    if (!window.contains(ext::superblock_offset, sizeof(Superblock))) {
        return std::optional<Structure>();
    }
    const Result<Superblock> primary = window.read_struct<Superblock>(ext::superblock_offset);
    if (!primary) return primary.error();
    if (primary->s_magic.get() != ext::superblock_magic) return std::optional<Structure>();

    Structure structure = structure_in(window, "ext", name_of(*primary), place);
    structure.findings.push_back(uuid_finding(structure.where, *primary));
    structure.needs_replay =
        check_ext_superblock(*primary) && ext::has_incompat(*primary, ext::incompat_recover);
    const Result<ExtFileSystem> fs = read_file_system(window);
    if (!fs) return with_places(std::move(structure), fs.error());
    return with_places(std::move(structure), places_of(window, *fs));
}

Result<Patching> patch_ext(const PatchRequest& request) {
    const Window& window = request.window;
    const Result<ExtFileSystem> fs = read_file_system(window);
    if (!fs) return fs.error();
    if (Result<void> same = check_places(request.structure, places_of(window, *fs)); !same) {
        return same.error();
    }
    const Superblock& primary = fs->superblocks.front().sb;
    const Result<NewIdentity> to = new_identity(request, primary);
    if (!to) return to.error();

    Patching patching;
    patching.patches.reserve(fs->superblocks.size() + fs->descriptors.size());
    for (const SuperblockCopy& copy : fs->superblocks) {
        patching.patches.push_back(superblock_patch(window, copy, *to));
    }
    for (const DescriptorCopy& copy : fs->descriptors) {
        patching.patches.push_back(descriptor_patch(window, fs->geometry, copy, *to));
    }
    Finding uuid = uuid_finding(request.structure.where, primary);
    uuid = changed(std::move(uuid), to_string(uuid_from_disk(to->uuid)));
    if (to->needs_seed && !ext::has_incompat(primary, ext::incompat_csum_seed)) {
        uuid.note =
            "the feature metadata_csum_seed is on now: Linux 4.4 or newer reads it, GRUB since "
            "2.12 or with its fix of 2021";
    }
    patching.findings.push_back(uuid);
    if (request.label) {
        patching.findings.push_back(changed_label(uuid, text_from_disk(to->volume_name)));
    }
    return patching;
}

}  // namespace cowtgt::identity
