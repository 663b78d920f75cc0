#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <string_view>

#include "cow-store/base/result.h"
#include "cow-store/descriptor.h"
#include "cow-store/store/byte_stream.h"
#include "cow-store/store/store.h"

/// Where an imported image comes from.
namespace cowtgt::store {

inline constexpr std::uint64_t disk_size_max = std::uint64_t{1} << 44;  ///< bytes: 16 TiB

/// How bytes of an image are to be understood; a name of qemu-img's, or "raw".
std::string_view image_format(Bytes beginning);
inline constexpr std::size_t signature_length = 512;  ///< bytes that image_format looks at

/// An image to be imported, opened and looked at, nothing of it read yet.
struct ImageInput {
    Descriptor file;
    std::filesystem::path path;  ///< absolute; "-" for standard input
    std::string name;            ///< for messages
    std::string_view format = "raw";
    std::unique_ptr<PeekStream> stream;  ///< in the place of `file`: unpacked, read once, in order
    std::uint64_t size = 0;              ///< bytes; of a raw image that is no stream
};

/// Errors: not_found; failed for a folder, an empty image, or one whose size is no disk's.
Result<ImageInput> open_image(const ImportOptions& options);

/// A disk has a multiple of 512 bytes, more than none, and at most disk_size_max.
Result<void> check_disk_size(std::uint64_t size, const std::string& name);

/// Lets qemu-img write the content of `input`, which is no raw image, into the new sparse file
/// `destination`. `keep_going` is asked several times a second; its error ends the conversion.
/// Errors are in qemu-img's own words. The child process dies with this one.
Result<void> convert_image(const ImageInput& input, const std::filesystem::path& destination,
                           const Progress& progress,
                           const std::function<Result<void>()>& keep_going);

}  // namespace cowtgt::store
