extern "C" {  // com_err.h does not say so itself
#include <et/com_err.h>
}
#include <ext2fs/ext2fs.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cstdlib>
#include <cstring>

#include "boot-helper/image/file_tree.h"

namespace cowtgt::boot {

namespace {

constexpr std::size_t read_bytes = 64U << 10;

// libext2fs reads through an io_manager, whose open function is given nothing but a name. The name
// is the address of the part in decimal digits, made by open_ext_tree and read back here.

errcode_t channel_open(const char* name, int, io_channel* channel);

errcode_t channel_close(io_channel channel) {
    if (--channel->refcount > 0) return 0;
    std::free(channel->name);
    std::free(channel);
    return 0;
}

errcode_t channel_set_block_size(io_channel channel, int block_size) {
    channel->block_size = block_size;
    return 0;
}

/// A negative count is in bytes.
errcode_t channel_read(io_channel channel, unsigned long long block, int count, void* data) {
    auto& part = *static_cast<ImageSource*>(channel->private_data);
    const auto block_size = static_cast<std::uint64_t>(channel->block_size);
    const std::uint64_t size = count < 0 ? static_cast<std::uint64_t>(-std::int64_t{count})
                                         : static_cast<std::uint64_t>(count) * block_size;
    if (block > part.size_bytes() / block_size) return EXT2_ET_SHORT_READ;
    const std::uint64_t offset = block * block_size;
    if (size > part.size_bytes() - offset) return EXT2_ET_SHORT_READ;
    const Result<void> done = part.read(offset, {static_cast<std::byte*>(data), size});
    return done ? 0 : EIO;
}

errcode_t channel_read_32(io_channel channel, unsigned long block, int count, void* data) {
    return channel_read(channel, block, count, data);
}

errcode_t channel_write(io_channel, unsigned long long, int, const void*) {
    return EXT2_ET_RO_FILSYS;
}
errcode_t channel_write_32(io_channel, unsigned long, int, const void*) {
    return EXT2_ET_RO_FILSYS;
}
errcode_t channel_flush(io_channel) {
    return 0;
}

struct_io_manager make_manager() {
    struct_io_manager manager{};
    manager.magic = EXT2_ET_MAGIC_IO_MANAGER;
    manager.name = "image";
    manager.open = channel_open;
    manager.close = channel_close;
    manager.set_blksize = channel_set_block_size;
    manager.read_blk = channel_read_32;
    manager.write_blk = channel_write_32;
    manager.flush = channel_flush;
    manager.read_blk64 = channel_read;
    manager.write_blk64 = channel_write;
    return manager;
}

/// Constant after its initialisation; not const because libext2fs takes it so.
struct_io_manager image_manager = make_manager();

errcode_t channel_open(const char* name, int, io_channel* channel) {
    std::uintptr_t address = 0;
    const auto [end, problem] = std::from_chars(name, name + std::strlen(name), address);
    if (problem != std::errc{} || *end != '\0') return EXT2_ET_BAD_DEVICE_NAME;
    auto* made = static_cast<io_channel>(std::calloc(1, sizeof(struct_io_channel)));
    if (made == nullptr) return EXT2_ET_NO_MEMORY;
    made->magic = EXT2_ET_MAGIC_IO_CHANNEL;
    made->manager = &image_manager;
    made->name = ::strdup(name);
    made->block_size = 1024;
    made->refcount = 1;
    made->private_data = reinterpret_cast<void*>(address);
    *channel = made;
    return 0;
}

struct CloseFileSystem {
    void operator()(ext2_filsys fs) const { ext2fs_free(fs); }
};
using FileSystem = std::unique_ptr<struct_ext2_filsys, CloseFileSystem>;

Error ext_error(std::string doing, errcode_t code) {
    return {ErrorCode::corrupt, std::move(doing) + ": " + error_message(code)};
}

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
    static const bool tables = (initialize_ext2_error_table(), true);
    static_cast<void>(tables);
    const std::string name = std::to_string(reinterpret_cast<std::uintptr_t>(&part));
    ext2_filsys fs = nullptr;
    const errcode_t code = ext2fs_open(name.c_str(), EXT2_FLAG_64BITS | EXT2_FLAG_SOFTSUPP_FEATURES,
                                       0, 0, &image_manager, &fs);
    if (code != 0) return ext_error("opening the ext file system", code);
    return std::unique_ptr<FileTree>(std::make_unique<ExtTree>(FileSystem(fs)));
}

}  // namespace cowtgt::boot
