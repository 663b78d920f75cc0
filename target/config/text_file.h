#pragma once

#include <cstdint>
#include <ctime>
#include <filesystem>
#include <string>
#include <string_view>

#include "cow-store/base/result.h"

/// Small text files: read whole, replaced whole.
namespace cowtgt::config {

/// What tells one version of a file from the next. All zero for a file that does not exist.
struct FileStamp {
    std::uint64_t inode = 0;
    std::uint64_t size_bytes = 0;
    std::int64_t modified_ns = 0;  ///< since 1970
    friend bool operator==(const FileStamp&, const FileStamp&) = default;
};
FileStamp stamp_of(const std::filesystem::path& file);

/// not_found when there is none; refused when it is larger than any file of ours can be.
Result<std::string> read_text_file(const std::filesystem::path& file);

/// Of a file that did not exist before.
enum class NewFileMode : std::uint32_t { readable = 0644, owner_only = 0600 };

/// A reader sees the old content or the new one, never a part, power loss included: written beside
/// it, synced, renamed over it, directory synced. Mode and owner of an existing file stay. A
/// symbolic link stays one: the file that it points to is replaced.
Result<void> replace_text_file(const std::filesystem::path& file, std::string_view text,
                               NewFileMode new_file_mode = NewFileMode::readable);

}  // namespace cowtgt::config
