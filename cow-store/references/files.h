#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "cow-store/base/bytes.h"
#include "cow-store/base/result.h"
#include "cow-store/identity/window.h"

namespace cowtgt::references {

/// Whose a byte of a file system is.
struct Owner {
    enum class Kind {
        nobody,       ///< free, or in a file system's own journal: nothing reads it as content
        file,         ///< content of a file, in the clear and without a checksum
        untouchable,  ///< of a file or of the file system, but not to be changed in place
    };
    Kind kind = Kind::untouchable;
    std::string path;              ///< "/etc/fstab"; empty: not known
    std::string reason;            ///< why it is untouchable
    std::uint64_t position = 0;    ///< of a file: bytes from its beginning
    std::uint64_t run_begin = 0;   ///< what of the file lies around the byte in one piece,
    std::uint64_t run_length = 0;  ///< bytes from the start of the window
};

/// Files of one file system, found by reading. What it says of a damaged one is an Error that is a
/// reason to keep (identity::is_reason_to_keep).
///
/// Ownership: refers to the window that it was opened on. Threads: one at a time.
class Files {
public:
    using Sink = std::function<void(Bytes)>;

    virtual ~Files() = default;

    /// The owners of bytes (from the start of the window), in their order.
    virtual Result<std::vector<Owner>> owners_of(const std::vector<std::uint64_t>& offsets) = 0;
    /// Paths of what looks like an archive that is unpacked at boot: initrd.img-6.1.0, initramfs.
    virtual Result<std::vector<std::string>> boot_archives() = 0;
    /// The content of a file, in order, as far as bytes_max. not_found.
    virtual Result<void> read(const std::string& path, std::uint64_t bytes_max,
                              const Sink& sink) = 0;
};

/// By the name that installers give it.
bool is_boot_archive(std::string_view file_name);

Result<std::unique_ptr<Files>> open_ext_files(const identity::Window& window);
Result<std::unique_ptr<Files>> open_fat_files(const identity::Window& window);
Result<std::unique_ptr<Files>> open_xfs_files(const identity::Window& window);

}  // namespace cowtgt::references
