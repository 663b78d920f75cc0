#include "cow-store/identity/ext_layout.h"

#include <algorithm>
#include <string>

#include "cow-store/base/checksum.h"

namespace cowtgt::identity::ext {

namespace {

constexpr std::uint32_t log_block_size_max = 6;  ///< 64 KiB
constexpr std::uint32_t log_cluster_ratio_max = 16;
constexpr std::uint64_t length_max = std::uint64_t{1} << 62;
constexpr std::uint64_t descriptor_size_small = 32;  ///< without 64bit
constexpr std::uint64_t descriptor_size_max = 1024;

/// CRC-16 with the reflected polynomial 0xA001, byte by byte: a clone with uninit_bg may hash
/// megabytes.
constexpr std::array<std::uint16_t, 256> make_crc16_table() {
    std::array<std::uint16_t, 256> table{};
    for (std::uint32_t byte = 0; byte < table.size(); ++byte) {
        std::uint32_t state = byte;
        for (int bit = 0; bit < 8; ++bit)
            state = (state >> 1) ^ ((state & 1) != 0 ? 0xa001U : 0U);
        table[byte] = static_cast<std::uint16_t>(state);
    }
    return table;
}
constexpr std::array<std::uint16_t, 256> crc16_table = make_crc16_table();

std::uint16_t crc16_update(std::uint16_t crc, Bytes bytes) {
    std::uint32_t state = crc;
    for (const std::byte byte : bytes) {
        state = (state >> 8) ^ crc16_table[(state ^ std::to_integer<std::uint32_t>(byte)) & 0xff];
    }
    return static_cast<std::uint16_t>(state);
}

Error impossible(std::string_view what) {
    return {ErrorCode::corrupt,
            "its superblock has impossible " + std::string(what) + ": run e2fsck -f on it"};
}

/// The blocks of a group are what one block of bitmap can describe.
Result<void> check_group_size(const Superblock& sb, std::uint64_t block_size) {
    const std::uint64_t blocks = sb.s_blocks_per_group.get();
    const std::uint64_t bitmap_bits = 8 * block_size;
    if (blocks == 0 || blocks % 8 != 0) return impossible("blocks per group");
    if (!has_ro_compat(sb, ro_compat_bigalloc)) {
        if (blocks > bitmap_bits) return impossible("blocks per group");
        return {};
    }
    const std::uint32_t log_cluster = sb.s_log_cluster_size.get();
    const std::uint32_t log_block = sb.s_log_block_size.get();
    if (log_cluster < log_block || log_cluster - log_block > log_cluster_ratio_max) {
        return impossible("cluster size");
    }
    const std::uint64_t clusters = sb.s_clusters_per_group.get();
    if (clusters > bitmap_bits || blocks != clusters << (log_cluster - log_block)) {
        return impossible("clusters per group");
    }
    return {};
}

bool has_superblock(const std::vector<std::uint64_t>& groups, std::uint64_t group) {
    return std::ranges::binary_search(groups, group);
}

}  // namespace

std::uint32_t checksum_of(const Superblock& sb) {
    return crc32c_update(crc32c_start, bytes_of_struct(sb).first(offsetof(Superblock, s_checksum)));
}

std::uint32_t seed_of(const std::array<std::byte, 16>& uuid) {
    return crc32c_update(crc32c_start, uuid);
}

std::uint16_t group_checksum_seed(const std::array<std::byte, 16>& uuid) {
    return crc16_update(0xffff, uuid);
}

std::uint16_t group_checksum(std::uint16_t seed, std::uint32_t group, Bytes descriptor) {
    const le32 number = group;
    std::uint16_t crc = crc16_update(seed, bytes_of_struct(number));
    crc = crc16_update(crc, descriptor.first(group_checksum_offset));
    return crc16_update(crc, descriptor.subspan(group_checksum_offset + sizeof(le16)));
}

Result<Geometry> geometry_of(const Superblock& sb) {
    const std::uint32_t log_block = sb.s_log_block_size.get();
    if (log_block > log_block_size_max) return impossible("block size");
    Geometry geometry{};
    geometry.block_size = std::uint64_t{1024} << log_block;
    const bool is_64bit = has_incompat(sb, incompat_64bit);
    geometry.blocks_count = sb.s_blocks_count_lo.get();
    if (is_64bit) geometry.blocks_count |= std::uint64_t{sb.s_blocks_count_hi.get()} << 32;
    geometry.first_data_block = sb.s_first_data_block.get();
    // Block 0 of 1 KiB is the boot block, in front of the superblock.
    const std::uint64_t first_max = geometry.block_size == 1024 ? 1 : 0;
    if (geometry.first_data_block > first_max) return impossible("first data block");
    if (geometry.blocks_count <= geometry.first_data_block ||
        geometry.blocks_count > length_max / geometry.block_size) {
        return impossible("block count");
    }
    if (const Result<void> size = check_group_size(sb, geometry.block_size); !size) {
        return size.error();
    }
    geometry.blocks_per_group = sb.s_blocks_per_group.get();
    const std::uint64_t blocks = geometry.blocks_count - geometry.first_data_block;
    geometry.group_count = (blocks + geometry.blocks_per_group - 1) / geometry.blocks_per_group;
    if (geometry.group_count > UINT32_MAX) return impossible("block count");

    geometry.descriptor_size = is_64bit ? sb.s_desc_size.get() : descriptor_size_small;
    const std::uint64_t smallest = is_64bit ? 2 * descriptor_size_small : descriptor_size_small;
    if (!is_power_of_two(geometry.descriptor_size) || geometry.descriptor_size < smallest ||
        geometry.descriptor_size > descriptor_size_max) {
        return impossible("descriptor size");
    }
    return geometry;
}

std::uint64_t group_offset(const Geometry& geometry, std::uint64_t group) {
    const std::uint64_t offset =
        (geometry.first_data_block + group * geometry.blocks_per_group) * geometry.block_size;
    // bigalloc counts from block 0 even with blocks of 1 KiB, where block 0 is the boot block.
    if (group == 0 && geometry.block_size == superblock_offset) return superblock_offset;
    return offset;
}

Result<std::vector<std::uint64_t>> superblock_groups(const Superblock& sb,
                                                     const Geometry& geometry) {
    std::vector<std::uint64_t> groups = {0};
    if (has_compat(sb, compat_sparse_super2)) {
        for (const le32& group : sb.s_backup_bgs) {
            if (group.get() == 0) continue;
            if (group.get() >= geometry.group_count) return impossible("backup groups");
            groups.push_back(group.get());
        }
    } else if (has_ro_compat(sb, ro_compat_sparse_super)) {
        if (geometry.group_count > 1) groups.push_back(1);
        for (const std::uint64_t base : {3U, 5U, 7U}) {
            for (std::uint64_t group = base; group < geometry.group_count; group *= base) {
                groups.push_back(group);
            }
        }
    } else {
        if (geometry.group_count > superblock_copies_max) {
            return Error{ErrorCode::refused,
                         "it has " + std::to_string(geometry.group_count) +
                             " copies of its superblock, more than " +
                             std::to_string(superblock_copies_max) +
                             ": switch on sparse_super with tune2fs and run e2fsck -f on it"};
        }
        for (std::uint64_t group = 1; group < geometry.group_count; ++group) {
            groups.push_back(group);
        }
    }
    std::ranges::sort(groups);
    groups.erase(std::unique(groups.begin(), groups.end()), groups.end());
    return groups;
}

Result<std::vector<DescriptorRun>> descriptor_runs(const Superblock& sb, const Geometry& geometry) {
    if (geometry.group_count > uninit_bg_groups_max) {
        return Error{ErrorCode::refused,
                     "its " + std::to_string(geometry.group_count) +
                         " block groups have checksums made of the UUID (uninit_bg), more than " +
                         std::to_string(uninit_bg_groups_max) +
                         ": switch on metadata_csum with tune2fs"};
    }
    const Result<std::vector<std::uint64_t>> copies = superblock_groups(sb, geometry);
    if (!copies) return copies.error();
    const std::uint64_t per_block = geometry.block_size / geometry.descriptor_size;
    const std::uint64_t blocks = (geometry.group_count + per_block - 1) / per_block;
    const bool is_meta_bg = has_incompat(sb, incompat_meta_bg);
    const std::uint64_t table_blocks =
        is_meta_bg ? std::min<std::uint64_t>(sb.s_first_meta_bg.get(), blocks) : blocks;
    const std::uint64_t in_table = std::min(geometry.group_count, table_blocks * per_block);

    // The table behind each superblock, then the blocks of meta_bg, three for each meta group.
    std::vector<DescriptorRun> runs;
    for (const std::uint64_t group : *copies) {
        if (in_table == 0) break;
        runs.push_back({group_offset(geometry, group) + geometry.block_size, 0, in_table});
    }
    for (std::uint64_t block = table_blocks; block < blocks; ++block) {
        const std::uint64_t first = block * per_block;
        const std::uint64_t count = std::min(per_block, geometry.group_count - first);
        std::vector<std::uint64_t> homes = {first, first + 1, first + per_block - 1};
        homes.erase(std::unique(homes.begin(), homes.end()), homes.end());
        for (const std::uint64_t home : homes) {
            if (home >= geometry.group_count) continue;
            const std::uint64_t skip = has_superblock(*copies, home) ? geometry.block_size : 0;
            runs.push_back({group_offset(geometry, home) + skip, first, count});
        }
    }
    return runs;
}

}  // namespace cowtgt::identity::ext
