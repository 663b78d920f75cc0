#include <gtest/gtest.h>

#include <cerrno>
#include <cstdlib>
#include <iostream>
#include <string>
#include <utility>

#include "tests/sim/history.h"

/// The promises of the store, tried at every step of random histories: the power goes or the
/// process dies, the layer is opened again, and every sector is compared with the model.
namespace cowtgt::sim {
namespace {

struct CutStatistics {
    std::uint64_t cuts = 0;
    std::uint64_t cuts_in_recovery = 0;
    std::uint64_t second_histories = 0;
    std::string first_problem;
};

/// Cuts a history at every step (or every `stride`th one).
class Cutter {
public:
    Cutter(const HistoryOptions& options, std::uint64_t stride)
        : options_(options),
          stride_(stride),
          random_(options.seed + 1000),
          world_(make_world(options)) {}

    CutStatistics run() {
        world_.layer->on_step = [this] {
            if (statistics_.first_problem.empty() && world_.layer->steps % stride_ == 0) {
                cut_here();
            }
        };
        const HistoryResult result = run_history(world_, options_);
        world_.layer->on_step = nullptr;
        report(result.problem, "history");
        return statistics_;
    }

private:
    static CutKind pick(Random& random) {
        return below(random, 2) == 0 ? CutKind::power_loss : CutKind::process_death;
    }

    void report(const std::string& problem, const char* where) {
        if (problem.empty() || !statistics_.first_problem.empty()) return;
        statistics_.first_problem = "seed " + std::to_string(options_.seed) + " step " +
                                    std::to_string(world_.layer->steps) + " in " + where + ": " +
                                    problem;
    }

    World after_cut(const World& world, CutKind kind) {
        World cut = world.clone_with(world.layer->after_cut(kind, random_()));
        if (kind == CutKind::power_loss) ++cut.boot;
        return cut;
    }

    void cut_here() {
        ++statistics_.cuts;
        const CutKind kind = pick(random_);
        World cut = after_cut(world_, kind);
        if (below(random_, 4) == 0) {
            // The recovery is cut as well, at each of its steps.
            cut.layer->on_step = [this, &cut, kind] { cut_recovery(cut, kind); };
        }
        report(recover_and_compare(cut, kind), "recovery");
        cut.layer->on_step = nullptr;
        if (statistics_.first_problem.empty() && below(random_, 16) == 0) go_on(cut);
    }

    void cut_recovery(const World& cut, CutKind first) {
        ++statistics_.cuts_in_recovery;
        const CutKind second = pick(random_);
        World again = after_cut(cut, second);
        const bool power = first == CutKind::power_loss || second == CutKind::power_loss;
        report(recover_and_compare(again, power ? CutKind::power_loss : CutKind::process_death),
               "recovery after a cut recovery");
    }

    /// What was read after the recovery stays, and a second history runs on it and is cut once.
    void go_on(World& cut) {
        ++statistics_.second_histories;
        World unchanged = after_cut(cut, CutKind::power_loss);
        report(recover_and_compare(unchanged, CutKind::power_loss), "second cut at rest");

        HistoryOptions options = options_;
        options.operations = 10;
        options.faults.clear();
        const std::uint64_t last_step = cut.layer->steps + below(random_, 120);
        bool done = false;
        cut.layer->on_step = [&] {
            if (done || cut.layer->steps < last_step) return;
            done = true;
            const CutKind kind = pick(random_);
            World again = after_cut(cut, kind);
            report(recover_and_compare(again, kind), "recovery of the second history");
        };
        report(run_history(cut, options).problem, "second history");
        cut.layer->on_step = nullptr;
    }

    HistoryOptions options_;
    std::uint64_t stride_;
    Random random_;
    World world_;
    CutStatistics statistics_;
};

HistoryOptions random_options(std::uint64_t seed) {
    Random random(seed * 13 + 5);
    HistoryOptions options;
    options.seed = seed;
    options.queue_depth = 1 + static_cast<std::uint32_t>(below(random, 8));
    options.with_base = below(random, 4) != 0;
    if (below(random, 2) == 0) options.alignment = {512, 512};
    return options;
}

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
        const CutStatistics statistics = Cutter(random_options(seed), 1).run();
        ASSERT_EQ(statistics.first_problem, "");
        sum.cuts += statistics.cuts;
        sum.cuts_in_recovery += statistics.cuts_in_recovery;
        sum.second_histories += statistics.second_histories;
    }
    std::cout << sum.cuts << " cuts, " << sum.cuts_in_recovery << " in a recovery, "
              << sum.second_histories << " second histories\n";
    EXPECT_GT(sum.cuts + sum.cuts_in_recovery, histories * 420);  // 100,000 in the usual run
    EXPECT_GT(sum.second_histories, histories * 3);
}

