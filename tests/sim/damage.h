#pragma once

#include <cstdint>
#include <string>

#include "cow-store/format/superblock.h"
#include "tests/sim/history.h"

/// Layers with some history, single bits flipped in what they consist of, and what became of them.
namespace cowtgt::sim {

/// Which bits are flipped.
enum class Flips { in_superblocks, in_pages, in_journal };

/// A layer after some history. clean: it was closed; sealed: after that; open: its process died.
World layer_with_history(std::uint64_t seed, LayerPhase phase);

/// The same with one bit flipped; `bit` counts from the start of the file.
World with_flipped_bit(const World& world, std::uint64_t bit);

/// The units of a clean or sealed layer that hold metadata: superblocks, directory, pages.
std::vector<std::uint64_t> metadata_units(const World& world);

/// All windows of the disk as they read, one after the other.
std::vector<std::byte> content_of(World& world, const RecoveredLayer& layer);

struct FlipStatistics {
    std::uint64_t flips = 0;
    std::uint64_t refused = 0;
    std::string first_problem;  ///< empty: each bit was harmless or refused, and was located
};

/// Flips a bit in every few bytes, each in a copy of its own: whoever examines the layer has to be
/// told where, and whoever opens it gets what was there before, or a refusal. The journal may also
/// lose its last record, which cannot be told from one that was not written to its end.
FlipStatistics flip_bits(std::uint64_t seed, LayerPhase phase, Flips where);

/// Lets each sync of some histories fail once and then the power: empty, or what did not hold.
std::string first_problem_after_failed_sync();
/// The same for a death of the process whose recovery has a sync that fails and loses what it was
/// for, and is then tried again. Each failure of the first sync must leave the layer fenced.
std::string first_problem_after_failed_recovery();

}  // namespace cowtgt::sim
