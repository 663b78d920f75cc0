#pragma once

#include <vector>

#include "cow-store/base/result.h"
#include "cow-store/identity/identity.h"

namespace cowtgt::identity {

/// Bytes of the journal that a replay looks at; more than mke2fs makes.
inline constexpr std::uint64_t journal_replay_max = std::uint64_t{1} << 30;

/// What mounting would write back from the journal of such a file system, and a journal that is
/// empty afterwards. Orphaned files are left to the mount, as ever.
///
/// Patches are whole blocks but for the journal's superblock; ascending, without overlap; offsets
/// from the start of the disk.
/// Errors that are reasons to keep (is_reason_to_keep): the journal is damaged, or has features
/// whose replay is not known here.
Result<std::vector<Patch>> replay_ext_journal(const BlockSource& image, const Structure& structure);

}  // namespace cowtgt::identity
