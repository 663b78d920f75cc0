#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "cow-store/base/bytes.h"
#include "cow-store/base/result.h"
#include "cow-store/identity/window.h"
#include "cow-store/identity/xfs_layout.h"
#include "cow-store/references/xfs_layout.h"

/// Reads inodes, extents and folders of XFS, version 5 and 4.
namespace cowtgt::references::xfs {

/// Blocks that lie side by side, counted from the start of the file system (not of AG and block).
struct Run {
    std::uint64_t begin = 0;
    std::uint64_t count = 0;
};

/// A part of a file or of its attributes.
struct Extent {
    std::uint64_t file_block = 0;
    Run run;
    bool is_unwritten = false;  ///< it reads as zeros
};

struct Inode {
    std::uint64_t number = 0;
    Dinode core{};
    std::vector<std::byte> data_fork;
    std::vector<std::byte> attribute_fork;  ///< empty: it has no attributes

    bool is_folder() const { return (core.di_mode.get() & 0xf000) == 0x4000; }
    bool is_file() const { return (core.di_mode.get() & 0xf000) == 0x8000; }
    std::uint64_t links() const {
        return core.di_version == 1 ? core.di_onlink.get() : core.di_nlink.get();
    }
};

/// 64 inodes in one place.
struct InodeChunk {
    std::uint64_t first_inode = 0;
    std::uint64_t offset = 0;  ///< bytes from the start of the window
    std::uint64_t in_use = 0;  ///< a bit for each
    std::uint64_t holes = 0;   ///< a bit for each that is not there
};

struct FolderEntry {
    std::string name;
    std::uint64_t inode = 0;
    EntryType type = EntryType::unknown;
};

/// Errors are reasons to keep (identity::is_reason_to_keep) or say that the image cannot be read.
/// What is read in all is bounded, whatever the disk says.
///
/// Ownership: refers to the window. Threads: one at a time.
class Reader {
public:
    static Result<Reader> open(const identity::Window& window);

    std::uint64_t block_size() const { return sb_.sb_blocksize.get(); }  ///< bytes
    std::uint64_t block_count() const { return sb_.sb_dblocks.get(); }
    std::uint64_t group_count() const { return sb_.sb_agcount.get(); }
    std::uint64_t group_of(std::uint64_t block) const { return block / sb_.sb_agblocks.get(); }
    std::uint64_t inode_size() const { return sb_.sb_inodesize.get(); }  ///< bytes
    std::uint64_t root_inode() const { return sb_.sb_rootino.get(); }
    Run log() const;

    Result<void> each_free_run(std::uint64_t group, const std::function<void(Run)>& sink);
    Result<void> each_inode_chunk(std::uint64_t group,
                                  const std::function<Result<void>(const InodeChunk&)>& sink);
    /// Of `chunk`, those in use.
    Result<std::vector<Inode>> inodes_in(const InodeChunk& chunk);
    Result<Inode> inode(std::uint64_t number);
    Result<std::vector<Extent>> data_extents(const Inode& inode);
    Result<std::vector<Extent>> attribute_extents(const Inode& inode);
    /// Without "." and "..".
    Result<std::vector<FolderEntry>> entries_of(const Inode& folder);

private:
    explicit Reader(const identity::Window& window, const identity::xfs::Superblock& sb);

    using RecordSink = std::function<Result<void>(Bytes record)>;
    struct TreePlace {
        std::uint64_t block;
        std::uint32_t level;
    };

    bool is_version_5() const { return identity::xfs::is_version_5(sb_); }
    bool has_file_types() const;
    EntryType type_at(Bytes bytes, std::size_t at) const;
    Result<void> count(std::uint64_t blocks);
    Result<std::vector<std::byte>> read_block(std::uint64_t block);
    Result<std::uint64_t> block_of(std::uint64_t address) const;
    Result<std::uint64_t> block_in(std::uint64_t group, std::uint64_t number) const;
    Result<void> walk(const TreeKind& kind, std::uint64_t group, TreePlace root,
                      const RecordSink& sink);
    Result<void> visit_tree_block(const TreeKind& kind, std::uint64_t group, TreePlace place,
                                  std::vector<TreePlace>& waiting, const RecordSink& sink);
    Result<void> each_listed_block(std::uint64_t group, const FreeSpaceHeader& header,
                                   const std::function<void(Run)>& sink);
    Result<Inode> parse_inode(Bytes bytes, std::uint64_t number) const;
    Result<std::vector<Extent>> extents_of(const Inode& inode, Format format, Bytes fork,
                                           std::uint64_t extent_count);
    Result<Extent> extent_of(Bytes record) const;
    Result<void> walk_extents(Bytes root, const RecordSink& sink);
    Result<void> read_short_folder(const Inode& folder, std::vector<FolderEntry>& entries) const;
    Result<void> read_folder_block(Bytes block, std::vector<FolderEntry>& entries) const;

    const identity::Window* window_;
    identity::xfs::Superblock sb_;
    std::uint64_t blocks_left_;  ///< that may still be read
};

}  // namespace cowtgt::references::xfs
