#include <ext2fs/ext2fs.h>

#include <algorithm>
#include <map>
#include <optional>
#include <set>

#include "cow-store/ext_reader/ext_reader.h"
#include "cow-store/references/files.h"

namespace cowtgt::references {

namespace {

using ext_reader::ext_error;
using ext_reader::FileSystem;

constexpr std::size_t directories_max = 4'000'000;
constexpr std::size_t path_length_max = 4096;  ///< bytes; no program can name what lies deeper
constexpr std::size_t waiting_paths_max = 256U << 20;      ///< bytes of those still to be read
constexpr std::size_t read_size = std::size_t{256} << 10;  ///< bytes

/// What is known of a block while its owner is looked for.
struct BlockOwner {
    ext2_ino_t inode = 0;
    std::int64_t index = 0;  ///< in the file, in blocks; negative: not of its content
};

struct BlockVisit {
    std::map<blk64_t, BlockOwner>* wanted;
    ext2_ino_t inode;
    std::size_t* missing;
};

int visit_block(ext2_filsys, blk64_t* block, e2_blkcnt_t index, blk64_t, int, void* context) {
    auto& visit = *static_cast<BlockVisit*>(context);
    const auto found = visit.wanted->find(*block);
    if (found == visit.wanted->end() || found->second.inode != 0) return 0;
    found->second = {visit.inode, index};
    return --*visit.missing == 0 ? BLOCK_ABORT : 0;
}

struct Folder {
    ext2_ino_t inode;
    std::string path;  ///< with a slash at its end
};

/// Walks through folders until all wanted inodes have a name.
struct NameVisit {
    ext2_filsys fs;
    std::map<ext2_ino_t, std::string>* names;  ///< of the wanted ones; empty: none yet
    std::size_t missing;
    std::set<ext2_ino_t> seen;
    std::vector<Folder> waiting;
    std::size_t waiting_bytes;  ///< of their paths
    std::string path;           ///< of the folder that is being read
};

bool is_folder(ext2_filsys fs, const ext2_dir_entry& entry) {
    if (ext2fs_has_feature_filetype(fs->super) != 0) {
        return ext2fs_dirent_file_type(&entry) == EXT2_FT_DIR;
    }
    ext2_inode inode{};
    return ext2fs_read_inode(fs, entry.inode, &inode) == 0 && LINUX_S_ISDIR(inode.i_mode);
}

int visit_name(ext2_dir_entry* entry, int, int, char*, void* context) {
    auto& visit = *static_cast<NameVisit*>(context);
    const std::string name(entry->name, static_cast<std::size_t>(ext2fs_dirent_name_len(entry)));
    if (name == "." || name == "..") return 0;
    const auto found = visit.names->find(entry->inode);
    if (found != visit.names->end() && found->second.empty()) {
        found->second = visit.path + name;
        if (--visit.missing == 0) return DIRENT_ABORT;
    }
    const bool is_followed = visit.seen.size() < directories_max &&
                             visit.path.size() + name.size() < path_length_max &&
                             visit.waiting_bytes < waiting_paths_max;
    if (is_followed && is_folder(visit.fs, *entry) && visit.seen.insert(entry->inode).second) {
        visit.waiting.push_back({entry->inode, visit.path + name + "/"});
        visit.waiting_bytes += visit.waiting.back().path.size();
    }
    return 0;
}

int visit_archive(ext2_dir_entry* entry, int, int, char*, void* context) {
    auto& names = *static_cast<std::vector<std::string>*>(context);
    std::string name(entry->name, static_cast<std::size_t>(ext2fs_dirent_name_len(entry)));
    if (is_boot_archive(name)) names.push_back(std::move(name));
    return 0;
}

class ExtFiles final : public Files {
public:
    explicit ExtFiles(FileSystem fs) : fs_(std::move(fs)) {}

    Result<std::vector<Owner>> owners_of(const std::vector<std::uint64_t>& offsets) override {
        std::map<blk64_t, BlockOwner> blocks;
        for (const std::uint64_t offset : offsets) {
            if (!is_free(offset) && !inode_at(offset)) blocks[offset / fs_->blocksize] = {};
        }
        if (Result<void> done = find_owners(blocks); !done) return done.error();
        std::map<ext2_ino_t, std::string> names;
        for (const auto& [block, owner] : blocks) {
            if (owner.inode != 0) names[owner.inode];
        }
        for (const std::uint64_t offset : offsets) {
            if (const auto inode = inode_at(offset); inode) names[*inode];
        }
        if (Result<void> done = find_names(names); !done) return done.error();
        std::vector<Owner> owners;
        for (const std::uint64_t offset : offsets)
            owners.push_back(owner_of(offset, blocks, names));
        return owners;
    }

