#include "cow-store/identity/ext_inode.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <optional>

namespace cowtgt::identity::ext {

namespace {

constexpr std::uint32_t flag_extents = 0x80000;
constexpr std::uint16_t type_mask = 0xf000;
constexpr std::uint16_t type_regular = 0x8000;
constexpr std::uint16_t extent_magic = 0xf30a;
constexpr std::uint16_t extent_depth_max = 5;
constexpr std::uint16_t written_length_max = 32768;  ///< blocks; more says that it is unwritten
constexpr std::size_t direct_blocks = 12;
constexpr std::uint64_t small_descriptor = 32;  ///< bytes; only longer ones have the high halves

struct Inode {
    le16 i_mode;
    le16 i_uid;
    le32 i_size_lo;
    std::array<std::byte, 0x18> times_and_links_08;
    le32 i_flags;
    le32 i_osd1;
    std::array<std::byte, 60> i_block;
    std::array<std::byte, 8> generation_and_acl_64;
    le32 i_size_high;
};
static_assert(offsetof(Inode, i_flags) == 0x20 && offsetof(Inode, i_block) == 0x28);
static_assert(offsetof(Inode, i_size_high) == 0x6c && sizeof(Inode) == 0x70);

struct ExtentHeader {
    le16 eh_magic;
    le16 eh_entries;
    le16 eh_max;
    le16 eh_depth;  ///< 0: extents follow, else indices
    le32 eh_generation;
};
struct Extent {
    le32 ee_block;
    le16 ee_len;
    le16 ee_start_hi;
    le32 ee_start_lo;
};
struct ExtentIndex {
    le32 ei_block;
    le32 ei_leaf_lo;
    le16 ei_leaf_hi;
    le16 ei_unused;
};
static_assert(sizeof(ExtentHeader) == 12 && sizeof(Extent) == 12 && sizeof(ExtentIndex) == 12);

struct Descriptor {
    std::array<std::byte, 8> bitmaps_00;
    le32 bg_inode_table_lo;
    le16 bg_free_blocks_count_lo;
    le16 bg_free_inodes_count_lo;
    std::array<std::byte, 0x18> used_and_checksums_10;
    le32 bg_inode_table_hi;
    le16 bg_free_blocks_count_hi;
    le16 bg_free_inodes_count_hi;
};
static_assert(offsetof(Descriptor, bg_inode_table_hi) == 0x28 && sizeof(Descriptor) == 0x30);

Error damaged(std::string_view what) {
    return {ErrorCode::corrupt, std::string(what) + " is damaged: run e2fsck -f on it"};
}

template <typename T>
T struct_at(Bytes bytes, std::size_t offset) {
    T value;
    std::memcpy(&value, bytes.data() + offset, sizeof(value));
    return value;
}

/// The descriptor of a group, from the table that is in use.
std::uint64_t descriptor_offset(const Superblock& sb, const Geometry& geometry,
                                const std::vector<std::uint64_t>& copies, std::uint64_t group) {
    const std::uint64_t per_block = geometry.block_size / geometry.descriptor_size;
    const std::uint64_t block = group / per_block;
    const std::uint64_t within = group % per_block * geometry.descriptor_size;
    if (!has_incompat(sb, incompat_meta_bg) || block < sb.s_first_meta_bg.get()) {
        return group_offset(geometry, 0) + (block + 1) * geometry.block_size + within;
    }
    const std::uint64_t home = block * per_block;
    const bool behind_superblock = std::ranges::binary_search(copies, home);
    return group_offset(geometry, home) + (behind_superblock ? geometry.block_size : 0) + within;
}

/// Without what a short descriptor does not have.
Result<Descriptor> read_descriptor(const Window& window, const Superblock& sb,
                                   const Geometry& geometry,
                                   const std::vector<std::uint64_t>& copies, std::uint64_t group) {
    Descriptor descriptor{};
    const std::size_t size =
        geometry.descriptor_size > small_descriptor ? sizeof(Descriptor) : small_descriptor;
    MutableBytes bytes = std::as_writable_bytes(std::span(&descriptor, 1)).first(size);
    Result<void> done = window.read(descriptor_offset(sb, geometry, copies, group), bytes);
    if (!done) return std::move(done).error();
    return descriptor;
}

/// Collects the blocks of one file.
class BlockList {
public:
    BlockList(const Window& window, const Geometry& geometry, std::uint64_t count)
        : window_(window), geometry_(geometry), blocks_(count) {}

    /// Extents or indices of extents, beginning with their header.
    Result<void> add_extents(Bytes node, std::uint16_t depth_max) {
        const auto header = struct_at<ExtentHeader>(node, 0);
        const std::size_t entries = header.eh_entries.get();
        if (header.eh_magic.get() != extent_magic || header.eh_depth.get() > depth_max ||
            (entries + 1) * sizeof(Extent) > node.size()) {
            return damaged("a tree of extents");
        }
        for (std::size_t i = 1; i <= entries; ++i) {
            const std::size_t at = i * sizeof(Extent);
            Result<void> done =
                header.eh_depth.get() == 0
                    ? add_extent(struct_at<Extent>(node, at))
                    : add_index(struct_at<ExtentIndex>(node, at), header.eh_depth.get());
            if (!done) return done;
        }
        return {};
    }

    /// The numbers of blocks, `level` tables of such numbers above them.
    Result<void> add_indirect(std::uint32_t block, unsigned level) {
        if (next_ >= blocks_.size()) return {};
        if (level == 0) return set(next_++, block);
        const auto table = read(block);
        if (!table) return table.error();
        for (std::size_t at = 0; at < table->size(); at += sizeof(le32)) {
            Result<void> done = add_indirect(struct_at<le32>(*table, at).get(), level - 1);
            if (!done) return done;
        }
        return {};
    }

