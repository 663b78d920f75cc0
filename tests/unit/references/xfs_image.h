#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "tests/unit/identity/memory_image.h"

namespace cowtgt::references {

/// A small XFS of version 4 in memory, written word by word at the offsets of "XFS Algorithms &
/// Data Structures". It has no checksums, so that every word of it counts.
///
/// Blocks of 1 KiB, inodes of 256 bytes; 64 blocks in one group: 0 and 1 headers, 2 the tree of
/// free space, 3 that of inodes, 4 to 19 inodes 16 to 79, 20 to 27 the log.
/// Files: / (inode 16, within it), /etc (17, one block), /etc/fstab (18, two extents), /pieces
/// (19, a tree of extents), /link (20, within it), and 21, which has no links.
class XfsImage : public identity::MemoryImage {
public:
    static constexpr std::uint64_t block_size = 1024;
    static constexpr std::uint64_t block_count = 64;
    static constexpr std::uint64_t free_tree = 2;   ///< block
    static constexpr std::uint64_t inode_tree = 3;  ///< block
    static constexpr std::uint64_t log = 20;        ///< block
    static constexpr std::uint64_t etc = 28;        ///< block of the folder
    static constexpr std::uint64_t fstab_1 = 30;    ///< block
    static constexpr std::uint64_t fstab_2 = 33;    ///< block
    static constexpr std::uint64_t pieces_tree = 35;
    static constexpr std::uint64_t pieces = 36;     ///< first of two blocks, of block 5 of the file
    static constexpr std::uint64_t unwritten = 38;  ///< block of /pieces, behind them
    static constexpr std::uint64_t attributes = 39;  ///< block, of /pieces
    static constexpr std::uint64_t unlinked = 40;    ///< block
    static constexpr std::uint64_t free = 50;        ///< first of the free blocks

    struct Extent {
        std::uint64_t file_block;
        std::uint64_t block;
        std::uint64_t count;
        bool is_unwritten = false;
    };

    XfsImage();

    static std::uint64_t inode_at(std::uint64_t number) { return number * 256; }  ///< bytes
    void put16(std::uint64_t offset, std::uint16_t value);
    void put32(std::uint64_t offset, std::uint32_t value);
    void put64(std::uint64_t offset, std::uint64_t value);
    void put_extent(std::uint64_t offset, const Extent& extent);
    /// An inode whose extents lie in it.
    void put_file(std::uint64_t number, std::uint16_t mode, std::uint64_t size,
                  const std::vector<Extent>& extents);

private:
    void put_superblock();
    void put_clean_log();
    void put_groups();
    void put_inode(std::uint64_t number, std::uint16_t mode, std::uint8_t format,
                   std::uint64_t size);
    void put_root();
    void put_etc();
    void put_pieces();
};

}  // namespace cowtgt::references
