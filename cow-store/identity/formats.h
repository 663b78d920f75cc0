#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "cow-store/base/result.h"
#include "cow-store/base/uuid.h"
#include "cow-store/identity/identity.h"
#include "cow-store/identity/window.h"

/// What a format provides. Adding one is a file of its own and a row in formats.cc.
namespace cowtgt::identity {

/// Everything that patching one structure may look at.
struct PatchRequest {
    const Structure& structure;  ///< of the recipe, with the format's own places
    const Window& window;        ///< exactly the structure's part of the disk
    const IdentityChoice& choice;
    std::uint32_t block_size;          ///< logical, of the disk
    std::optional<Uuid> uuid;          ///< asked for by name, instead of a derived one
    std::optional<std::string> label;  ///< asked for by name
};

/// One format of file system or volume inside of a partition or on the bare disk.
struct FileSystemFormat {
    std::string_view name;  ///< Structure::format
    /// Nothing when the window does not hold this format. `place` is "partition 2" or "the whole
    /// disk". What must be kept comes back with kept_because and without places.
    Result<std::optional<Structure>> (*examine)(const Window& window, const std::string& place);
    /// Validates again what it reads, and returns the whole patch of the structure. The caller
    /// keeps the structure on errors that are reasons to keep.
    Result<Patching> (*patch)(const PatchRequest& request);
};

std::span<const FileSystemFormat> file_system_formats();
const FileSystemFormat* find_file_system_format(std::string_view name);

/// The value that `choice` gives to what is called `where` and `kind` on the disk.
Uuid derived_uuid(const IdentityChoice& choice, std::string_view where, std::string_view kind);

/// The structure, with nothing to be patched and the reason in all findings.
Structure kept(Structure structure, const std::string& reason);

/// The places on the disk where the last clone found them, or why not: the recipe belongs to
/// another image, or the image has changed.
Result<void> check_places(const Structure& structure, const std::vector<Place>& now);

}  // namespace cowtgt::identity
