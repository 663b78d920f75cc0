#pragma once

#include <optional>
#include <string>

#include "cow-store/identity/ext_layout.h"
#include "cow-store/identity/formats.h"

namespace cowtgt::identity {

/// ext2, ext3 and ext4: the superblock and all its copies, and with uninit_bg the checksums of the
/// group descriptors. Where metadata checksums start from the UUID, the clone gets the feature
/// metadata_csum_seed with the old UUID's checksum, so that no other block changes.
///
/// Kept: what a journal replay would undo, what has checksums that are wrong already, and what we
/// do not know. Not looked at: the journal's own copy of the UUID, which nothing compares.
Result<std::optional<Structure>> examine_ext(const Window& window, const std::string& place);
Result<Patching> patch_ext(const PatchRequest& request);

/// Whether the superblock may be believed, and nothing of the file system stands against a change
/// for good. Whether it was unmounted cleanly is another question.
Result<void> check_ext_superblock(const ext::Superblock& sb);

}  // namespace cowtgt::identity
