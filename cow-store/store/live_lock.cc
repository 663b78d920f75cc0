#include "cow-store/store/live_lock.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <array>
#include <cerrno>
#include <optional>
#include <utility>

#include "cow-store/file_posix.h"

namespace cowtgt::store {

namespace {

// Two descriptions of one file cannot hold the same lock, so each has a byte of its own; whoever
// opens the layer needs both.
constexpr std::uint64_t buffered_lock_offset = 0;
constexpr std::uint64_t direct_lock_offset = 1;

Result<void> take(const Context& context, std::string_view name, const Descriptor& file,
                  std::uint64_t offset) {
    const std::string what = "instance " + std::string(name);
    const Result<bool> locked =
        lock_description(file.get(), offset, context.environment.lock_patience, what);
    if (!locked) return locked.error();
    if (*locked) return {};
    return Error{ErrorCode::in_use,
                 what + " is in use: another process is serving or reading it; stop that first"};
}

}  // namespace

Result<LockedLayer> lock_live_layer(const Context& context, std::string_view name,
                                    std::string_view file) {
    const std::filesystem::path path = context.layout.instance(name) / file;
    LockedLayer layer;
    Result<Descriptor> buffered = open_descriptor(path, O_RDWR);
    if (!buffered && buffered.error().os_errno == EACCES && ::chmod(path.c_str(), 0600) == 0) {
        // It was sealed by a change that did not come to its end.
        buffered = open_descriptor(path, O_RDWR);
    }
    if (!buffered && buffered.error().os_errno == ENOENT) {
        return Error{ErrorCode::refused,
                     "the layer " + path.string() + " of instance " + std::string(name) +
                         " is gone; restore it from a backup, or remove the instance",
                     ENOENT};
    }
    if (!buffered) return std::move(buffered).error();
    layer.buffered = std::move(*buffered);
    Result<void> locked = take(context, name, layer.buffered, buffered_lock_offset);
    if (!locked) return std::move(locked).error();

    Result<Descriptor> direct = open_descriptor(path, O_RDWR | O_DIRECT);
    layer.direct_io = direct.has_value() && direct_io_alignment(direct->get()).has_value();
    if (!layer.direct_io) direct = open_descriptor(path, O_RDWR);
    if (!direct) return std::move(direct).error();
    layer.direct = std::move(*direct);
    locked = take(context, name, layer.direct, direct_lock_offset);
    if (!locked) return std::move(locked).error();
    return layer;
}

}  // namespace cowtgt::store