/// The simulator has to find each of these within a number of histories.
std::string first_finding(HistoryOptions (*options_for)(std::uint64_t seed),
                          const Sabotage& sabotage) {
    for (std::uint64_t seed = 1; seed <= 300; ++seed) {
        HistoryOptions options = options_for(seed);
        options.sabotage = sabotage;
        const CutStatistics statistics = Cutter(options, options.large ? 7 : 3).run();
        if (!statistics.first_problem.empty()) return statistics.first_problem;
    }
    return {};
}

HistoryOptions longer(std::uint64_t seed) {
    HistoryOptions options = random_options(seed);
    options.operations = 80;
    return options;
}

/// Hardly any space is free, so what is freed comes round again at once.
HistoryOptions on_a_full_disk(std::uint64_t seed) {
    HistoryOptions options = random_options(seed);
    options.large = true;
    options.operations = 160;
    options.capacity_bytes = 1 << 20;
    return options;
}

TEST(PlantedBug, RecordWrittenBeforeItsDataIsSynced) {
    EXPECT_NE(first_finding(longer, {.commit_before_data_sync = true}), "");
}
TEST(PlantedBug, FlushNamesWritesThatCameDuringItsSync) {
    EXPECT_NE(first_finding(longer, {.name_records_after_sync = true}), "");
}
TEST(PlantedBug, FreedUnitsReusedAtOnce) {
    EXPECT_NE(first_finding(longer, {.reuse_freed_units_at_once = true}), "");
}
TEST(PlantedBug, SuperblockFlipsBeforeThePagesAreDurable) {
    EXPECT_NE(first_finding(longer, {.checkpoint_without_sync = true}), "");
}
TEST(PlantedBug, WriteAnsweredBeforeItsRecord) {
    EXPECT_NE(first_finding(longer, {.answer_before_record = true}), "");
}
TEST(PlantedBug, OldPagesReusedBeforeTheFlip) {
    EXPECT_NE(first_finding(on_a_full_disk, {.release_pages_before_flip = true}), "");
}

/// A history with the n-th operation of one kind failing: nothing hangs, and the layer holds what
/// it promised. False: there was no n-th operation.
bool fail_one(std::uint64_t seed, const Fault& fault) {
    HistoryOptions options = random_options(seed);
    options.faults = {fault};
    World world = make_world(options);
    const HistoryResult result = run_history(world, options);
    EXPECT_EQ(result.problem, "");
    world.layer->arm({});
    const bool failed = world.layer->faults_hit > 0;
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

void fail_each(FileOperation::Kind kind, int os_errno, std::uint64_t times) {
    for (std::uint64_t seed = 1; seed <= 4; ++seed) {
        std::uint64_t n = 0;
        while (fail_one(seed, {kind, n, times, os_errno})) {
            if (testing::Test::HasFailure()) {
                FAIL() << "seed " << seed << ", operation " << n;
            }
            ++n;
        }
        EXPECT_GT(n, 0U);
    }
}

TEST(Faults, EverySyncThatFailsFencesTheLayer) {
    fail_each(FileOperation::Kind::sync_data, EIO, 1);
}
TEST(Faults, EveryWriteMayFail) {
    fail_each(FileOperation::Kind::write, EIO, 1);
}
TEST(Faults, EveryWriteMayFindTheDiskFull) {
    fail_each(FileOperation::Kind::write, ENOSPC, 1);
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

TEST(Faults, ARecordThatCannotBeAppendedFencesTheLayer) {
    for (std::uint64_t n = 0;; ++n) {
        SCOPED_TRACE(n);
        HistoryOptions options = random_options(2);
        options.appends_before_failure = n;
        World world = make_world(options);
        const HistoryResult result = run_history(world, options);
        ASSERT_EQ(result.problem, "");
        const bool failed = world.layer->faults_hit > 0;
        EXPECT_EQ(result.statistics.fenced, failed);
        OpenContext context;
        context.accept_fenced = true;
        ASSERT_EQ(recover_and_compare(world, CutKind::power_loss, context), "");
        if (!failed) return;
    }
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
        const CutStatistics statistics = Cutter(options, 29).run();
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

}  // namespace
}  // namespace cowtgt::sim