    Result<std::vector<std::string>> boot_archives() override {
        std::vector<std::string> paths;
        for (const char* folder : {"/", "/boot/"}) {
            ext2_ino_t inode = 0;
            if (ext2fs_namei_follow(fs_.get(), EXT2_ROOT_INO, EXT2_ROOT_INO, folder, &inode) != 0) {
                continue;
            }
            std::vector<std::string> names;
            const errcode_t code =
                ext2fs_dir_iterate(fs_.get(), inode, 0, nullptr, visit_archive, &names);
            if (code != 0) return ext_error(std::string("reading the folder ") + folder, code);
            std::ranges::sort(names);
            for (const std::string& name : names) {
                if (is_plain_file(folder + name)) paths.push_back(folder + name);
            }
        }
        return paths;
    }

    Result<void> read(const std::string& path, std::uint64_t bytes_max, const Sink& sink) override {
        ext2_ino_t inode = 0;
        errcode_t code =
            ext2fs_namei(fs_.get(), EXT2_ROOT_INO, EXT2_ROOT_INO, path.c_str(), &inode);
        if (code != 0) return Error{ErrorCode::not_found, path + " is not there"};
        ext2_file_t opened = nullptr;
        code = ext2fs_file_open(fs_.get(), inode, 0, &opened);
        if (code != 0) return ext_error("reading " + path, code);
        const std::unique_ptr<struct ext2_file, errcode_t (*)(ext2_file_t)> file(opened,
                                                                                 ext2fs_file_close);
        std::vector<std::byte> buffer(read_size);
        for (std::uint64_t done = 0; done < bytes_max;) {
            unsigned int count = 0;
            code = ext2fs_file_read(opened, buffer.data(), static_cast<unsigned>(buffer.size()),
                                    &count);
            if (code != 0) return ext_error("reading " + path, code);
            if (count == 0) break;
            sink(Bytes(buffer).first(count));
            done += count;
        }
        return {};
    }

private:
    bool is_plain_file(const std::string& path) const {
        ext2_ino_t number = 0;
        ext2_inode inode{};
        return ext2fs_namei(fs_.get(), EXT2_ROOT_INO, EXT2_ROOT_INO, path.c_str(), &number) == 0 &&
               ext2fs_read_inode(fs_.get(), number, &inode) == 0 && LINUX_S_ISREG(inode.i_mode);
    }

    bool is_free(std::uint64_t offset) const {
        const blk64_t block = offset / fs_->blocksize;
        return block < ext2fs_blocks_count(fs_->super) && block >= fs_->super->s_first_data_block &&
               ext2fs_test_block_bitmap2(fs_->block_map, block) == 0;
    }

    /// The inode whose entry in the table lies at `offset`.
    std::optional<ext2_ino_t> inode_at(std::uint64_t offset) const {
        const std::uint64_t table_size =
            std::uint64_t{fs_->inode_blocks_per_group} * fs_->blocksize;
        for (dgrp_t group = 0; group < fs_->group_desc_count; ++group) {
            const std::uint64_t begin = ext2fs_inode_table_loc(fs_.get(), group) * fs_->blocksize;
            if (offset < begin || offset - begin >= table_size) continue;
            const std::uint64_t index = (offset - begin) / EXT2_INODE_SIZE(fs_->super);
            return static_cast<ext2_ino_t>(
                std::uint64_t{group} * EXT2_INODES_PER_GROUP(fs_->super) + index + 1);
        }
        return std::nullopt;
    }

    /// One look at every inode in use, until every block has its owner.
    Result<void> find_owners(std::map<blk64_t, BlockOwner>& blocks) {
        std::size_t missing = blocks.size();
        if (missing == 0) return {};
        ext2_inode_scan opened = nullptr;
        errcode_t code = ext2fs_open_inode_scan(fs_.get(), 0, &opened);
        if (code != 0) return ext_error("looking through its files", code);
        const std::unique_ptr<struct ext2_struct_inode_scan, void (*)(ext2_inode_scan)> scan(
            opened, ext2fs_close_inode_scan);
        std::vector<char> buffer(std::size_t{3} * fs_->blocksize);
        while (missing > 0) {
            ext2_ino_t number = 0;
            ext2_inode inode{};
            code = ext2fs_get_next_inode(opened, &number, &inode);
            if (code == EXT2_ET_BAD_BLOCK_IN_INODE_TABLE) continue;
            if (code != 0) return ext_error("looking through its files", code);
            if (number == 0) break;
            const bool is_in_use = inode.i_links_count != 0 || number < fs_->super->s_first_ino;
            if (!is_in_use) continue;
            if (const auto acl = blocks.find(ext2fs_file_acl_block(fs_.get(), &inode));
                acl != blocks.end() && acl->second.inode == 0) {
                acl->second = {number, -1};
                --missing;
            }
            if (ext2fs_inode_has_valid_blocks2(fs_.get(), &inode) == 0) continue;
            BlockVisit visit{&blocks, number, &missing};
            code = ext2fs_block_iterate3(fs_.get(), number, BLOCK_FLAG_READ_ONLY, buffer.data(),
                                         visit_block, &visit);
            if (code != 0 && code != EXT2_ET_INLINE_DATA_CANT_ITERATE) {
                return ext_error("looking through its files", code);
            }
        }
        return {};
    }

