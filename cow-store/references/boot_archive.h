#pragma once

#include <string>
#include <vector>

#include "cow-store/base/bytes.h"
#include "cow-store/base/result.h"

namespace cowtgt::references {

/// Which of `texts` an archive that is unpacked at boot (an initramfs: cpio archives behind one
/// another, with or without a compression) names in its compressed parts. What lies in the clear
/// in it is found by the search of the disk.
/// Errors: unsupported or corrupt, when a part of it cannot be unpacked.
Result<std::vector<std::string>> search_boot_archive(Bytes archive,
                                                     const std::vector<std::string>& texts);

}  // namespace cowtgt::references
