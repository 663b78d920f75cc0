#include <gtest/gtest.h>

#include <cerrno>
#include <cstdlib>
#include <iostream>
#include <string>
#include <utility>

#include "tests/sim/cutter.h"
#include "tests/sim/damage.h"

/// The promises of the store, tried at every step of random histories: the power goes or the
/// process dies, the layer is opened again, and every sector is compared with the model.
namespace cowtgt::sim {
namespace {

/// Histories of all kinds; the long run of the same program asks for more of them.
std::uint64_t history_count() {
    constexpr std::uint64_t usual = 240;
    const char* wanted = std::getenv("COWTGT_HISTORIES");
    return wanted == nullptr ? usual : std::strtoull(wanted, nullptr, 10);
}

TEST(VolumeSim, EveryCutOfRandomHistoriesKeepsThePromises) {
    CutStatistics sum;
    const std::uint64_t histories = history_count();
    for (std::uint64_t seed = 1; seed <= histories; ++seed) {
        const CutStatistics statistics = cut_history(random_options(seed), 1);
        ASSERT_EQ(statistics.first_problem, "");
        sum.cuts += statistics.cuts;
        sum.cuts_in_recovery += statistics.cuts_in_recovery;
        sum.second_histories += statistics.second_histories;
        sum.hashed_commits += statistics.hashed_commits;
        sum.held_overwrites += statistics.held_overwrites;
    }
    std::cout << sum.cuts << " cuts, " << sum.cuts_in_recovery << " in a recovery, "
              << sum.second_histories << " second histories, " << sum.hashed_commits
              << " commits with hashes, " << sum.held_overwrites << " overwrites that waited\n";
    EXPECT_GT(sum.cuts + sum.cuts_in_recovery, histories * 420);  // 100,000 in the usual run
    EXPECT_GT(sum.second_histories, histories * 3);
    EXPECT_GT(sum.hashed_commits, histories);
    EXPECT_GT(sum.held_overwrites, histories < 100 ? 0 : histories / 2);  // rare in a few
}

/// Flushes after every other request, all of whole clusters: most take one sync, and what they name
/// is soon written again.
TEST(VolumeSim, EveryCutOfFlushesWithOneSyncKeepsThePromises) {
    CutStatistics sum;
    const std::uint64_t histories = history_count() / 8;
    for (std::uint64_t seed = 1; seed <= histories; ++seed) {
        HistoryOptions options = random_options(seed);
        options.operations = 80;
        options.whole_clusters = true;
        options.flush_often = true;
        const CutStatistics statistics = cut_history(options, 2);
        ASSERT_EQ(statistics.first_problem, "");
        sum.hashed_commits += statistics.hashed_commits;
        sum.held_overwrites += statistics.held_overwrites;
    }
    std::cout << sum.hashed_commits << " commits with hashes, " << sum.held_overwrites
              << " overwrites that waited\n";
    EXPECT_GT(sum.hashed_commits, histories * 5);
    EXPECT_GT(sum.held_overwrites, histories);
}

/// A history with the n-th operation of one kind failing: nothing hangs, and the layer holds what
/// it promised. False: there was no n-th operation.
bool fail_one(std::uint64_t seed, const Fault& fault, std::uint64_t* broken_off = nullptr) {
    HistoryOptions options = random_options(seed);
    options.faults = {fault};
    World world = make_world(options);
    const HistoryResult result = run_history(world, options);
    EXPECT_EQ(result.problem, "");
    world.layer->arm({});
    const bool failed = world.layer->faults_hit > 0;
    if (broken_off != nullptr) *broken_off += world.layer->broken_off;
    if (fault.kind == FileOperation::Kind::sync_data) {
        EXPECT_EQ(result.statistics.fenced, failed);
        EXPECT_EQ(result.close_status, failed ? BlockStatus::fenced : BlockStatus::good);
    }
    if (!failed) {
        EXPECT_EQ(result.answered_otherwise, 0U);
    }
    // A failed sync leaves the layer as a power loss would; any other failure is nothing but a
    // failed request.
    const CutKind rule = result.statistics.fenced ? CutKind::power_loss : CutKind::process_death;
    OpenContext context;
    context.accept_fenced = true;
    EXPECT_EQ(recover_and_compare(world, rule, context), "");
    return failed;
}

void fail_each(FileOperation::Kind kind, int os_errno, std::uint64_t times, bool partly = false) {
    std::uint64_t broken_off = 0;
    for (std::uint64_t seed = 1; seed <= 4; ++seed) {
        std::uint64_t n = 0;
        while (fail_one(seed, {kind, n, times, os_errno, partly}, &broken_off)) {
            if (testing::Test::HasFailure()) {
                FAIL() << "seed " << seed << ", operation " << n;
            }
            ++n;
        }
        EXPECT_GT(n, 0U);
    }
    EXPECT_EQ(broken_off > 0, partly);
}

TEST(Faults, EverySyncThatFailsFencesTheLayer) {
    fail_each(FileOperation::Kind::sync_data, EIO, 1);
}
/// The page cache shows what the disk never took.
TEST(Faults, EverySyncMayFailAndLoseWhatItWasFor) {
    std::uint64_t failed = 0;
    for (std::uint64_t seed = 1; seed <= 8; ++seed) {
        for (std::uint64_t n = 0;; ++n) {
            SCOPED_TRACE("seed " + std::to_string(seed) + ", sync " + std::to_string(n));
            HistoryOptions options = random_options(seed);
            options.faults = {{FileOperation::Kind::sync_data, n, 1, EIO}};
            World world = make_world(options);
            world.layer->failed_syncs_lose = true;
            ASSERT_EQ(run_history(world, options).problem, "");
            if (world.layer->faults_hit == 0) break;
            world.layer->arm({});
            OpenContext context;
            context.accept_fenced = true;
            ASSERT_EQ(recover_and_compare(world, CutKind::power_loss, context), "");
            ASSERT_TRUE(world.layer->drop_cache());
            ASSERT_EQ(recover_and_compare(world, CutKind::power_loss, context), "");
            ++failed;
        }
    }
    EXPECT_GT(failed, 100U);
}
TEST(Faults, EverySyncOfARecoveryMayFailAndLoseWhatItWasFor) {
    EXPECT_EQ(first_problem_after_failed_recovery(), "");
}
TEST(Faults, EveryWriteMayFail) {
    fail_each(FileOperation::Kind::write, EIO, 1);
}
TEST(Faults, EveryWriteMayFindTheDiskFull) {
    fail_each(FileOperation::Kind::write, ENOSPC, 1);
}
/// The file layer goes on with a short write; here its rest fails.
TEST(Faults, EveryWriteMayBreakOff) {
    fail_each(FileOperation::Kind::write, EIO, 1, true);
}
TEST(Faults, TheDiskMayBeFullInTheMiddleOfAnyWrite) {
    fail_each(FileOperation::Kind::write, ENOSPC, 1, true);
}
/// Most holes are punched when a layer is closed, and not every history leaves space for one.
TEST(Faults, EveryPunchMayFail) {
    std::uint64_t failed = 0;
    for (std::uint64_t seed = 1; seed <= 24; ++seed) {
        SCOPED_TRACE(seed);
        for (std::uint64_t n = 0; !testing::Test::HasFailure(); ++n, ++failed) {
            if (!fail_one(seed, {FileOperation::Kind::punch_hole, n, 1, EOPNOTSUPP})) break;
        }
    }
    EXPECT_GT(failed, 3U);
}
TEST(Faults, EveryReadMayFail) {
    fail_each(FileOperation::Kind::read, EIO, 1);
}
TEST(Faults, EveryReservationMayFail) {
    fail_each(FileOperation::Kind::allocate, ENOSPC, 1);
}
TEST(Faults, NoReservationEverWorks) {
    fail_each(FileOperation::Kind::allocate, ENOSPC, 1000);
}

void fail_each_append(bool partly) {
    std::uint64_t broken_off = 0;
    for (std::uint64_t n = 0;; ++n) {
        SCOPED_TRACE(n);
        HistoryOptions options = random_options(2);
        options.appends_before_failure = n;
        World world = make_world(options);
        world.layer->appends_fail_partly = partly;
        const HistoryResult result = run_history(world, options);
        ASSERT_EQ(result.problem, "");
        const bool failed = world.layer->faults_hit > 0;
        EXPECT_EQ(result.statistics.fenced, failed);
        OpenContext context;
        context.accept_fenced = true;
        ASSERT_EQ(recover_and_compare(world, CutKind::power_loss, context), "");
        broken_off += world.layer->broken_off;
        if (!failed) break;
    }
    EXPECT_EQ(broken_off > 0, partly);
}

TEST(Faults, ARecordThatCannotBeAppendedFencesTheLayer) {
    fail_each_append(false);
}
TEST(Faults, ARecordThatBreaksOffFencesTheLayer) {
    fail_each_append(true);
}

TEST(Faults, AFencedLayerIsRefusedUntilSomebodyHasLooked) {
    HistoryOptions options = random_options(1);
    options.faults = {{FileOperation::Kind::sync_data, 6, 1, EIO}};
    World world = make_world(options);
    ASSERT_TRUE(run_history(world, options).statistics.fenced);
    const Result<RecoveredLayer> layer =
        open_layer(*world.layer, {boot_id_of(1), {}, false, false});
    ASSERT_FALSE(layer);
    EXPECT_EQ(layer.error().code, ErrorCode::refused);
}

TEST(FullDisk, OnlyWritesThatNeedSpaceFailAndEveryCutKeepsThePromises) {
    std::uint64_t refused = 0;
    for (std::uint64_t seed = 1; seed <= 6; ++seed) {
        const HistoryOptions options = on_a_full_disk(seed);
        const CutStatistics statistics = cut_history(options, 29);
        ASSERT_EQ(statistics.first_problem, "");
        World world = make_world(options);
        const HistoryResult result = run_history(world, options);
        ASSERT_EQ(result.problem, "");
        EXPECT_EQ(result.close_status, BlockStatus::good);
        EXPECT_FALSE(result.statistics.fenced);
        refused += result.answered_otherwise;
    }
    EXPECT_GT(refused, 20U);
}

/// Flushes every few writes: zeros are written ahead of them into space that is free then.
TEST(SmallCommits, EveryCutKeepsThePromises) {
    for (std::uint64_t seed = 1; seed <= 8; ++seed) {
        HistoryOptions options = random_options(seed);
        options.flush_often = true;
        options.operations = 120;
        const CutStatistics statistics = cut_history(options, 11);
        ASSERT_EQ(statistics.first_problem, "");
        World world = make_world(options);
        EXPECT_GT(run_history(world, options).statistics.zeroed_bytes, 0U);
    }
}

}  // namespace
}  // namespace cowtgt::sim
