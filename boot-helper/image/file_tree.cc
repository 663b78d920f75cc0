#include "boot-helper/image/file_tree.h"

namespace cowtgt::boot {

namespace {

constexpr std::uint64_t text_bytes_max = 1U << 20;

}  // namespace

bool FileTree::has_file(std::string_view path) {
    const std::optional<FileEntry> entry = find(path);
    return entry && entry->type == FileEntry::Type::file;
}

bool FileTree::has_folder(std::string_view path) {
    const std::optional<FileEntry> entry = find(path);
    return entry && entry->type == FileEntry::Type::directory;
}

std::string FileTree::read_text(std::string_view path) {
    const std::optional<FileEntry> entry = find(path);
    if (!entry || entry->type != FileEntry::Type::file || entry->size_bytes > text_bytes_max) {
        return {};
    }
    std::string text;
    const Result<void> done = read(path, [&text](Bytes bytes) -> Result<void> {
        text += text_of(bytes);
        return {};
    });
    return done ? text : std::string{};
}

}  // namespace cowtgt::boot
