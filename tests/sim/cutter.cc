#include "tests/sim/cutter.h"

namespace cowtgt::sim {

namespace {

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
        statistics_.hashed_commits = result.statistics.hashed_commits;
        statistics_.held_overwrites = result.statistics.held_overwrites;
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

}  // namespace

CutStatistics cut_history(const HistoryOptions& options, std::uint64_t stride) {
    return Cutter(options, stride).run();
}

HistoryOptions random_options(std::uint64_t seed) {
    Random random(seed * 13 + 5);
    HistoryOptions options;
    options.seed = seed;
    options.queue_depth = 1 + static_cast<std::uint32_t>(below(random, 8));
    options.with_base = below(random, 4) != 0;
    if (below(random, 2) == 0) options.alignment = {512, 512};
    options.whole_clusters = below(random, 2) == 0;
    options.flush_often = below(random, 4) == 0;
    options.commits_without_hashes = static_cast<std::uint32_t>(below(random, 3));
    return options;
}

HistoryOptions on_a_full_disk(std::uint64_t seed) {
    HistoryOptions options = random_options(seed);
    options.large = true;
    options.whole_clusters = false;
    options.flush_often = false;
    options.operations = 160;
    options.capacity_bytes = 1 << 20;
    return options;
}

}  // namespace cowtgt::sim
