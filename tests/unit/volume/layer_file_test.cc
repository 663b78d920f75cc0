#include "cow-store/volume/layer_file.h"

#include <gtest/gtest.h>

#include <cstring>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "cow-store/map/cluster_map.h"
#include "tests/sim/history.h"

namespace cowtgt {
namespace {

LayerSpec small_layer() {
    LayerSpec spec;
    spec.uuid.bytes = {5};
    spec.virtual_size = 1 << 20;
    return spec;
}

OpenContext same_kernel() {
    return {sim::boot_id_of(1), {}, false, false};
}

/// A layer that a process left open at the end of a history, with answered and flushed writes, and
/// what it may hold.
sim::World left_open(std::uint64_t seed) {
    sim::HistoryOptions options;
    options.seed = seed;
    options.ring_bytes = 64 * 1024;  // no checkpoint on the way
    sim::World world = sim::make_world(options);
    std::optional<sim::World> at_cut;
    world.layer->on_step = [&] {
        if (world.layer->steps % 16 == 0 &&
            inspect_layer(*world.layer)->phase == LayerPhase::open) {
            at_cut = world.clone_with(world.layer->after_cut(sim::CutKind::process_death, 1));
        }
    };
    EXPECT_EQ(sim::run_history(world, options).problem, "");
    EXPECT_TRUE(at_cut.has_value());
    return std::move(*at_cut);
}

TEST(CreateLayer, WhatIsInvalidIsRefused) {
    const auto refused = [](auto change) {
        LayerSpec spec = small_layer();
        change(spec);
        sim::File file(1);
        const Result<void> created = create_layer(file, spec);
        return !created && created.error().code == ErrorCode::usage;
    };
    EXPECT_TRUE(refused([](LayerSpec& s) { s.virtual_size = 0; }));
    EXPECT_TRUE(refused([](LayerSpec& s) { s.virtual_size += 100; }));
    EXPECT_TRUE(refused([](LayerSpec& s) { s.virtual_size = (std::uint64_t{1} << 44) + 512; }));
    EXPECT_TRUE(refused([](LayerSpec& s) { s.block_size = 520; }));
    const std::vector<std::byte> cluster(4096);
    EXPECT_TRUE(refused([&](LayerSpec& s) { s.initial_blocks = {{512, cluster}}; }));
    EXPECT_TRUE(refused([&](LayerSpec& s) { s.initial_blocks = {{1 << 20, cluster}}; }));
    EXPECT_TRUE(refused([&](LayerSpec& s) { s.initial_blocks = {{0, cluster}, {0, cluster}}; }));
}

TEST(CreateLayer, TakesTheSameSmallSpaceForEverySize) {
    for (const std::uint64_t size : {1ULL << 30, 100ULL << 30, 1ULL << 40, 1ULL << 44}) {
        LayerSpec spec = small_layer();
        spec.virtual_size = size;
        for (std::uint64_t i = 0; i < 14; ++i) {
            spec.initial_blocks.push_back(
                {i * (size / 16) / 4096 * 4096, std::vector<std::byte>(4096, std::byte{1})});
        }
        sim::File file(1);
        ASSERT_TRUE(create_layer(file, spec));
        EXPECT_EQ(*file.size(), 18U * 4096);
        EXPECT_LE(file.steps, 2U);  // one write, one sync
        const Result<RecoveredLayer> layer = open_layer(file, {});
        ASSERT_TRUE(layer);
        EXPECT_EQ(layer->summary().virtual_size, size);
        EXPECT_LT(layer->map().memory_bytes(), 300U * 1024);
    }
}

TEST(CreateLayer, InitialBlocksOfManySegmentsReadBack) {
    LayerSpec spec = small_layer();
    spec.virtual_size = 8 << 20;
    spec.initial_blocks = {{4096, std::vector<std::byte>(5 << 20, std::byte{9})}};
    sim::File file(1);
    ASSERT_TRUE(create_layer(file, spec));
    const Result<RecoveredLayer> layer = open_layer(file, {});
    ASSERT_TRUE(layer);
    const Chain chain{spec.virtual_size, {{&layer->map(), &file, 0}}, nullptr, 0};
    std::vector<std::byte> bytes(spec.virtual_size);
    ASSERT_TRUE(read_chain(chain, 0, bytes));
    EXPECT_EQ(bytes[4095], std::byte{0});
    EXPECT_EQ(std::memcmp(bytes.data() + 4096, spec.initial_blocks[0].bytes.data(), 5 << 20), 0);
    EXPECT_TRUE(find_run(chain, 0, 8192).reads_as_zeros);
    EXPECT_EQ(find_run(chain, 0, 8192).length, 4096U);
    EXPECT_EQ(find_run(chain, 4096, (8 << 20) - 4096).length, 5U << 20);
}

TEST(OpenLayer, AnotherLayerThanExpectedIsRefused) {
    sim::File file(1);
    ASSERT_TRUE(create_layer(file, small_layer()));
    OpenContext context;
    context.expected_uuid = Uuid{{6}};
    EXPECT_EQ(open_layer(file, context).error().code, ErrorCode::refused);
    context.expected_uuid = small_layer().uuid;
    EXPECT_TRUE(open_layer(file, context));
}

TEST(OpenLayer, ALayerCopiedWhileItWasWrittenIsRefusedUnlessAccepted) {
    sim::World world = left_open(3);
    world.layer->inode_number = 18;
    EXPECT_EQ(open_layer(*world.layer, same_kernel()).error().code, ErrorCode::refused);
    OpenContext accepting = same_kernel();
    accepting.accept_copy = true;
    EXPECT_TRUE(open_layer(*world.layer, accepting));
}

TEST(OpenLayer, ALayerOnABlockDeviceHasNoInodeToCompare) {
    sim::World world = left_open(3);
    world.layer->inode_number = 0;
    EXPECT_TRUE(open_layer(*world.layer, same_kernel()));
}

TEST(OpenLayer, RecoverySaysWhatItDidAndDoesItOnce) {
    sim::World world = left_open(3);
    const Result<RecoveredLayer> first = open_layer(*world.layer, same_kernel());
    ASSERT_TRUE(first);
    EXPECT_NE(first->recovery_note(), "");
    EXPECT_EQ(first->summary().phase, LayerPhase::clean);
    const Result<RecoveredLayer> second = open_layer(*world.layer, same_kernel());
    ASSERT_TRUE(second);
    EXPECT_EQ(second->recovery_note(), "");
}

/// One copy of the superblock may rot: everything is still there, up to date.
TEST(OpenLayer, EitherCopyOfTheSuperblockIsEnough) {
    for (const std::uint64_t copy : {0, 4096}) {
        sim::World world = left_open(4);
        world.layer->overwrite(copy + 60, std::vector<std::byte>(4, std::byte{0xee}));
        EXPECT_EQ(sim::recover_and_compare(world, sim::CutKind::process_death), "");
    }
}

/// Every single flipped bit in the metadata is either harmless or refused by name.
TEST(OpenLayer, NoFlippedBitIsServedSilently) {
    const sim::World world = left_open(5);
    std::uint64_t refused = 0;
    std::vector<std::byte> superblock(4096);
    ASSERT_TRUE(world.layer->read_at(0, superblock));
    std::uint32_t ring_unit = 0;
    std::uint32_t directory_unit = 0;
    std::memcpy(&directory_unit, &superblock[108], 4);
    std::memcpy(&ring_unit, &superblock[144], 4);
    for (const std::uint64_t unit :
         {std::uint64_t{0}, std::uint64_t{1}, std::uint64_t{directory_unit},
          std::uint64_t{directory_unit - 1}, std::uint64_t{ring_unit}}) {
        for (std::uint64_t at = 0; at < 4096; at += 7) {
            sim::World damaged =
                world.clone_with(world.layer->after_cut(sim::CutKind::process_death, 1));
            std::vector<std::byte> byte(1);
            ASSERT_TRUE(damaged.layer->read_at(unit * 4096 + at, byte));
            byte[0] ^= std::byte{1} << (at % 8);
            damaged.layer->overwrite(unit * 4096 + at, byte);
            const std::string problem =
                sim::recover_and_compare(damaged, sim::CutKind::process_death);
            if (problem.starts_with("cannot open")) {
                ++refused;
            } else {
                // The last record of the ring has no successor that proves it: it is cut like a
                // torn one, which loses at most the writes of one turn.
                const bool last_record = unit == ring_unit && problem.starts_with("sector");
                ASSERT_TRUE(problem.empty() || last_record) << unit << " " << at << problem;
            }
        }
    }
    EXPECT_GT(refused, 500U);
}

}  // namespace
}  // namespace cowtgt
