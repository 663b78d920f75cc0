#include <gtest/gtest.h>

#include <cstdint>
#include <string>

#include "cow-store/volume/planted_bugs.h"
#include "tests/sim/cutter.h"
#include "tests/sim/damage.h"

/// The simulator proves itself: it has to find each of these bugs, in a library that has it.
namespace cowtgt::sim {
namespace {

class PlantedBug : public testing::Test {
protected:
    ~PlantedBug() override { planted = {}; }
};

constexpr std::uint64_t histories_max = 300;

HistoryOptions longer(std::uint64_t seed) {
    HistoryOptions options = random_options(seed);
    options.operations = 80;
    return options;
}

/// What can only come from a write with FUA.
HistoryOptions without_flushes(std::uint64_t seed) {
    HistoryOptions options = longer(seed);
    options.flushes = false;
    return options;
}

/// Flushes with one sync, and what is flushed changes soon.
HistoryOptions with_hashes(std::uint64_t seed) {
    HistoryOptions options = longer(seed);
    options.whole_clusters = true;
    options.flush_often = true;
    options.commits_without_hashes = 0;
    return options;
}
HistoryOptions with_hashes_on_a_full_disk(std::uint64_t seed) {
    HistoryOptions options = on_a_full_disk(seed);
    options.whole_clusters = true;
    options.commits_without_hashes = 0;
    return options;
}

/// What the simulator says of the first history in which it finds a bug; empty: it finds none.
std::string first_finding(HistoryOptions (*options_for)(std::uint64_t seed)) {
    for (std::uint64_t seed = 1; seed <= histories_max; ++seed) {
        const HistoryOptions options = options_for(seed);
        const CutStatistics statistics = cut_history(options, options.large ? 7 : 3);
        if (!statistics.first_problem.empty()) return statistics.first_problem;
    }
    return {};
}

TEST_F(PlantedBug, RecordWrittenBeforeItsDataIsSynced) {
    planted.commit_before_data_sync = true;
    EXPECT_NE(first_finding(longer), "");
}
TEST_F(PlantedBug, FlushNamesWritesThatCameDuringItsSync) {
    planted.name_records_after_sync = true;
    EXPECT_NE(first_finding(longer), "");
}
TEST_F(PlantedBug, FuaCommitsAnUnflushedNeighbour) {
    planted.fua_commits_neighbours = true;
    EXPECT_NE(first_finding(without_flushes), "");
}
TEST_F(PlantedBug, WriteAnsweredBeforeItsRecord) {
    planted.answer_before_record = true;
    EXPECT_NE(first_finding(longer), "");
}
TEST_F(PlantedBug, FreedUnitsReusedAtOnce) {
    planted.reuse_freed_units_at_once = true;
    EXPECT_NE(first_finding(longer), "");
}
TEST_F(PlantedBug, SuperblockFlipsBeforeThePagesAreDurable) {
    planted.checkpoint_without_sync = true;
    EXPECT_NE(first_finding(longer), "");
}
TEST_F(PlantedBug, OldPagesReusedBeforeTheFlip) {
    planted.release_pages_before_flip = true;
    EXPECT_NE(first_finding(on_a_full_disk), "");
}
TEST_F(PlantedBug, UnitsReusedByARecoveryWhileTheCommittedMapNamesThem) {
    planted.recovery_reuses_committed_units = true;
    EXPECT_NE(first_finding(on_a_full_disk), "");
}
TEST_F(PlantedBug, PagesOfAnAbortedCheckpointComeBack) {
    EXPECT_EQ(first_problem_after_failed_sync(), "");
    planted.fence_names_aborted_pages = true;
    EXPECT_NE(first_problem_after_failed_sync(), "");
}
TEST_F(PlantedBug, AClusterHashedWhileItIsOverwritten) {
    planted.hash_what_changes = true;
    EXPECT_NE(first_finding(with_hashes), "");
}
TEST_F(PlantedBug, AnOverwriteThatDoesNotWaitForTheConfirmation) {
    planted.overwrite_unconfirmed = true;
    EXPECT_NE(first_finding(with_hashes), "");
}
TEST_F(PlantedBug, FreedUnitsReusedBeforeTheSyncOfTheCommitWithHashes) {
    planted.reuse_before_hashed_sync = true;
    EXPECT_NE(first_finding(with_hashes_on_a_full_disk), "");
}
TEST_F(PlantedBug, ARecoveryThatDoesNotCompareHashes) {
    planted.hashes_uncompared = true;
    EXPECT_NE(first_finding(with_hashes), "");
}
TEST_F(PlantedBug, ARecoveryThatBelievesThePageCacheAfterAFailedSync) {
    planted.recovery_reads_cache = true;
    EXPECT_NE(first_problem_after_failed_sync(), "");
}
TEST_F(PlantedBug, ARecoveryThatForgetsThatItsSyncFailed) {
    planted.recovery_forgets_failed_sync = true;
    EXPECT_NE(first_problem_after_failed_recovery(), "");
}
TEST_F(PlantedBug, AFlippedBitInTheNewerCopyOfTheSuperblockBringsTheOlderOneBack) {
    planted.one_superblock_copy = true;
    EXPECT_NE(flip_bits(1, LayerPhase::clean, Flips::in_superblocks).first_problem, "");
}
TEST_F(PlantedBug, AFlippedBitInAPageIsServed) {
    planted.pages_unchecked = true;
    EXPECT_NE(flip_bits(1, LayerPhase::clean, Flips::in_pages).first_problem, "");
}

}  // namespace
}  // namespace cowtgt::sim
