#include "cow-store/file_posix.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <thread>
#include <utility>

namespace cowtgt {

namespace {

constexpr std::chrono::milliseconds lock_retry_interval{5};
constexpr std::size_t zero_block_size = 65536;
alignas(4096) constexpr std::array<std::byte, zero_block_size> zero_block{};

}  // namespace

Descriptor::~Descriptor() {
    if (fd_ >= 0) ::close(fd_);
}

Result<Descriptor> open_descriptor(const std::filesystem::path& path, int flags, unsigned mode) {
    for (;;) {
        const int fd = ::open(path.c_str(), flags | O_CLOEXEC, mode);
        if (fd >= 0) return Descriptor{fd};
        if (errno != EINTR) return system_error("opening " + path.string(), errno);
    }
}

Result<std::size_t> read_some_at(int fd, std::uint64_t offset, MutableBytes into,
                                 const std::string& name) {
    std::size_t done = 0;
    while (done < into.size()) {
        const ssize_t n =
            ::pread(fd, into.data() + done, into.size() - done, static_cast<off_t>(offset + done));
        if (n == 0) break;
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return system_error("reading " + name, errno);
        done += static_cast<std::size_t>(n);
    }
    return done;
}

Result<void> write_all_at(int fd, std::uint64_t offset, Bytes from, const std::string& name) {
    while (!from.empty()) {
        const ssize_t n = ::pwrite(fd, from.data(), from.size(), static_cast<off_t>(offset));
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return system_error("writing " + name, errno);
        offset += static_cast<std::uint64_t>(n);
        from = from.subspan(static_cast<std::size_t>(n));
    }
    return {};
}

PosixFile::PosixFile(Descriptor descriptor, std::string name)
    : descriptor_(std::move(descriptor)), name_(std::move(name)) {
    struct stat status {};
    if (::fstat(descriptor_.get(), &status) != 0) return;
    is_device_ = S_ISBLK(status.st_mode);
    inode_ = is_device_ ? 0 : status.st_ino;
}

Result<std::unique_ptr<PosixFile>> PosixFile::open(const std::filesystem::path& path, int flags,
                                                   unsigned mode) {
    Result<Descriptor> descriptor = open_descriptor(path, flags, mode);
    if (!descriptor) return std::move(descriptor).error();
    return std::make_unique<PosixFile>(std::move(*descriptor), path.string());
}

Result<void> PosixFile::read_at(std::uint64_t offset, MutableBytes into) {
    const Result<std::size_t> done = read_some_at(descriptor_.get(), offset, into, name_);
    if (!done) return done.error();
    std::fill(into.begin() + static_cast<std::ptrdiff_t>(*done), into.end(), std::byte{0});
    return {};
}

Result<void> PosixFile::write_at(std::uint64_t offset, Bytes from) {
    return write_all_at(descriptor_.get(), offset, from, name_);
}

Result<void> PosixFile::allocate(std::uint64_t offset, std::uint64_t length) {
    if (is_device_) {
        const Result<std::uint64_t> capacity = size();
        if (!capacity) return capacity.error();
        if (offset + length <= *capacity) return {};
        return Error{ErrorCode::no_space, "extending " + name_ + ": the device ends here", ENOSPC};
    }
    int failure = EINTR;
    while (failure == EINTR) {
        failure = ::posix_fallocate(descriptor_.get(), static_cast<off_t>(offset),
                                    static_cast<off_t>(length));
    }
    if (failure != 0) return system_error("reserving space for " + name_, failure);
    return {};
}

Result<void> PosixFile::punch_hole(std::uint64_t offset, std::uint64_t length) {
    while (::fallocate(descriptor_.get(), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
                       static_cast<off_t>(offset), static_cast<off_t>(length)) != 0) {
        // The contract is zeros; giving the space back is what such file systems cannot do.
        if (errno == EOPNOTSUPP) return write_zeros(offset, length);
        if (errno != EINTR) return system_error("freeing space of " + name_, errno);
    }
    return {};
}

Result<void> PosixFile::write_zeros(std::uint64_t offset, std::uint64_t length) {
    const Result<std::uint64_t> end = size();
    if (!end) return end.error();
    if (offset >= *end) return {};
    length = std::min(length, *end - offset);
    while (length > 0) {
        const std::size_t piece =
            static_cast<std::size_t>(std::min<std::uint64_t>(length, zero_block.size()));
        if (Result<void> written = write_at(offset, Bytes{zero_block}.first(piece)); !written) {
            return written;
        }
        offset += piece;
        length -= piece;
    }
    return {};
}

Result<void> PosixFile::sync_data() {
    // Never retried: after a failure the kernel may have dropped the dirty pages.
    if (::fdatasync(descriptor_.get()) != 0) return system_error("syncing " + name_, errno);
    return {};
}

Result<void> PosixFile::drop_cache() {
    const int failure = ::posix_fadvise(descriptor_.get(), 0, 0, POSIX_FADV_DONTNEED);
    if (failure != 0) return system_error("dropping the page cache of " + name_, failure);
    return {};
}

Result<std::uint64_t> PosixFile::size() {
    const off_t end = ::lseek(descriptor_.get(), 0, SEEK_END);
    if (end < 0) return system_error("asking for the size of " + name_, errno);
    return static_cast<std::uint64_t>(end);
}

Result<bool> lock_description(int fd, std::uint64_t offset, std::chrono::milliseconds patience,
                              const std::string& name) {
    struct flock lock {};
    lock.l_type = F_WRLCK;
    lock.l_whence = SEEK_SET;
    lock.l_start = static_cast<off_t>(offset);
    lock.l_len = 1;
    const auto deadline = std::chrono::steady_clock::now() + patience;
    for (;;) {
        if (::fcntl(fd, F_OFD_SETLK, &lock) == 0) return true;
        if (errno != EAGAIN && errno != EACCES && errno != EINTR) {
            return system_error("locking " + name, errno);
        }
        if (std::chrono::steady_clock::now() >= deadline) return false;
        std::this_thread::sleep_for(lock_retry_interval);
    }
}

std::optional<DirectIoAlignment> direct_io_alignment(int fd) {
    struct statx status {};
    if (::statx(fd, "", AT_EMPTY_PATH, STATX_DIOALIGN, &status) != 0 ||
        (status.stx_mask & STATX_DIOALIGN) == 0) {
        return DirectIoAlignment{};
    }
    if (status.stx_dio_offset_align == 0 || status.stx_dio_mem_align == 0) return std::nullopt;
    return DirectIoAlignment{.memory = status.stx_dio_mem_align,
                             .offset = status.stx_dio_offset_align};
}

}  // namespace cowtgt
