#pragma once

#include "cow-store/base/bytes.h"

namespace cowtgt::references {

/// Whether a module ext2.mod of GRUB for a PC refuses ext4 with the feature metadata_csum_seed, as
/// all did before its fix of 2021 (commit 7fd5feff). Its version does not tell: distributions took
/// the fix into older ones. Not known: false.
bool refuses_checksum_seed(Bytes module);

}  // namespace cowtgt::references
