#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "cow-store/base/result.h"
#include "cow-store/base/uuid.h"
#include "cow-store/identity/identity.h"
#include "cow-store/identity/window.h"

/// What a format provides. Adding one is a file of its own and a row in formats.cc.
namespace cowtgt::identity {

class ReferencePlan;

/// Everything that patching one structure may look at.
struct PatchRequest {
    const Structure& structure;  ///< of the recipe, with the format's own places
    const Window& window;        ///< exactly the structure's part of the disk
    const IdentityChoice& choice;
    std::uint32_t block_size;          ///< logical, of the disk
    std::optional<std::string> uuid;   ///< asked for by name, as text, instead of a derived one
    std::optional<std::string> label;  ///< asked for by name
    const ReferencePlan& plan;         ///< which values have to stay because files name them
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

/// The structure that `window` holds, called "XFS on partition 2", without places and findings.
Structure structure_in(const Window& window, std::string_view format, std::string_view name,
                       const std::string& place);

/// A value as it is on the disk.
Finding found(const std::string& where, std::string_view kind, std::string_view old_value,
              std::string_view label = {});

/// What an examination returns: the structure with its places, or kept with the reason why they
/// could not be had; the error itself when it is none of the disk.
Result<std::optional<Structure>> with_places(Structure structure,
                                             Result<std::vector<Place>> places);

/// The UUID that the structure gets: the one asked for, else a derived one, or the old one when
/// all is to stay. Errors: usage, when the text asked for is no UUID.
Result<Uuid> chosen_uuid(const PatchRequest& request, std::string_view kind, const Uuid& old);

/// The same for a serial number of 8 or 16 hexadecimal digits, never 0. With 8 digits a dash may
/// stand in the middle, as blkid prints it.
Result<std::uint64_t> chosen_serial(const PatchRequest& request, unsigned digits,
                                    std::uint64_t old);
std::string serial_text(std::uint64_t serial, unsigned digits);

/// Tells what a value becomes; the same value means that it was asked to stay.
Finding changed(Finding finding, std::string new_value);

/// The finding of a label that was changed on request.
Finding changed_label(const Finding& of, std::string new_label);

/// usage when the label has more than `bytes_max` bytes or a NUL.
Result<void> check_label(std::string_view label, std::size_t bytes_max, std::string_view format);
/// usage when a label was asked for.
Result<void> check_no_label(const PatchRequest& request, std::string_view why);

Patch patch_at(const Window& window, std::uint64_t offset, Bytes bytes);

/// The structure, with nothing to be patched and the reason in all findings.
Structure kept(Structure structure, const std::string& reason);

/// The places on the disk where the last clone found them, or why not: the recipe belongs to
/// another image, or the image has changed.
Result<void> check_places(const Structure& structure, const std::vector<Place>& now);

}  // namespace cowtgt::identity
