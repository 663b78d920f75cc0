#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "boot-helper/image/image_source.h"
#include "cow-store/base/result.h"

namespace cowtgt::boot {

struct FileEntry {
    enum class Type : std::uint8_t { file, directory, symbolic_link, other };

    std::string name;  ///< without its folder
    Type type = Type::other;
    std::uint64_t size_bytes = 0;
};

/// The files of a file system in an image, read-only.
///
/// Paths are absolute within it; symbolic links are followed within it, but for the last name of
/// list()'s results.
/// Threads: one at a time.
class FileTree {
public:
    using Sink = std::function<Result<void>(Bytes)>;

    virtual ~FileTree() = default;
    /// Nothing when there is no such thing, or its folder cannot be read.
    virtual std::optional<FileEntry> find(std::string_view path) = 0;
    /// The entries of a folder, by name, without . and ..; not_found when there is no such folder.
    virtual Result<std::vector<FileEntry>> list(std::string_view path) = 0;
    /// The content in order and in pieces. An error of `sink` ends it and is returned.
    virtual Result<void> read(std::string_view path, const Sink& sink) = 0;
    /// Whether it was cleanly unmounted: no journal to replay, no errors noted.
    virtual bool is_clean() const = 0;

    bool has_file(std::string_view path);
    bool has_folder(std::string_view path);
    /// The content of a small file; empty when there is none or it is larger than 1 MiB.
    std::string read_text(std::string_view path);
};

/// ext2, ext3, ext4 through libext2fs. The journal is not replayed: see is_clean.
/// Ownership: keeps a reference to `part`.
Result<std::unique_ptr<FileTree>> open_ext_tree(ImageSource& part);

/// FAT12, FAT16, FAT32; short names only, compared without regard to case: what firmware looks for
/// has a short name always.
/// Ownership: keeps a reference to `part`.
Result<std::unique_ptr<FileTree>> open_fat_tree(ImageSource& part);

}  // namespace cowtgt::boot
