#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "cow-store/volume/examine_layer.h"
#include "tests/sim/damage.h"

/// Single bits flipped in the metadata of a layer: whoever opens it gets what was there or a
/// refusal, never anything else, and whoever examines it is told where.
namespace cowtgt::sim {
namespace {

constexpr std::uint64_t seeds = 4;

/// Flips in layers of several histories.
FlipStatistics flip_all(LayerPhase phase, Flips where) {
    FlipStatistics sum;
    for (std::uint64_t seed = 1; seed <= seeds && sum.first_problem.empty(); ++seed) {
        const FlipStatistics one = flip_bits(seed, phase, where);
        sum.flips += one.flips;
        sum.refused += one.refused;
        sum.first_problem = one.first_problem;
    }
    EXPECT_GT(sum.flips, 0U);
    return sum;
}

/// All that a layer at rest consists of, except data.
void flip_metadata(LayerPhase phase) {
    const FlipStatistics superblocks = flip_all(phase, Flips::in_superblocks);
    EXPECT_EQ(superblocks.first_problem, "");
    EXPECT_EQ(superblocks.refused, 0U);  // there is the other copy
    const FlipStatistics pages = flip_all(phase, Flips::in_pages);
    EXPECT_EQ(pages.first_problem, "");
    EXPECT_EQ(pages.refused, pages.flips);
}

TEST(FlippedBits, OfAClosedLayerAreFoundAndNeverServed) {
    flip_metadata(LayerPhase::clean);
}
TEST(FlippedBits, OfASealedLayerAreFoundAndNeverServed) {
    flip_metadata(LayerPhase::sealed);
}

TEST(FlippedBits, OfTheJournalOfADeadProcessAreFoundAndNeverReplayed) {
    const FlipStatistics superblocks = flip_all(LayerPhase::open, Flips::in_superblocks);
    EXPECT_EQ(superblocks.first_problem, "");
    const FlipStatistics journal = flip_all(LayerPhase::open, Flips::in_journal);
    EXPECT_EQ(journal.first_problem, "");
    EXPECT_GT(journal.refused, 0U);
    EXPECT_LT(journal.refused, journal.flips);  // what no record is in harms nobody
}

/// Beside whoever writes to the layer.
TEST(FlippedBits, OfTheJournalInUseAreLocated) {
    const World world = layer_with_history(1, LayerPhase::open);
    const auto damage_of = [&world](World& copy) {
        return examine_layer(*copy.layer, LayerUse::in_use, boot_id_of(world.boot))->damage;
    };
    World intact = with_flipped_bit(world, 0);
    EXPECT_EQ(damage_of(intact).size(), 1U);  // the superblock alone
    const RingOrigin ring = read_superblocks(*world.layer).value().chosen.ring;
    World harmed = with_flipped_bit(world, (byte_offset(ring.unit) + ring.head) * 8);
    const std::vector<LayerDamage> damage = damage_of(harmed);
    ASSERT_EQ(damage.size(), 1U);
    EXPECT_EQ(damage[0].offset, byte_offset(ring.unit));
    EXPECT_EQ(damage[0].what, "journal: record " + std::to_string(ring.first_sequence) +
                                  " is damaged, but later ones are whole");
}

TEST(FlippedBits, AreFlippedBack) {
    World world = layer_with_history(1, LayerPhase::clean);
    const std::vector<std::byte> before = content_of(world, open_layer(*world.layer, {}).value());
    for (const std::uint64_t unit : metadata_units(world)) {
        World harmed = with_flipped_bit(world, unit * unit_size * 8 + 12345);
        const Result<std::vector<std::string>> mended = mend_layer(*harmed.layer, boot_id_of(1));
        ASSERT_TRUE(mended);
        EXPECT_EQ(mended->size(), 1U);
        const Result<RecoveredLayer> layer = open_layer(*harmed.layer, {});
        ASSERT_TRUE(layer) << "unit " << unit;
        EXPECT_EQ(content_of(harmed, *layer), before);
    }
}

}  // namespace
}  // namespace cowtgt::sim
