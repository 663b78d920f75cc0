#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "cow-store/base/result.h"
#include "cow-store/descriptor.h"
#include "cow-store/file.h"
#include "cow-store/store/environment.h"

namespace cowtgt::store {

/// Everything that the store changes on the host's file system: one call, one step. Killing the
/// process before any of them, or letting any of them fail, must leave all or nothing.
///
/// Threads: as the store's, one at a time.
/// Errors: no_space or io, with the step and the path.
class FileSystem {
public:
    using Path = std::filesystem::path;

    explicit FileSystem(std::function<int(std::string_view)> before_step)
        : before_step_(std::move(before_step)) {}

    Result<void> make_directory(const Path& path) const;
    /// Also replaces a file, or an empty directory.
    Result<void> rename(const Path& from, const Path& to) const;
    /// Another name for a file.
    Result<void> link(const Path& from, const Path& to) const;
    /// Makes names in the directory survive a power cut.
    Result<void> sync_directory(const Path& path) const;
    /// Writes and syncs a new file.
    Result<void> write_new_file(const Path& path, std::string_view text) const;
    Result<void> remove_file(const Path& path) const;
    Result<void> remove_empty_directory(const Path& path) const;
    /// One step for each file and directory in it.
    Result<void> remove_tree(const Path& path) const;
    /// A new file, open for reading and writing. Each change through it is a step too.
    Result<std::unique_ptr<File>> create_file(const Path& path) const;
    /// The same around a file that is open already.
    std::unique_ptr<File> count_steps(std::unique_ptr<File> file, std::string name) const;
    /// Bytes [0, length) of the file reserved.
    Result<void> make_filled_file(const Path& path, std::uint64_t length) const;
    /// The file's size without space behind it.
    Result<void> set_size(const Path& path, std::uint64_t size) const;
    /// Read-only for everybody, its contents and its facts synced.
    Result<void> seal(const Path& path) const;

    /// 0, or the errno that the step is to fail with.
    Result<void> step(std::string_view doing, const Path& path) const;

private:
    std::function<int(std::string_view)> before_step_;
};

/// The whole file as text. Errors: not_found; corrupt above a size that no file of ours has.
Result<std::string> read_text_file(const std::filesystem::path& path);
/// Names in a directory, sorted; empty when there is no such directory.
Result<std::vector<std::string>> list_directory(const std::filesystem::path& path);
/// Bytes that the file takes on the host; 0 when it cannot be told.
std::uint64_t allocated_bytes_of(const std::filesystem::path& path);

}  // namespace cowtgt::store
