#include "target/config/text_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

#include "cow-store/descriptor.h"

namespace cowtgt::config {

namespace {

constexpr std::size_t text_file_bytes_max = 64U << 20;

Result<void> write_all(int fd, std::string_view text, const std::string& doing) {
    while (!text.empty()) {
        const ssize_t written = ::write(fd, text.data(), text.size());
        if (written < 0 && errno == EINTR) continue;
        if (written < 0) return system_error(doing, errno);
        text.remove_prefix(static_cast<std::size_t>(written));
    }
    return {};
}

Result<void> write_new_file(const std::filesystem::path& file, std::string_view text,
                            const std::filesystem::path& like, NewFileMode new_file_mode) {
    const std::string doing = "writing " + file.string();
    const Descriptor out(
        ::open(file.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600));
    if (!out.is_open()) return system_error(doing, errno);
    struct stat old {};
    auto mode = static_cast<mode_t>(new_file_mode);
    if (::stat(like.c_str(), &old) == 0) {
        mode = old.st_mode & 07777U;
        // Only root may give files away; for others the new file keeps being theirs.
        if (::fchown(out.get(), old.st_uid, old.st_gid) != 0 && errno != EPERM) {
            return system_error(doing, errno);
        }
    }
    if (::fchmod(out.get(), mode) != 0) return system_error(doing, errno);
    if (auto written = write_all(out.get(), text, doing); !written) return written;
    if (::fsync(out.get()) != 0) return system_error("syncing " + file.string(), errno);
    return {};
}

Result<void> sync_directory(const std::filesystem::path& directory) {
    const Descriptor opened(::open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (!opened.is_open() || ::fsync(opened.get()) != 0) {
        return system_error("syncing " + directory.string(), errno);
    }
    return {};
}

}  // namespace

FileStamp stamp_of(const std::filesystem::path& file) {
    struct stat found {};
    if (::stat(file.c_str(), &found) != 0) return {};
    constexpr std::int64_t ns_per_s = 1'000'000'000;
    return {.inode = found.st_ino,
            .size_bytes = static_cast<std::uint64_t>(found.st_size),
            .modified_ns = found.st_mtim.tv_sec * ns_per_s + found.st_mtim.tv_nsec};
}

Result<std::string> read_text_file(const std::filesystem::path& file) {
    const std::string doing = "reading " + file.string();
    const Descriptor in(::open(file.c_str(), O_RDONLY | O_CLOEXEC));
    if (!in.is_open()) {
        Error error = system_error(doing, errno);
        if (errno == ENOENT || errno == ENOTDIR) error.code = ErrorCode::not_found;
        return error;
    }
    std::string text;
    std::string piece(65536, '\0');
    while (true) {
        const ssize_t count = ::read(in.get(), piece.data(), piece.size());
        if (count < 0 && errno == EINTR) continue;
        if (count < 0) return system_error(doing, errno);
        if (count == 0) return text;
        text.append(piece.data(), static_cast<std::size_t>(count));
        if (text.size() > text_file_bytes_max) {
            return Error{ErrorCode::refused,
                         file.string() + " is too large to be one of our files"};
        }
    }
}

Result<void> replace_text_file(const std::filesystem::path& file, std::string_view text,
                               NewFileMode new_file_mode) {
    std::error_code ignored;
    std::filesystem::path real = std::filesystem::canonical(file, ignored);
    if (real.empty()) real = file;
    std::filesystem::path fresh = real;
    fresh += ".new";
    if (auto written = write_new_file(fresh, text, real, new_file_mode); !written) {
        ::unlink(fresh.c_str());
        return written;
    }
    if (::rename(fresh.c_str(), real.c_str()) != 0) {
        const int problem = errno;
        ::unlink(fresh.c_str());
        return system_error("replacing " + real.string(), problem);
    }
    return sync_directory(real.has_parent_path() ? real.parent_path() : ".");
}

}  // namespace cowtgt::config
