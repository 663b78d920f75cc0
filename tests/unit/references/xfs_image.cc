#include "tests/unit/references/xfs_image.h"

#include "cow-store/base/endian.h"

namespace cowtgt::references {

namespace {

constexpr std::uint16_t folder_mode = 040755;
constexpr std::uint16_t file_mode = 0100644;
constexpr std::uint16_t link_mode = 0120777;
constexpr std::uint8_t local = 1;
constexpr std::uint8_t extents = 2;
constexpr std::uint8_t tree = 3;
constexpr std::uint64_t core_size = 100;  // bytes of an inode of version 2 before its data

}  // namespace

XfsImage::XfsImage() : MemoryImage(block_count * block_size) {
    put_superblock();
    put_clean_log();
    put_groups();
    put_root();
    put_etc();
    put_file(18, file_mode, 1500, {{0, fstab_1, 1}, {1, fstab_2, 1}});
    put_pieces();
    put_inode(20, link_mode, local, 9);
    write(inode_at(20) + core_size, bytes_of("etc/fstab"));
    put_file(21, file_mode, 1000, {{0, unlinked, 1}});
    put32(inode_at(21) + 16, 0);
}

void XfsImage::put16(std::uint64_t offset, std::uint16_t value) {
    const be16 field = value;
    write(offset, bytes_of_struct(field));
}

void XfsImage::put32(std::uint64_t offset, std::uint32_t value) {
    const be32 field = value;
    write(offset, bytes_of_struct(field));
}

void XfsImage::put64(std::uint64_t offset, std::uint64_t value) {
    const be64 field = value;
    write(offset, bytes_of_struct(field));
}

void XfsImage::put_extent(std::uint64_t offset, const Extent& extent) {
    put64(offset, (extent.is_unwritten ? std::uint64_t{1} << 63 : 0) | extent.file_block << 9 |
                      extent.block >> 43);
    put64(offset + 8, extent.block << 21 | extent.count);
}

void XfsImage::put_superblock() {
    write(0, bytes_of("XFSB"));
    put32(4, block_size);
    put64(8, block_count);
    write(32, bytes_of("0123456789abcdef"));
    put64(48, log);
    put64(56, 16);  // the root's inode
    put32(84, block_count);
    put32(88, 1);        // groups
    put32(96, 8);        // blocks of the log
    put16(100, 0xb4a4);  // version 4, folders of version 2
    put16(102, 512);
    put16(104, 256);
    put16(106, 4);  // inodes in a block
    write(120, bytes_of("\x0a\x09\x08\x02\x06"));
}

void XfsImage::put_clean_log() {
    const std::uint64_t at = log * block_size;
    put32(at, 0xfeedbabe);
    put32(at + 4, 1);     // the first cycle
    put32(at + 8, 1);     // version
    put32(at + 12, 512);  // bytes of data
    put64(at + 16, std::uint64_t{1} << 32);
    put64(at + 24, std::uint64_t{1} << 32);
    put32(at + 40, 1);   // one operation
    put32(at + 300, 1);  // of a little endian Linux
    write(at + 304, bytes_of("0123456789abcdef"));
    put32(at + 512, 1);               // of the first cycle
    write_le(at + 512 + 9, 1, 0x20);  // an unmount
}

void XfsImage::put_groups() {
    write(512, bytes_of("XAGF"));
    put32(512 + 12, block_count);
    put32(512 + 16, free_tree);
    put32(512 + 28, 1);  // levels
    write(1024, bytes_of("XAGI"));
    put32(1024 + 20, inode_tree);
    put32(1024 + 24, 1);
    const std::uint64_t free_at = free_tree * block_size;
    write(free_at, bytes_of("ABTB"));
    put16(free_at + 6, 1);
    put32(free_at + 16, free);
    put32(free_at + 20, block_count - free);
    const std::uint64_t inodes_at = inode_tree * block_size;
    write(inodes_at, bytes_of("IABT"));
    put16(inodes_at + 6, 1);
    put32(inodes_at + 16, 16);
    put32(inodes_at + 20, 58);
    put64(inodes_at + 24, ~std::uint64_t{0x3f});
}

void XfsImage::put_inode(std::uint64_t number, std::uint16_t mode, std::uint8_t format,
                         std::uint64_t size) {
    const std::uint64_t at = inode_at(number);
    write(at, bytes_of("IN"));
    put16(at + 2, mode);
    write_le(at + 4, 1, 2);
    write_le(at + 5, 1, format);
    put32(at + 16, 1);  // links
    put64(at + 56, size);
}

void XfsImage::put_file(std::uint64_t number, std::uint16_t mode, std::uint64_t size,
                        const std::vector<Extent>& list) {
    put_inode(number, mode, extents, size);
    put32(inode_at(number) + 76, static_cast<std::uint32_t>(list.size()));
    for (std::size_t i = 0; i < list.size(); ++i)
        put_extent(inode_at(number) + core_size + i * 16, list[i]);
}

void XfsImage::put_root() {
    put_inode(16, folder_mode, local, 0);
    std::uint64_t at = inode_at(16) + core_size;
    write_le(at, 1, 3);
    put32(at + 2, 16);
    at += 6;
    struct Entry {
        std::string_view name;
        std::uint32_t inode;
    };
    for (const auto& [name, inode] : {Entry{"etc", 17}, Entry{"pieces", 19}, Entry{"link", 20}}) {
        write_le(at, 1, name.size());
        write(at + 3, bytes_of(name));
        put32(at + 3 + name.size(), inode);
        at += 7 + name.size();
    }
}

void XfsImage::put_etc() {
    put_file(17, folder_mode, block_size, {{0, etc, 1}});
    const std::uint64_t begin = etc * block_size;
    write(begin, bytes_of("XD2B"));
    std::uint64_t at = begin + 16;
    const auto put_entry = [&](std::string_view name, std::uint64_t inode) {
        put64(at, inode);
        write_le(at + 8, 1, name.size());
        write(at + 9, bytes_of(name));
        at += round_up(8 + 1 + name.size() + 2, 8);
    };
    put_entry(".", 17);
    put_entry("..", 16);
    put_entry("fstab", 18);
    const std::uint64_t end = begin + block_size - 8 - 3 * 8;
    put16(at, 0xffff);
    put16(at + 2, static_cast<std::uint16_t>(end - at));
    put32(begin + block_size - 8, 3);
}

void XfsImage::put_pieces() {
    put_inode(19, file_mode, tree, 8 * block_size);
    const std::uint64_t at = inode_at(19);
    constexpr std::uint64_t fork_size = 96;
    write_le(at + 82, 1, fork_size / 8);  // attributes behind it, in one extent
    write_le(at + 83, 1, extents);
    put16(at + 80, 1);
    put_extent(at + core_size + fork_size, {0, attributes, 1});
    put16(at + core_size, 1);      // level of the root
    put16(at + core_size + 2, 1);  // one pointer, behind room for five keys
    put64(at + core_size + 4 + 5 * 8, pieces_tree);
    const std::uint64_t leaf = pieces_tree * block_size;
    write(leaf, bytes_of("BMAP"));
    put16(leaf + 6, 2);
    put_extent(leaf + 24, {5, pieces, 2});
    put_extent(leaf + 40, {7, unwritten, 1, true});
}

}  // namespace cowtgt::references
