#include "cow-store/store/file_system.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <system_error>
#include <utility>

#include "cow-store/file_posix.h"

namespace cowtgt::store {

namespace {

constexpr std::uint64_t text_file_size_max = std::uint64_t{64} << 20;
constexpr std::uint64_t block_count_unit = 512;  ///< bytes in a unit of st_blocks

/// Passes everything on, one step for each change.
class SteppedFile final : public File {
public:
    SteppedFile(FileSystem files, std::unique_ptr<File> file, std::string name)
        : files_(std::move(files)), file_(std::move(file)), name_(std::move(name)) {}

    Result<void> read_at(std::uint64_t offset, MutableBytes into) override {
        return file_->read_at(offset, into);
    }
    Result<void> write_at(std::uint64_t offset, Bytes from) override {
        if (Result<void> go = files_.step("writing", name_); !go) return go;
        return file_->write_at(offset, from);
    }
    Result<void> allocate(std::uint64_t offset, std::uint64_t length) override {
        if (Result<void> go = files_.step("reserving space for", name_); !go) return go;
        return file_->allocate(offset, length);
    }
    Result<void> punch_hole(std::uint64_t offset, std::uint64_t length) override {
        if (Result<void> go = files_.step("freeing space of", name_); !go) return go;
        return file_->punch_hole(offset, length);
    }
    Result<void> sync_data() override {
        if (Result<void> go = files_.step("syncing", name_); !go) return go;
        return file_->sync_data();
    }
    Result<void> drop_cache() override { return file_->drop_cache(); }
    Result<std::uint64_t> size() override { return file_->size(); }
    std::uint64_t inode() const override { return file_->inode(); }

private:
    FileSystem files_;
    std::unique_ptr<File> file_;
    std::string name_;
};

Error failed(std::string_view doing, const FileSystem::Path& path, int os_errno) {
    return system_error(std::string(doing) + " " + path.string(), os_errno);
}

}  // namespace

Result<void> FileSystem::step(std::string_view doing, const Path& path) const {
    if (!before_step_) return {};
    const int os_errno = before_step_(std::string(doing) + " " + path.string());
    if (os_errno != 0) return failed(doing, path, os_errno);
    return {};
}

Result<void> FileSystem::make_directory(const Path& path) const {
    if (Result<void> go = step("making", path); !go) return go;
    if (::mkdir(path.c_str(), 0700) != 0) return failed("making", path, errno);
    return {};
}

Result<void> FileSystem::rename(const Path& from, const Path& to) const {
    if (Result<void> go = step("renaming", from); !go) return go;
    if (::rename(from.c_str(), to.c_str()) != 0) {
        return failed("renaming " + from.string() + " to", to, errno);
    }
    return {};
}

Result<void> FileSystem::link(const Path& from, const Path& to) const {
    if (Result<void> go = step("linking", from); !go) return go;
    if (::link(from.c_str(), to.c_str()) != 0) {
        return failed("linking " + from.string() + " as", to, errno);
    }
    return {};
}

Result<void> FileSystem::sync_directory(const Path& path) const {
    if (Result<void> go = step("syncing", path); !go) return go;
    const Result<Descriptor> directory = open_descriptor(path, O_RDONLY | O_DIRECTORY);
    if (!directory) return directory.error();
    if (::fsync(directory->get()) != 0) return failed("syncing", path, errno);
    return {};
}

Result<void> FileSystem::write_new_file(const Path& path, std::string_view text) const {
    const Result<std::unique_ptr<File>> file = create_file(path);
    if (!file) return file.error();
    if (Result<void> done = (*file)->write_at(0, bytes_of(text)); !done) return done;
    return (*file)->sync_data();
}

Result<void> FileSystem::remove_file(const Path& path) const {
    if (Result<void> go = step("removing", path); !go) return go;
    if (::unlink(path.c_str()) != 0) return failed("removing", path, errno);
    return {};
}

Result<void> FileSystem::remove_empty_directory(const Path& path) const {
    if (Result<void> go = step("removing", path); !go) return go;
    if (::rmdir(path.c_str()) != 0) return failed("removing", path, errno);
    return {};
}

Result<void> FileSystem::remove_tree(const Path& path) const {
    struct stat status {};
    if (::lstat(path.c_str(), &status) != 0) return failed("removing", path, errno);
    if (!S_ISDIR(status.st_mode)) return remove_file(path);
    const Result<std::vector<std::string>> names = list_directory(path);
    if (!names) return names.error();
    for (const std::string& name : *names) {
        if (Result<void> removed = remove_tree(path / name); !removed) return removed;
    }
    return remove_empty_directory(path);
}

Result<std::unique_ptr<File>> FileSystem::create_file(const Path& path) const {
    if (Result<void> go = step("making", path); !go) return go.error();
    Result<std::unique_ptr<PosixFile>> file = PosixFile::open(path, O_RDWR | O_CREAT | O_EXCL);
    if (!file) return std::move(file).error();
    return count_steps(std::move(*file), path.string());
}

std::unique_ptr<File> FileSystem::count_steps(std::unique_ptr<File> file, std::string name) const {
    if (!before_step_) return file;
    return std::make_unique<SteppedFile>(*this, std::move(file), std::move(name));
}

Result<void> FileSystem::make_filled_file(const Path& path, std::uint64_t length) const {
    const Result<std::unique_ptr<File>> file = create_file(path);
    if (!file) return file.error();
    return (*file)->allocate(0, length);
}

Result<void> FileSystem::set_size(const Path& path, std::uint64_t size) const {
    if (Result<void> go = step("setting the size of", path); !go) return go;
    if (::truncate(path.c_str(), static_cast<off_t>(size)) != 0) {
        return failed("setting the size of", path, errno);
    }
    return {};
}

Result<void> FileSystem::seal(const Path& path) const {
    if (Result<void> go = step("sealing", path); !go) return go;
    const Result<Descriptor> file = open_descriptor(path, O_RDONLY);
    if (!file) return file.error();
    // The time is set here and synced with the rest, so that it is one that we know.
    const int fd = file->get();
    if (::fchmod(fd, 0444) != 0 || ::futimens(fd, nullptr) != 0 || ::fsync(fd) != 0) {
        return failed("sealing", path, errno);
    }
    return {};
}

Result<std::string> read_text_file(const std::filesystem::path& path) {
    const Result<Descriptor> file = open_descriptor(path, O_RDONLY);
    if (!file) {
        Error error = file.error();
        if (error.os_errno == ENOENT) error.code = ErrorCode::not_found;
        return error;
    }
    struct stat status {};
    if (::fstat(file->get(), &status) != 0) return failed("reading", path, errno);
    const std::uint64_t size = static_cast<std::uint64_t>(status.st_size);
    if (size > text_file_size_max) {
        return Error{ErrorCode::corrupt, path.string() + " is larger than any file of a store"};
    }
    std::string text(size, '\0');
    const MutableBytes bytes = std::as_writable_bytes(std::span<char>(text));
    const Result<std::size_t> got = read_some_at(file->get(), 0, bytes, path.string());
    if (!got) return got.error();
    text.resize(*got);
    return text;
}

Result<std::vector<std::string>> list_directory(const std::filesystem::path& path) {
    std::vector<std::string> names;
    std::error_code failure;
    std::filesystem::directory_iterator entry(path, failure);
    for (; !failure && entry != std::filesystem::directory_iterator{}; entry.increment(failure)) {
        names.push_back(entry->path().filename().string());
    }
    if (failure == std::errc::no_such_file_or_directory) return std::vector<std::string>{};
    if (failure) return failed("reading the directory", path, failure.value());
    std::sort(names.begin(), names.end());
    return names;
}

std::uint64_t allocated_bytes_of(const std::filesystem::path& path) {
    struct stat status {};
    if (::stat(path.c_str(), &status) != 0) return 0;
    return static_cast<std::uint64_t>(status.st_blocks) * block_count_unit;
}

}  // namespace cowtgt::store
