#include "cow-store/references/xfs_reader.h"

#include <algorithm>
#include <cstring>
#include <utility>

namespace cowtgt::references::xfs {

using identity::Window;
using identity::xfs::Superblock;

namespace {

/// Blocks of metadata that are read in all; more than any root file system has.
constexpr std::uint64_t blocks_read_max = std::uint64_t{1} << 22;
constexpr std::uint64_t folder_size_max = std::uint64_t{256} << 20;  ///< bytes
constexpr std::size_t extents_max = std::size_t{1} << 22;            ///< of a file

Error damaged(std::string_view what) {
    return {ErrorCode::corrupt, std::string(what) + " of it is damaged: run xfs_repair"};
}

template <typename T>
T struct_at(Bytes bytes, std::size_t offset) {
    static_assert(alignof(T) == 1);
    CHECK(offset + sizeof(T) <= bytes.size());
    T value;
    std::memcpy(&value, bytes.data() + offset, sizeof(value));
    return value;
}

std::uint64_t low_bits(std::uint64_t value, unsigned count) {
    return value & ((std::uint64_t{1} << count) - 1);
}

/// The numbers of the superblock that nothing else of this program goes by.
bool has_possible_inodes(const Superblock& sb) {
    const std::uint64_t size = sb.sb_inodesize.get();
    const std::uint64_t block_size = sb.sb_blocksize.get();
    return is_power_of_two(size) && size >= 256 && size <= 2048 && size <= block_size &&
           std::uint64_t{1} << sb.sb_inodelog == size &&
           std::uint64_t{sb.sb_inopblock.get()} * size == block_size &&
           std::uint64_t{1} << sb.sb_inopblog == sb.sb_inopblock.get() &&
           sb.sb_dirblklog + sb.sb_blocklog <= 16;
}

}  // namespace

Reader::Reader(const Window& window, const Superblock& sb)
    : window_(&window),
      sb_(sb),
      blocks_left_(std::min<std::uint64_t>(2 * sb.sb_dblocks.get(), blocks_read_max)) {}

Result<Reader> Reader::open(const Window& window) {
    const Result<Superblock> sb = identity::xfs::read_superblock(window);
    if (!sb) return sb.error();
    if (sb->sb_inodelog > 15 || sb->sb_inopblog > 15 || !has_possible_inodes(*sb)) {
        return damaged("the superblock");
    }
    return Reader(window, *sb);
}

bool Reader::has_file_types() const {
    return is_version_5() ? (sb_.sb_features_incompat.get() & incompat_file_type) != 0
                          : (sb_.sb_features2.get() & features2_file_type) != 0;
}

/// Of an entry whose name ends at `at`. Requires: more of the entry follows.
EntryType Reader::type_at(Bytes bytes, std::size_t at) const {
    return has_file_types() ? static_cast<EntryType>(bytes[at]) : EntryType::unknown;
}

Run Reader::log() const {
    const std::uint64_t start = sb_.sb_logstart.get();
    return {(start >> sb_.sb_agblklog) * sb_.sb_agblocks.get() + low_bits(start, sb_.sb_agblklog),
            sb_.sb_logblocks.get()};
}

/// A block that several owners name is read for each of them: here that comes to its end.
Result<void> Reader::count(std::uint64_t blocks) {
    if (blocks > blocks_left_) {
        return Error{ErrorCode::unsupported, "it has too much in it to look through"};
    }
    blocks_left_ -= blocks;
    return {};
}

Result<std::vector<std::byte>> Reader::read_block(std::uint64_t block) {
    if (Result<void> counted = count(1); !counted) return std::move(counted).error();
    return window_->read_bytes(block * block_size(), block_size());
}

Result<std::uint64_t> Reader::block_in(std::uint64_t group, std::uint64_t number) const {
    const std::uint64_t block = group * sb_.sb_agblocks.get() + number;
    if (group >= group_count() || number >= sb_.sb_agblocks.get() || block >= block_count()) {
        return damaged("a block number");
    }
    return block;
}

Result<std::uint64_t> Reader::block_of(std::uint64_t address) const {
    return block_in(address >> sb_.sb_agblklog, low_bits(address, sb_.sb_agblklog));
}

Result<void> Reader::visit_tree_block(const TreeKind& kind, std::uint64_t group, TreePlace place,
                                      std::vector<TreePlace>& waiting, const RecordSink& sink) {
    const auto block = read_block(place.block);
    if (!block) return block.error();
    const auto header = struct_at<TreeBlockHeader>(*block, 0);
    const std::uint32_t magic = is_version_5() ? kind.magic_5 : kind.magic_4;
    const std::uint64_t begin = is_version_5() ? kind.header_5 : kind.header_4;
    const std::uint64_t count = header.bb_numrecs.get();
    if (header.bb_magic.get() != magic || header.bb_level.get() != place.level) {
        return damaged("a tree");
    }
    const std::uint64_t size =
        place.level == 0 ? kind.record_size : kind.key_size + kind.pointer_size;
    const std::uint64_t count_max = (block_size() - begin) / size;
    if (count > count_max) return damaged("a tree");
    for (std::uint64_t i = 0; i < count; ++i) {
        if (place.level == 0) {
            Result<void> done = sink(Bytes(*block).subspan(begin + i * size, size));
            if (!done) return done;
            continue;
        }
        const std::uint64_t at = begin + count_max * kind.key_size + i * kind.pointer_size;
        const Result<std::uint64_t> child =
            kind.pointer_size == sizeof(be64) ? block_of(struct_at<be64>(*block, at).get())
                                              : block_in(group, struct_at<be32>(*block, at).get());
        if (!child) return child.error();
        waiting.push_back({*child, place.level - 1});
    }
    return {};
}

/// Levels only go down, so no tree is a circle; what is shared in it runs into count().
Result<void> Reader::walk(const TreeKind& kind, std::uint64_t group, TreePlace root,
                          const RecordSink& sink) {
    std::vector<TreePlace> waiting = {root};
    while (!waiting.empty()) {
        const TreePlace place = waiting.back();
        waiting.pop_back();
        if (Result<void> done = visit_tree_block(kind, group, place, waiting, sink); !done) {
            return done;
        }
    }
    return {};
}

Result<void> Reader::each_free_run(std::uint64_t group, const std::function<void(Run)>& sink) {
    const std::uint64_t sector = sb_.sb_sectsize.get();
    const std::uint64_t begin = group * sb_.sb_agblocks.get();
    const auto header =
        window_->read_struct<FreeSpaceHeader>(begin * block_size() + free_space_sector * sector);
    if (!header) return header.error();
    const std::uint32_t levels = header->agf_bno_level.get();
    if (header->agf_magicnum.get() != free_space_magic || header->agf_seqno.get() != group ||
        levels == 0 || levels > tree_levels_max) {
        return damaged("the header of free space");
    }
    const Result<std::uint64_t> root = block_in(group, header->agf_bno_root.get());
    if (!root) return root.error();
    Result<void> done = walk(free_space_tree, group, {*root, levels - 1}, [&](Bytes record) {
        const auto run = struct_at<FreeRecord>(record, 0);
        sink({begin + run.ar_startblock.get(), run.ar_blockcount.get()});
        return Result<void>();
    });
    if (!done) return done;
    return each_listed_block(group, *header, sink);
}

/// Free blocks that a group keeps for its own trees.
Result<void> Reader::each_listed_block(std::uint64_t group, const FreeSpaceHeader& header,
                                       const std::function<void(Run)>& sink) {
    const std::uint64_t sector = sb_.sb_sectsize.get();
    const std::uint64_t begin = group * sb_.sb_agblocks.get();
    const auto list = window_->read_bytes(begin * block_size() + free_list_sector * sector, sector);
    if (!list) return list.error();
    const std::uint64_t skipped = is_version_5() ? free_list_header_size : 0;
    const std::uint64_t entries = (sector - skipped) / sizeof(be32);
    const std::uint64_t used = header.agf_flcount.get();
    if (used > entries || header.agf_flfirst.get() >= entries) {
        return damaged("the list of free blocks");
    }
    for (std::uint64_t i = 0; i < used; ++i) {
        const std::uint64_t at = (header.agf_flfirst.get() + i) % entries;
        const auto number = struct_at<be32>(*list, skipped + at * sizeof(be32));
        const Result<std::uint64_t> block = block_in(group, number.get());
        if (block) sink({*block, 1});  // an entry that is not set says where no block is
    }
    return {};
}

Result<void> Reader::each_inode_chunk(std::uint64_t group,
                                      const std::function<Result<void>(const InodeChunk&)>& sink) {
    const std::uint64_t begin = group * sb_.sb_agblocks.get();
    const auto header = window_->read_struct<InodeHeader>(
        begin * block_size() + inode_header_sector * sb_.sb_sectsize.get());
    if (!header) return header.error();
    const std::uint32_t levels = header->agi_level.get();
    if (header->agi_magicnum.get() != inode_header_magic || header->agi_seqno.get() != group ||
        levels == 0 || levels > tree_levels_max) {
        return damaged("the header of inodes");
    }
    const Result<std::uint64_t> root = block_in(group, header->agi_root.get());
    if (!root) return root.error();
    const bool is_sparse =
        is_version_5() && (sb_.sb_features_incompat.get() & incompat_sparse_inodes) != 0;
    return walk(inode_tree, group, {*root, levels - 1}, [&](Bytes bytes) -> Result<void> {
        const auto record = struct_at<InodeRecord>(bytes, 0);
        const std::uint64_t first = record.ir_startino.get();
        const Result<std::uint64_t> block = block_in(group, first >> sb_.sb_inopblog);
        if (!block) return block.error();
        InodeChunk chunk{
            .first_inode = group << (sb_.sb_agblklog + sb_.sb_inopblog) | first,
            .offset = *block * block_size() + low_bits(first, sb_.sb_inopblog) * inode_size()};
        for (unsigned i = 0; is_sparse && i < inodes_per_record; ++i) {
            const std::uint64_t hole = record.ir_holemask.get() >> (i / inodes_per_hole) & 1;
            chunk.holes |= hole << i;
        }
        chunk.in_use = ~(record.ir_free.get() | chunk.holes);
        return sink(chunk);
    });
}

Result<std::vector<Inode>> Reader::inodes_in(const InodeChunk& chunk) {
    std::vector<Inode> inodes;
    if (chunk.in_use == 0) return inodes;
    const std::uint64_t length = inodes_per_record * inode_size();
    if (Result<void> counted = count((length + block_size() - 1) / block_size()); !counted) {
        return std::move(counted).error();
    }
    const auto bytes = window_->read_bytes(chunk.offset, length);
    if (!bytes) return bytes.error();
    for (unsigned i = 0; i < inodes_per_record; ++i) {
        if ((chunk.in_use >> i & 1) == 0) continue;
        Result<Inode> one = parse_inode(Bytes(*bytes).subspan(i * inode_size(), inode_size()),
                                        chunk.first_inode + i);
        if (!one) return std::move(one).error();
        inodes.push_back(*std::move(one));
    }
    return inodes;
}

Result<Inode> Reader::inode(std::uint64_t number) {
    const std::uint64_t in_group = low_bits(number, sb_.sb_agblklog + sb_.sb_inopblog);
    const Result<std::uint64_t> block =
        block_in(number >> (sb_.sb_agblklog + sb_.sb_inopblog), in_group >> sb_.sb_inopblog);
    if (!block) return block.error();
    const auto bytes = read_block(*block);
    if (!bytes) return bytes.error();
    const std::uint64_t at = low_bits(in_group, sb_.sb_inopblog) * inode_size();
    return parse_inode(Bytes(*bytes).subspan(at, inode_size()), number);
}

Result<Inode> Reader::parse_inode(Bytes bytes, std::uint64_t number) const {
    Inode inode;
    inode.number = number;
    inode.core = struct_at<Dinode>(bytes, 0);
    const Dinode& core = inode.core;
    const bool is_version_3 = core.di_version == 3;
    if (core.di_magic.get() != inode_magic || is_version_3 != is_version_5() ||
        (is_version_3 && core.di_ino.get() != number)) {
        return damaged("an inode");
    }
    const Bytes forks = bytes.subspan(is_version_3 ? sizeof(Dinode) : inode_size_2);
    const std::size_t data_size = std::size_t{core.di_forkoff} * 8;
    if (data_size > forks.size()) return damaged("an inode");
    const Bytes data = data_size == 0 ? forks : forks.first(data_size);
    inode.data_fork.assign(data.begin(), data.end());
    if (data_size != 0) {
        const Bytes attributes = forks.subspan(data_size);
        inode.attribute_fork.assign(attributes.begin(), attributes.end());
    }
    return inode;
}

Result<Extent> Reader::extent_of(Bytes bytes) const {
    const auto record = struct_at<ExtentRecord>(bytes, 0);
    const Result<std::uint64_t> first = block_of(record.start_block());
    if (!first) return first.error();
    const std::uint64_t count = record.block_count();
    if (count == 0 || count > block_count() - *first) return damaged("an extent");
    return Extent{record.file_block(), {*first, count}, record.is_unwritten()};
}

/// The root in the inode has the pointers of a block of the tree, but another header.
Result<void> Reader::walk_extents(Bytes root, const RecordSink& sink) {
    if (root.size() < sizeof(TreeRootHeader)) return damaged("a tree");
    const auto header = struct_at<TreeRootHeader>(root, 0);
    const std::uint64_t count_max = (root.size() - sizeof(header)) / (2 * sizeof(be64));
    const std::uint32_t level = header.bb_level.get();
    if (level == 0 || level > tree_levels_max || header.bb_numrecs.get() > count_max) {
        return damaged("a tree");
    }
    for (std::uint64_t i = 0; i < header.bb_numrecs.get(); ++i) {
        const auto pointer = struct_at<be64>(root, sizeof(header) + (count_max + i) * sizeof(be64));
        const Result<std::uint64_t> block = block_of(pointer.get());
        if (!block) return block.error();
        Result<void> done = walk(extent_tree, 0, {*block, level - 1}, sink);
        if (!done) return done;
    }
    return {};
}

Result<std::vector<Extent>> Reader::extents_of(const Inode& inode, Format format, Bytes fork,
                                               std::uint64_t extent_count) {
    std::vector<Extent> extents;
    const RecordSink take = [&](Bytes record) -> Result<void> {
        Result<Extent> extent = extent_of(record);
        if (!extent) return std::move(extent).error();
        if (extents.size() == extents_max) {
            return Error{ErrorCode::unsupported, "a file of it is in too many pieces"};
        }
        extents.push_back(*extent);
        return {};
    };
    if (format == Format::extents) {
        if (extent_count > fork.size() / sizeof(ExtentRecord)) return damaged("an inode");
        for (std::uint64_t i = 0; i < extent_count; ++i) {
            Result<void> done = take(fork.subspan(i * sizeof(ExtentRecord), sizeof(ExtentRecord)));
            if (!done) return std::move(done).error();
        }
    } else if (format == Format::tree) {
        if (Result<void> done = walk_extents(fork, take); !done) return std::move(done).error();
    } else if (format != Format::local && format != Format::device) {
        return damaged("inode " + std::to_string(inode.number));
    }
    std::ranges::sort(extents, {}, &Extent::file_block);
    return extents;
}

Result<std::vector<Extent>> Reader::data_extents(const Inode& inode) {
    const Dinode& core = inode.core;
    const bool is_large =
        core.di_version == 3 && (core.di_flags2.get() & flag2_large_extent_counts) != 0;
    return extents_of(inode, static_cast<Format>(core.di_format), inode.data_fork,
                      is_large ? core.di_big_nextents.get() : core.di_nextents.get());
}

Result<std::vector<Extent>> Reader::attribute_extents(const Inode& inode) {
    if (inode.attribute_fork.empty()) return std::vector<Extent>();
    const Dinode& core = inode.core;
    const bool is_large =
        core.di_version == 3 && (core.di_flags2.get() & flag2_large_extent_counts) != 0;
    return extents_of(inode, static_cast<Format>(core.di_aformat), inode.attribute_fork,
                      is_large ? core.di_nextents.get() : core.di_anextents.get());
}

Result<std::vector<FolderEntry>> Reader::entries_of(const Inode& folder) {
    std::vector<FolderEntry> entries;
    if (static_cast<Format>(folder.core.di_format) == Format::local) {
        Result<void> done = read_short_folder(folder, entries);
        if (!done) return std::move(done).error();
        return entries;
    }
    const auto extents = data_extents(folder);
    if (!extents) return extents.error();
    std::vector<std::byte> gathered;  // of one block of the folder, which may be several
    for (const Extent& extent : *extents) {
        for (std::uint64_t i = 0; i < extent.run.count; ++i) {
            const std::uint64_t file_block = extent.file_block + i;
            if (file_block >= folder_data_end / block_size()) return entries;
            if (file_block >= folder_size_max / block_size()) {
                return Error{ErrorCode::unsupported, "a folder of it is too large"};
            }
            if (low_bits(file_block, sb_.sb_dirblklog) * block_size() != gathered.size()) {
                return damaged("a folder");
            }
            const auto block = read_block(extent.run.begin + i);
            if (!block) return block.error();
            gathered.insert(gathered.end(), block->begin(), block->end());
            if (gathered.size() < block_size() << sb_.sb_dirblklog) continue;
            Result<void> done = read_folder_block(gathered, entries);
            if (!done) return std::move(done).error();
            gathered.clear();
        }
    }
    return entries;
}

/// xfs_dir2_sf: all entries within the inode.
Result<void> Reader::read_short_folder(const Inode& folder,
                                       std::vector<FolderEntry>& entries) const {
    const Bytes bytes = folder.data_fork;
    if (bytes.size() < 2) return damaged("a folder");
    const auto count = std::to_integer<std::size_t>(bytes[0]);
    const auto long_numbers = std::to_integer<std::size_t>(bytes[1]);
    const std::size_t number_size = long_numbers != 0 ? sizeof(be64) : sizeof(be32);
    const std::size_t type_size = has_file_types() ? 1 : 0;
    std::size_t at = 2 + number_size;
    for (std::size_t i = 0; i < std::max(count, long_numbers); ++i) {
        constexpr std::size_t prefix = 3;  // length of the name, place in a block
        if (at + prefix > bytes.size()) return damaged("a folder");
        const auto length = std::to_integer<std::size_t>(bytes[at]);
        const std::size_t end = at + prefix + length + type_size + number_size;
        if (length == 0 || end > bytes.size()) return damaged("a folder");
        const std::uint64_t number = number_size == sizeof(be64)
                                         ? struct_at<be64>(bytes, end - sizeof(be64)).get()
                                         : struct_at<be32>(bytes, end - sizeof(be32)).get();
        entries.push_back({std::string(text_of(bytes.subspan(at + prefix, length))), number,
                           type_at(bytes, at + prefix + length)});
        at = end;
    }
    return {};
}

/// xfs_dir2_data: entries and holes one behind the other.
Result<void> Reader::read_folder_block(Bytes block, std::vector<FolderEntry>& entries) const {
    const std::uint32_t magic = struct_at<be32>(block, 0).get();
    const bool is_only = magic == (is_version_5() ? folder_block_magic_5 : folder_block_magic_4);
    if (!is_only && magic != (is_version_5() ? folder_data_magic_5 : folder_data_magic_4)) {
        return damaged("a folder");
    }
    std::size_t end = block.size();
    if (is_only) {
        constexpr std::size_t leaf_size = 8;
        end -= sizeof(FolderBlockTail);
        const std::uint64_t leaves = struct_at<FolderBlockTail>(block, end).count.get();
        if (leaves > end / leaf_size) return damaged("a folder");
        end -= leaves * leaf_size;
    }
    const std::size_t type_size = has_file_types() ? 1 : 0;
    constexpr std::size_t unit = 8;
    std::size_t at = is_version_5() ? folder_header_5 : folder_header_4;
    while (at + 2 * unit <= end) {
        if (struct_at<be16>(block, at).get() == unused_entry_tag) {
            const std::size_t length = struct_at<be16>(block, at + sizeof(be16)).get();
            if (length < unit || length % unit != 0) return damaged("a folder");
            at += length;
            continue;
        }
        const auto length = std::to_integer<std::size_t>(block[at + sizeof(be64)]);
        const std::size_t size =
            round_up(sizeof(be64) + 1 + length + type_size + sizeof(be16), unit);
        if (length == 0 || size > end - at) return damaged("a folder");
        std::string name(text_of(block.subspan(at + sizeof(be64) + 1, length)));
        if (name != "." && name != "..") {
            entries.push_back({std::move(name), struct_at<be64>(block, at).get(),
                               type_at(block, at + sizeof(be64) + 1 + length)});
        }
        at += size;
    }
    return {};
}

}  // namespace cowtgt::references::xfs
