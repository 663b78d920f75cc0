#include "boot-helper/image/image_source.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

namespace cowtgt::boot {

Result<RawImageFile> RawImageFile::open(const std::filesystem::path& file) {
    Descriptor descriptor(::open(file.c_str(), O_RDONLY | O_CLOEXEC));
    if (!descriptor.is_open()) return system_error("opening " + file.string(), errno);
    const off_t size = ::lseek(descriptor.get(), 0, SEEK_END);
    if (size < 0) return system_error("size of " + file.string(), errno);
    return RawImageFile(std::move(descriptor), file, static_cast<std::uint64_t>(size));
}

Result<void> RawImageFile::read(std::uint64_t offset, MutableBytes to) {
    CHECK(offset <= size_bytes_ && to.size() <= size_bytes_ - offset);
    while (!to.empty()) {
        const ssize_t count =
            ::pread(file_.get(), to.data(), to.size(), static_cast<off_t>(offset));
        if (count < 0 && errno == EINTR) continue;
        if (count < 0) return system_error("reading " + path_.string(), errno);
        if (count == 0) return Error{ErrorCode::io, path_.string() + " became shorter"};
        to = to.subspan(static_cast<std::size_t>(count));
        offset += static_cast<std::uint64_t>(count);
    }
    return {};
}

ImagePart::ImagePart(ImageSource& whole, std::uint64_t offset, std::uint64_t size_bytes)
    : whole_(whole), offset_(offset), size_bytes_(size_bytes) {
    CHECK(offset <= whole.size_bytes() && size_bytes <= whole.size_bytes() - offset);
}

Result<void> ImagePart::read(std::uint64_t offset, MutableBytes to) {
    CHECK(offset <= size_bytes_ && to.size() <= size_bytes_ - offset);
    return whole_.read(offset_ + offset, to);
}

}  // namespace cowtgt::boot
