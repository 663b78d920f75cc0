#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "boot-helper/image/image_source.h"
#include "cow-store/base/result.h"

namespace cowtgt::boot {

/// A partition, or the whole image where it has no partition table.
struct Partition {
    int number = 0;  ///< as in the table, from 1; 0: the whole image
    std::uint64_t offset = 0;
    std::uint64_t size_bytes = 0;
    bool is_efi_system = false;
    std::string file_system;  ///< as libblkid calls it: "ext4", "vfat", "crypto_LUKS"; or empty
    std::string label;        ///< of the file system
    std::string uuid;         ///< of the file system
};

/// What is where in an image, by libblkid. Logical partitions of MBR tables are left out.
Result<std::vector<Partition>> find_partitions(ImageSource& image);

/// "partition 2 (ext4)", "the image (ext4)"
std::string describe(const Partition& partition);

}  // namespace cowtgt::boot