    Result<std::vector<std::uint64_t>> finish() && {
        if (std::ranges::find(blocks_, std::uint64_t{0}) != blocks_.end()) {
            return damaged("a file without holes that has one");
        }
        return std::move(blocks_);
    }

private:
    Result<void> add_extent(const Extent& extent) {
        const std::uint32_t length = extent.ee_len.get();
        if (length > written_length_max) return damaged("an extent");
        const std::uint64_t start =
            std::uint64_t{extent.ee_start_hi.get()} << 32 | extent.ee_start_lo.get();
        for (std::uint64_t i = 0; i < length; ++i) {
            if (extent.ee_block.get() + i >= blocks_.size()) break;
            if (Result<void> done = set(extent.ee_block.get() + i, start + i); !done) return done;
        }
        return {};
    }

    Result<void> add_index(const ExtentIndex& index, std::uint16_t depth) {
        const auto node =
            read(std::uint64_t{index.ei_leaf_hi.get()} << 32 | index.ei_leaf_lo.get());
        if (!node) return node.error();
        return add_extents(*node, static_cast<std::uint16_t>(depth - 1));
    }

    Result<std::vector<std::byte>> read(std::uint64_t block) const {
        if (block == 0 || block >= geometry_.blocks_count) return damaged("a tree of blocks");
        return window_.read_bytes(block * geometry_.block_size, geometry_.block_size);
    }

    Result<void> set(std::uint64_t index, std::uint64_t block) {
        if (block == 0 || block >= geometry_.blocks_count) return damaged("a tree of blocks");
        blocks_[index] = block;
        return {};
    }

    const Window& window_;
    const Geometry& geometry_;
    std::vector<std::uint64_t> blocks_;
    std::uint64_t next_ = 0;
};

Result<Inode> read_inode(const Window& window, const Superblock& sb, const Geometry& geometry,
                         std::uint32_t number) {
    const std::uint32_t per_group = sb.s_inodes_per_group.get();
    if (number == 0 || per_group == 0 || (number - 1) / per_group >= geometry.group_count) {
        return damaged("the number of an inode");
    }
    const auto copies = superblock_groups(sb, geometry);
    if (!copies) return copies.error();
    const auto descriptor =
        read_descriptor(window, sb, geometry, *copies, (number - 1) / per_group);
    if (!descriptor) return descriptor.error();
    const std::uint64_t table = std::uint64_t{descriptor->bg_inode_table_hi.get()} << 32 |
                                descriptor->bg_inode_table_lo.get();
    if (table == 0 || table >= geometry.blocks_count) return damaged("a table of inodes");
    return window.read_struct<Inode>(table * geometry.block_size +
                                     std::uint64_t{(number - 1) % per_group} *
                                         sb.s_inode_size.get());
}

}  // namespace

Result<std::vector<std::uint64_t>> blocks_of_inode(const Window& window, const Superblock& sb,
                                                   const Geometry& geometry, std::uint32_t number,
                                                   std::uint64_t bytes_max) {
    const Result<Inode> inode = read_inode(window, sb, geometry, number);
    if (!inode) return inode.error();
    const std::uint64_t size =
        std::uint64_t{inode->i_size_high.get()} << 32 | inode->i_size_lo.get();
    if ((inode->i_mode.get() & type_mask) != type_regular || size == 0 || size > bytes_max ||
        size % geometry.block_size != 0) {
        return damaged("an inode of its own");
    }
    BlockList list(window, geometry, size / geometry.block_size);
    Result<void> done;
    if ((inode->i_flags.get() & flag_extents) != 0) {
        done = list.add_extents(inode->i_block, extent_depth_max);
    } else {
        for (std::size_t i = 0; i < direct_blocks + 3 && done; ++i) {
            const std::uint32_t block = struct_at<le32>(inode->i_block, i * sizeof(le32)).get();
            const auto level = static_cast<unsigned>(i < direct_blocks ? 0 : i - direct_blocks + 1);
            done = list.add_indirect(block, level);
        }
    }
    if (!done) return std::move(done).error();
    return std::move(list).finish();
}

Result<FreeCounts> free_counts(const Window& window, const Superblock& sb,
                               const Geometry& geometry) {
    const auto copies = superblock_groups(sb, geometry);
    if (!copies) return copies.error();
    FreeCounts counts;
    for (std::uint64_t group = 0; group < geometry.group_count; ++group) {
        const auto descriptor = read_descriptor(window, sb, geometry, *copies, group);
        if (!descriptor) return descriptor.error();
        counts.blocks += std::uint64_t{descriptor->bg_free_blocks_count_hi.get()} << 16 |
                         descriptor->bg_free_blocks_count_lo.get();
        counts.inodes += std::uint64_t{descriptor->bg_free_inodes_count_hi.get()} << 16 |
                         descriptor->bg_free_inodes_count_lo.get();
    }
    // Groups count clusters, the superblock blocks.
    if (has_ro_compat(sb, ro_compat_bigalloc)) {
        counts.blocks <<= sb.s_log_cluster_size.get() - sb.s_log_block_size.get();
    }
    return counts;
}

void set_free_counts(Superblock& sb, const FreeCounts& counts) {
    sb.s_free_blocks_count_lo = static_cast<std::uint32_t>(counts.blocks);
    sb.s_free_inodes_count = static_cast<std::uint32_t>(counts.inodes);
    if (has_incompat(sb, incompat_64bit)) {
        sb.s_free_blocks_count_hi = static_cast<std::uint32_t>(counts.blocks >> 32);
    }
}

}  // namespace cowtgt::identity::ext
