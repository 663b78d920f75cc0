#include "cow-store/ext_reader/ext_reader.h"

extern "C" {  // com_err.h does not say so itself
#include <et/com_err.h>
}
#include <ext2fs/ext2fs.h>

#include <charconv>
#include <cstdlib>
#include <cstring>

namespace cowtgt::ext_reader {

namespace {

// libext2fs reads through an io_manager, whose open function is given nothing but a name. The name
// is the address of the source in decimal digits, made by FileSystem::open and read back here.

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
    const auto& source = *static_cast<const Source*>(channel->private_data);
    const auto block_size = static_cast<std::uint64_t>(channel->block_size);
    const std::uint64_t size = count < 0 ? static_cast<std::uint64_t>(-std::int64_t{count})
                                         : static_cast<std::uint64_t>(count) * block_size;
    if (block > source.size_bytes / block_size) return EXT2_ET_SHORT_READ;
    const std::uint64_t offset = block * block_size;
    if (size > source.size_bytes - offset) return EXT2_ET_SHORT_READ;
    const Result<void> done = source.read(offset, {static_cast<std::byte*>(data), size});
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
    manager.name = "source";
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
struct_io_manager source_manager = make_manager();

errcode_t channel_open(const char* name, int, io_channel* channel) {
    std::uintptr_t address = 0;
    const auto [end, problem] = std::from_chars(name, name + std::strlen(name), address);
    if (problem != std::errc{} || *end != '\0') return EXT2_ET_BAD_DEVICE_NAME;
    auto* made = static_cast<io_channel>(std::calloc(1, sizeof(struct_io_channel)));
    if (made == nullptr) return EXT2_ET_NO_MEMORY;
    made->magic = EXT2_ET_MAGIC_IO_CHANNEL;
    made->manager = &source_manager;
    made->name = ::strdup(name);
    made->block_size = 1024;
    made->refcount = 1;
    made->private_data = reinterpret_cast<void*>(address);
    *channel = made;
    return 0;
}

}  // namespace

void Free::operator()(struct_ext2_filsys* fs) const {
    ext2fs_free(fs);
}

Result<FileSystem> FileSystem::open(Source source) {
    static const bool tables = (initialize_ext2_error_table(), true);
    static_cast<void>(tables);
    FileSystem opened(std::make_unique<Source>(std::move(source)));
    const std::string name = std::to_string(reinterpret_cast<std::uintptr_t>(opened.source_.get()));
    ext2_filsys fs = nullptr;
    const errcode_t code = ext2fs_open(name.c_str(), EXT2_FLAG_64BITS | EXT2_FLAG_SOFTSUPP_FEATURES,
                                       0, 0, &source_manager, &fs);
    if (code != 0) return ext_error("opening the ext file system", code);
    opened.fs_.reset(fs);
    return opened;
}

Error ext_error(const std::string& doing, long code) {
    return {ErrorCode::corrupt, doing + ": " + error_message(code)};
}

}  // namespace cowtgt::ext_reader
