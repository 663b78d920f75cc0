#include "tests/sim/damage.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <memory>
#include <utility>
#include <vector>

#include "cow-store/base/check.h"
#include "cow-store/base/endian.h"
#include "cow-store/volume/examine_layer.h"
#include "cow-store/volume/layer_pages.h"
#include "cow-store/volume/layer_state.h"
#include "tests/sim/cutter.h"

namespace cowtgt::sim {

namespace {

constexpr std::uint64_t byte_stride = 16;  ///< a bit in every 1 to 16 bytes is flipped
constexpr std::uint64_t fault_seeds = 12;
constexpr std::uint64_t cuts_per_fault = 4;

World copy_of(const World& world) {
    return world.clone_with(world.layer->after_cut(CutKind::process_death, 1));
}

OpenContext running_kernel(const World& world) {
    OpenContext context;
    context.boot_id = boot_id_of(world.boot);
    return context;
}

/// The moment at which the process dies: late in the history, with records in the ring.
World died(std::uint64_t seed) {
    HistoryOptions options;
    options.seed = seed;
    options.operations = 60;
    World world = make_world(options);
    std::unique_ptr<World> dead;
    const std::uint64_t moment = 160 + seed;
    world.layer->on_step = [&] {
        if (world.layer->steps == moment) dead = std::make_unique<World>(copy_of(world));
    };
    CHECK(run_history(world, options).problem.empty());
    CHECK(dead);
    return std::move(*dead);
}

/// Bytes of the file that hold metadata of one kind.
std::vector<std::uint64_t> bytes_to_harm(const World& world, LayerPhase phase, Flips where,
                                         Random& random) {
    std::vector<std::uint64_t> units;
    if (where == Flips::in_superblocks) units = {0, 1};
    if (where == Flips::in_pages) {
        units = metadata_units(world);
        units.erase(units.begin(), units.begin() + superblock_units);
    }
    if (where == Flips::in_journal) {
        CHECK(phase == LayerPhase::open);
        World copy = copy_of(world);
        const RingOrigin ring = read_superblocks(*copy.layer).value().chosen.ring;
        for (std::uint64_t unit = 0; unit < ring.units; ++unit)
            units.push_back(ring.unit + unit);
    }
    std::vector<std::uint64_t> bytes;
    for (const std::uint64_t unit : units) {
        for (std::uint64_t at = 0; at < unit_size; at += 1 + below(random, byte_stride))
            bytes.push_back(unit * unit_size + at);
    }
    return bytes;
}

/// What the layer of a dead process holds without the last record of its journal.
std::vector<std::byte> without_last_record(const World& world) {
    World copy = copy_of(world);
    const Superblock superblock = read_superblocks(*copy.layer).value().chosen;
    const Replay replay = read_journal(*copy.layer, copy.layer->size().value(), superblock,
                                       ReplayScope::everything_intact)
                              .value();
    CHECK(!replay.records.empty());
    // Its sum is wrong in whatever byte of it: the first one of its checksum, which nobody else
    // has.
    const std::uint64_t sum = replay.records.back().checksum;
    std::vector<std::byte> ring(superblock.ring.size_bytes());
    CHECK(copy.layer->read_at(byte_offset(superblock.ring.unit), ring));
    for (std::size_t at = 0; at + sizeof sum <= ring.size(); at += 4) {
        le64 there;
        std::memcpy(&there, ring.data() + at, sizeof there);
        if (there.get() != sum) continue;
        ring[at] ^= std::byte{1};
    }
    copy.layer->overwrite(byte_offset(superblock.ring.unit), ring);
    return content_of(copy, open_layer(*copy.layer, running_kernel(copy)).value());
}

bool is_located(World& harmed, std::uint64_t byte) {
    const Result<LayerExamination> examined =
        examine_layer(*harmed.layer, LayerUse::at_rest, boot_id_of(harmed.boot));
    return examined && std::ranges::any_of(examined->damage, [byte](const LayerDamage& damage) {
               return damage.offset <= byte && byte < damage.offset + damage.length;
           });
}

}  // namespace

World layer_with_history(std::uint64_t seed, LayerPhase phase) {
    if (phase == LayerPhase::open) return died(seed);
    HistoryOptions options;
    options.seed = seed;
    options.operations = 60;
    World world = make_world(options);
    CHECK(run_history(world, options).problem.empty());
    if (phase == LayerPhase::sealed) CHECK(seal_layer(*world.layer, {}));
    return world;
}

World with_flipped_bit(const World& world, std::uint64_t bit) {
    World harmed = copy_of(world);
    std::byte byte{};
    CHECK(harmed.layer->read_at(bit / 8, {&byte, 1}));
    byte ^= std::byte{1} << (bit % 8);
    harmed.layer->overwrite(bit / 8, {&byte, 1});
    return harmed;
}

std::vector<std::uint64_t> metadata_units(const World& world) {
    World copy = copy_of(world);
    RecoveredLayer layer = open_layer(*copy.layer, {}).value();
    std::vector<std::uint64_t> units = {0, 1};
    for (const UnitNumber unit : layer.state().on_disk.directory_units)
        units.push_back(unit);
    for (const PageEntry& page : layer.state().on_disk.pages)
        units.push_back(page.page.unit);
    return units;
}

std::vector<std::byte> content_of(World& world, const RecoveredLayer& layer) {
    const Chain chain{world.virtual_size,
                      {{&layer.map(), world.layer.get(), layer.summary().parent.overlap_limit}},
                      world.base.get(),
                      world.base_size};
    std::vector<std::byte> all;
    for (const Window& window : world.model.windows()) {
        std::vector<std::byte> bytes(window.length);
        CHECK(read_chain(chain, window.offset, bytes));
        all.insert(all.end(), bytes.begin(), bytes.end());
    }
    return all;
}

FlipStatistics flip_bits(std::uint64_t seed, LayerPhase phase, Flips where) {
    const World world = layer_with_history(seed, phase);
    World intact = copy_of(world);
    const std::vector<std::byte> before =
        content_of(intact, open_layer(*intact.layer, running_kernel(intact)).value());
    const bool in_journal = where == Flips::in_journal;
    const std::vector<std::byte> shorter = in_journal ? without_last_record(world) : before;

    FlipStatistics statistics;
    Random random(seed);
    for (const std::uint64_t byte : bytes_to_harm(world, phase, where, random)) {
        ++statistics.flips;
        World harmed = with_flipped_bit(world, byte * 8 + below(random, 8));
        const bool located = is_located(harmed, byte);
        const Result<RecoveredLayer> layer = open_layer(*harmed.layer, running_kernel(harmed));
        statistics.refused += layer ? 0 : 1;
        std::string problem;
        if (layer) {
            const std::vector<std::byte> content = content_of(harmed, *layer);
            if (content != before && content != shorter) problem = "served something else";
        }
        // Of a journal only the records count, and of those not the last one.
        if (!located && !(in_journal && layer)) problem = "not located";
        if (problem.empty()) continue;
        statistics.first_problem =
            "seed " + std::to_string(seed) + " byte " + std::to_string(byte) + ": " + problem;
        break;
    }
    return statistics;
}

std::string first_problem_after_failed_sync() {
    for (std::uint64_t seed = 1; seed <= fault_seeds; ++seed) {
        for (std::uint64_t n = 0;; ++n) {
            HistoryOptions options = random_options(seed);
            options.operations = 80;
            options.faults = {{FileOperation::Kind::sync_data, n, 1, EIO}};
            World world = make_world(options);
            world.layer->failed_syncs_lose = (seed + n) % 2 == 0;
            std::string problem = run_history(world, options).problem;
            if (world.layer->faults_hit == 0) break;
            world.layer->arm({});
            OpenContext context;
            context.accept_fenced = true;
            if (world.layer->failed_syncs_lose && problem.empty()) {
                // No cut at all: the page cache still has what the disk never took.
                World same = world.clone_with(
                    world.layer->after_cut(CutKind::process_death, seed + n * cuts_per_fault));
                problem = recover_and_compare(same, CutKind::power_loss, context);
                CHECK(same.layer->drop_cache());
                if (problem.empty()) {
                    problem = recover_and_compare(same, CutKind::power_loss, context);
                }
            }
            for (std::uint64_t i = 0; i < cuts_per_fault && problem.empty(); ++i) {
                World cut = world.clone_with(
                    world.layer->after_cut(CutKind::power_loss, seed + n * cuts_per_fault + i));
                ++cut.boot;
                problem = recover_and_compare(cut, CutKind::power_loss, context);
            }
            if (problem.empty()) continue;
            return "seed " + std::to_string(seed) + " sync " + std::to_string(n) + ": " + problem;
        }
    }
    return {};
}

std::string first_problem_after_failed_recovery() {
    for (std::uint64_t seed = 1; seed <= fault_seeds; ++seed) {
        for (std::uint64_t n = 0;; ++n) {
            World world = died(seed);
            world.layer->failed_syncs_lose = true;
            world.layer->arm({{FileOperation::Kind::sync_data, n, 1, EIO}});
            const bool opened{open_layer(*world.layer, running_kernel(world))};
            if (world.layer->faults_hit == 0) break;
            world.layer->arm({});
            std::string problem = opened ? "opened in spite of it" : "";
            if (problem.empty() && n == 0 && open_layer(*world.layer, running_kernel(world))) {
                problem = "not fenced";
            }
            OpenContext context;
            context.accept_fenced = true;
            if (problem.empty()) {
                problem = recover_and_compare(world, CutKind::power_loss, context);
            }
            if (problem.empty()) continue;
            return "seed " + std::to_string(seed) + " sync " + std::to_string(n) + ": " + problem;
        }
    }
    return {};
}

}  // namespace cowtgt::sim
