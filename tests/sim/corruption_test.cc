#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "cow-store/volume/examine_layer.h"
#include "cow-store/volume/layer_state.h"
#include "tests/sim/history.h"

/// Single bits flipped in the metadata of a layer: whoever opens it gets what was there or a
/// refusal, never anything else, and whoever examines it is told where.
namespace cowtgt::sim {
namespace {

constexpr std::uint64_t seeds = 4;

std::vector<std::byte> content_of(World& world, const RecoveredLayer& layer) {
    const Chain chain{world.virtual_size,
                      {{&layer.map(), world.layer.get(), layer.summary().parent.overlap_limit}},
                      world.base.get(),
                      world.base_size};
    std::vector<std::byte> all;
    for (const Window& window : world.model.windows()) {
        std::vector<std::byte> bytes(window.length);
        EXPECT_TRUE(read_chain(chain, window.offset, bytes));
        all.insert(all.end(), bytes.begin(), bytes.end());
    }
    return all;
}

/// A layer with some history, closed or sealed.
World made_world(std::uint64_t seed, bool seal) {
    HistoryOptions options;
    options.seed = seed;
    options.operations = 60;
    World world = make_world(options);
    EXPECT_EQ(run_history(world, options).problem, "");
    if (seal) {
        EXPECT_TRUE(seal_layer(*world.layer, {}));
    }
    return world;
}

/// The units that hold metadata: superblocks, directory, pages.
std::vector<std::uint64_t> metadata_units(World& world) {
    RecoveredLayer layer = open_layer(*world.layer, {}).value();
    std::vector<std::uint64_t> units = {0, 1};
    for (const UnitNumber unit : layer.state().on_disk.directory_units)
        units.push_back(unit);
    for (const PageEntry& page : layer.state().on_disk.pages)
        units.push_back(page.page.unit);
    return units;
}

void flip(File& file, std::uint64_t bit) {
    std::byte byte{};
    ASSERT_TRUE(file.read_at(bit / 8, {&byte, 1}));
    byte ^= std::byte{1} << (bit % 8);
    file.overwrite(bit / 8, {&byte, 1});
}

/// Opens the layer with one bit flipped; the bit is flipped in a copy.
void expect_same_or_refused(const World& world, const std::vector<std::byte>& before,
                            std::uint64_t bit) {
    World harmed = world.clone_with(world.layer->after_cut(CutKind::process_death, 1));
    flip(*harmed.layer, bit);
    const Result<LayerExamination> examined =
        examine_layer(*harmed.layer, LayerUse::at_rest, boot_id_of(1));
    ASSERT_TRUE(examined);
    const std::uint64_t unit = bit / 8 / unit_size;
    EXPECT_TRUE(std::ranges::any_of(examined->damage,
                                    [unit](const LayerDamage& damage) {
                                        return damage.offset / unit_size <= unit &&
                                               unit < (damage.offset + damage.length) / unit_size;
                                    }))
        << "not located: bit " << bit;

    const Result<RecoveredLayer> layer = open_layer(*harmed.layer, {});
    EXPECT_EQ(layer.has_value(), unit < superblock_units) << "bit " << bit;
    if (layer) {
        EXPECT_EQ(content_of(harmed, *layer), before) << "bit " << bit;
    }
}

void flip_every_byte(bool seal) {
    for (std::uint64_t seed = 1; seed <= seeds && !testing::Test::HasFailure(); ++seed) {
        World world = made_world(seed, seal);
        const std::vector<std::byte> before = content_of(world, *open_layer(*world.layer, {}));
        Random random(seed);
        for (const std::uint64_t unit : metadata_units(world)) {
            for (std::uint64_t at = 0; at < unit_size; at += 1 + below(random, 16)) {
                expect_same_or_refused(world, before,
                                       (unit * unit_size + at) * 8 + below(random, 8));
                if (testing::Test::HasFailure()) return;
            }
        }
    }
}

TEST(FlippedBits, OfAClosedLayerAreFoundAndNeverServed) {
    flip_every_byte(false);
}
TEST(FlippedBits, OfASealedLayerAreFoundAndNeverServed) {
    flip_every_byte(true);
}

TEST(FlippedBits, AreFlippedBack) {
    World world = made_world(1, false);
    const std::vector<std::byte> before = content_of(world, *open_layer(*world.layer, {}));
    for (const std::uint64_t unit : metadata_units(world)) {
        World harmed = world.clone_with(world.layer->after_cut(CutKind::process_death, 1));
        flip(*harmed.layer, unit * unit_size * 8 + 12345);
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
