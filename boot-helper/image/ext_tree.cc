#include <ext2fs/ext2fs.h>

#include <algorithm>
#include <array>

#include "boot-helper/image/file_tree.h"
#include "cow-store/ext_reader/ext_reader.h"

namespace cowtgt::boot {

namespace {

using ext_reader::ext_error;
using ext_reader::FileSystem;

constexpr std::size_t read_bytes = 64U << 10;

FileEntry::Type type_of(std::uint16_t mode) {
    if (LINUX_S_ISREG(mode)) return FileEntry::Type::file;
    if (LINUX_S_ISDIR(mode)) return FileEntry::Type::directory;
    return LINUX_S_ISLNK(mode) ? FileEntry::Type::symbolic_link : FileEntry::Type::other;
}

struct Listing {
    ext2_filsys fs;
    std::vector<FileEntry> entries;
};

int add_entry(ext2_dir_entry* found, int, int, char*, void* context) {
    auto& listing = *static_cast<Listing*>(context);
    const auto length = static_cast<std::size_t>(ext2fs_dirent_name_len(found));
    std::string name(found->name, length);
    if (name == "." || name == "..") return 0;
    ext2_inode inode{};
    if (ext2fs_read_inode(listing.fs, found->inode, &inode) != 0) return 0;
    listing.entries.push_back({std::move(name), type_of(inode.i_mode), EXT2_I_SIZE(&inode)});
    return 0;
}

class ExtTree final : public FileTree {
public:
    explicit ExtTree(FileSystem fs) : fs_(std::move(fs)) {}

    std::optional<FileEntry> find(std::string_view path) override {
        const ext2_ino_t number = inode_of(path);
        ext2_inode inode{};
        if (number == 0 || ext2fs_read_inode(fs_.get(), number, &inode) != 0) return {};
        const std::string_view name = path.substr(path.rfind('/') + 1);
        return FileEntry{std::string(name), type_of(inode.i_mode), EXT2_I_SIZE(&inode)};
    }

    Result<std::vector<FileEntry>> list(std::string_view path) override {
        const ext2_ino_t number = inode_of(path);
        if (number == 0) return Error{ErrorCode::not_found, std::string(path) + " is not there"};
        Listing listing{fs_.get(), {}};
        const errcode_t code =
            ext2fs_dir_iterate(fs_.get(), number, 0, nullptr, add_entry, &listing);
        if (code != 0) return ext_error("reading the folder " + std::string(path), code);
        std::sort(listing.entries.begin(), listing.entries.end(),
                  [](const FileEntry& a, const FileEntry& b) { return a.name < b.name; });
        return std::move(listing.entries);
    }

    Result<void> read(std::string_view path, const Sink& sink) override {
        const std::string doing = "reading " + std::string(path);
        const ext2_ino_t number = inode_of(path);
        if (number == 0) return Error{ErrorCode::not_found, std::string(path) + " is not there"};
        ext2_file_t file = nullptr;
        if (const errcode_t code = ext2fs_file_open(fs_.get(), number, 0, &file); code != 0) {
            return ext_error(doing, code);
        }
        const Result<void> done = read_all(file, doing, sink);
        ext2fs_file_close(file);
        return done;
    }

    bool is_clean() const override {
        const ext2_super_block& super = *fs_->super;
        return (super.s_state & EXT2_VALID_FS) != 0 && (super.s_state & EXT2_ERROR_FS) == 0 &&
               !ext2fs_has_feature_journal_needs_recovery(fs_->super);
    }

private:
    /// 0 when there is none.
    ext2_ino_t inode_of(std::string_view path) const {
        ext2_ino_t number = 0;
        const std::string text(path);
        const errcode_t code =
            ext2fs_namei_follow(fs_.get(), EXT2_ROOT_INO, EXT2_ROOT_INO, text.c_str(), &number);
        return code == 0 ? number : 0;
    }

    static Result<void> read_all(ext2_file_t file, const std::string& doing, const Sink& sink) {
        std::vector<std::byte> buffer(read_bytes);
        while (true) {
            unsigned int count = 0;
            const errcode_t code = ext2fs_file_read(
                file, buffer.data(), static_cast<unsigned int>(buffer.size()), &count);
            if (code != 0) return ext_error(doing, code);
            if (count == 0) return {};
            if (auto taken = sink(std::span(buffer).first(count)); !taken) return taken;
        }
    }

    FileSystem fs_;
};

}  // namespace

Result<std::unique_ptr<FileTree>> open_ext_tree(ImageSource& part) {
    auto fs =
        FileSystem::open({part.size_bytes(), [&part](std::uint64_t offset, MutableBytes into) {
                              return part.read(offset, into);
                          }});
    if (!fs) return std::move(fs).error();
    return std::unique_ptr<FileTree>(std::make_unique<ExtTree>(*std::move(fs)));
}

}  // namespace cowtgt::boot
