#pragma once

/// Deliberate faults, so that the simulator can show that it finds them.
///
/// The library that ships has none: `planted` is a constant there, and no branch on it is left.
/// tests/sim compiles the same sources once more with COWTGT_PLANTED_BUGS, for planted_bug_test.
namespace cowtgt {

struct PlantedBugs {
    bool commit_before_data_sync = false;    ///< the record is written before the data is synced
    bool name_records_after_sync = false;    ///< a flush names writes that came during its sync
    bool fua_commits_neighbours = false;     ///< the same, but only for writes with FUA
    bool answer_before_record = false;       ///< writes are answered before the tentative record
    bool reuse_freed_units_at_once = false;  ///< no quarantine
    bool checkpoint_without_sync = false;    ///< the superblock flips before the pages are durable
    bool release_pages_before_flip = false;  ///< old map pages are reused too early
    bool one_superblock_copy = false;        ///< the second copy is not brought up to date
    /// The mark of a failed sync names the pages of the checkpoint that this sync was for.
    bool fence_names_aborted_pages = false;
    /// A recovery writes to units that only the committed records still name.
    bool recovery_reuses_committed_units = false;
    bool hash_what_changes = false;      ///< clusters are hashed while they are being overwritten
    bool overwrite_unconfirmed = false;  ///< of what a commit with hashes names
    bool reuse_before_hashed_sync = false;  ///< of what it frees, as soon as it is in the ring
    bool hashes_uncompared = false;         ///< by a recovery, which takes its data for durable
    bool recovery_reads_cache = false;  ///< what a failed sync left in the page cache is believed
    bool recovery_forgets_failed_sync = false;  ///< its own: the layer is not marked
    bool pages_unchecked = false;  ///< pages need not have the checksum that their parent holds
};

#ifdef COWTGT_PLANTED_BUGS
inline PlantedBugs planted;
#else
inline constexpr PlantedBugs planted;
#endif

}  // namespace cowtgt
