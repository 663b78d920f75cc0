#pragma once

#include <cstdint>
#include <string>

#include "tests/sim/history.h"

namespace cowtgt::sim {

struct CutStatistics {
    std::uint64_t cuts = 0;
    std::uint64_t cuts_in_recovery = 0;
    std::uint64_t second_histories = 0;
    std::uint64_t hashed_commits = 0;
    std::uint64_t held_overwrites = 0;
    std::string first_problem;  ///< with seed and step; empty: the promises held
};

/// Runs a history and cuts it at every step, or every `stride`th one: the power goes or the process
/// dies, and the layer is opened again and compared with the model. Some of the recoveries are cut
/// at each of their steps, too, and some are followed by a second history, which is cut once.
CutStatistics cut_history(const HistoryOptions& options, std::uint64_t stride);

/// Histories of all kinds.
HistoryOptions random_options(std::uint64_t seed);
/// Hardly any space is free, so what is freed comes round again at once.
HistoryOptions on_a_full_disk(std::uint64_t seed);

}  // namespace cowtgt::sim