    Result<void> find_names(std::map<ext2_ino_t, std::string>& names) {
        NameVisit visit{fs_.get(), &names, names.size(), {EXT2_ROOT_INO}, {{EXT2_ROOT_INO, "/"}},
                        1,         {}};
        while (!visit.waiting.empty() && visit.missing > 0) {
            const Folder folder = std::move(visit.waiting.back());
            visit.waiting.pop_back();
            visit.waiting_bytes -= folder.path.size();
            visit.path = folder.path;
            const errcode_t code =
                ext2fs_dir_iterate(fs_.get(), folder.inode, 0, nullptr, visit_name, &visit);
            if (code != 0) return ext_error("reading the folder " + folder.path, code);
        }
        return {};
    }

    Owner owner_of(std::uint64_t offset, const std::map<blk64_t, BlockOwner>& blocks,
                   const std::map<ext2_ino_t, std::string>& names) const {
        Owner owner;
        if (is_free(offset)) {
            owner.kind = Owner::Kind::nobody;
            return owner;
        }
        if (const auto number = inode_at(offset); number) {
            ext2_inode inode{};
            const bool in_use =
                ext2fs_read_inode(fs_.get(), *number, &inode) != 0 || inode.i_links_count != 0;
            owner.kind = in_use ? Owner::Kind::untouchable : Owner::Kind::nobody;
            owner.path = names.at(*number);
            owner.reason = "it is kept in the inode, which has a checksum";
            return owner;
        }
        const auto found = blocks.find(offset / fs_->blocksize);
        if (found == blocks.end() || found->second.inode == 0) {
            owner.reason = "no file is known to own it";
            return owner;
        }
        return owner_in(found->second, offset, names.at(found->second.inode));
    }

    Owner owner_in(const BlockOwner& block, std::uint64_t offset, const std::string& path) const {
        Owner owner;
        owner.path = path;
        if (block.inode < fs_->super->s_first_ino && block.inode != EXT2_ROOT_INO) {
            owner.kind = Owner::Kind::nobody;  // the journal and the like
            return owner;
        }
        if (path.empty()) {
            owner.reason = "it is in a file whose name was not found";
            return owner;
        }
        ext2_inode inode{};
        if (ext2fs_read_inode(fs_.get(), block.inode, &inode) != 0) {
            owner.reason = "its inode cannot be read";
            return owner;
        }
        constexpr std::uint32_t special =
            EXT4_ENCRYPT_FL | EXT4_VERITY_FL | EXT2_COMPRBLK_FL | EXT4_INLINE_DATA_FL;
        if (block.index < 0 || !LINUX_S_ISREG(inode.i_mode)) {
            owner.reason = "it is part of a folder, a link or attributes, which have checksums";
            return owner;
        }
        if ((inode.i_flags & special) != 0) {
            owner.reason = "the file is encrypted, compressed or protected by checksums";
            return owner;
        }
        const std::uint64_t block_begin = round_down(offset, fs_->blocksize);
        owner.position =
            static_cast<std::uint64_t>(block.index) * fs_->blocksize + (offset - block_begin);
        const std::uint64_t size = EXT2_I_SIZE(&inode);
        if (owner.position >= size) {
            owner.kind = Owner::Kind::nobody;  // behind the end of the file
            return owner;
        }
        owner.kind = Owner::Kind::file;
        owner.run_begin = block_begin;
        owner.run_length = std::min<std::uint64_t>(
            fs_->blocksize, size - static_cast<std::uint64_t>(block.index) * fs_->blocksize);
        return owner;
    }

    FileSystem fs_;
};

}  // namespace

Result<std::unique_ptr<Files>> open_ext_files(const identity::Window& window) {
    auto fs =
        FileSystem::open({window.length(), [&window](std::uint64_t offset, MutableBytes into) {
                              return window.read(offset, into);
                          }});
    if (!fs) return std::move(fs).error();
    const errcode_t code = ext2fs_read_block_bitmap(fs->get());
    if (code != 0) return ext_error("reading what is free in it", code);
    return std::unique_ptr<Files>(std::make_unique<ExtFiles>(*std::move(fs)));
}

}  // namespace cowtgt::references
