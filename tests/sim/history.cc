#include "tests/sim/history.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "cow-store/map/cluster_map.h"
#include "tests/sim/requests.h"

namespace cowtgt::sim {

namespace {

constexpr std::uint64_t leaf_bytes = 4096 * 1024;

std::vector<Window> make_windows(Random& random, std::uint64_t virtual_size) {
    // The start, the border of two leaves, the border of two branches, the end of the disk.
    std::vector<Window> all = {{0, 48 * 1024},
                               {2 * leaf_bytes - 24 * 1024, 48 * 1024},
                               {256 * leaf_bytes - 16 * 1024, 32 * 1024},
                               {virtual_size - 30 * 512, 30 * 512}};
    const std::uint64_t first = below(random, all.size());
    std::rotate(all.begin(), all.begin() + static_cast<std::ptrdiff_t>(first), all.end());
    all.resize(1 + below(random, all.size()));
    return all;
}

}  // namespace

Uuid boot_id_of(std::uint64_t boot) {
    Uuid id;
    id.bytes[0] = 0xb0;
    std::memcpy(&id.bytes[8], &boot, sizeof boot);
    return id;
}

World World::clone_with(std::unique_ptr<File> cut_layer) const {
    World copy{std::move(cut_layer),
               base ? base->after_cut(CutKind::process_death, 1) : nullptr,
               model,
               virtual_size,
               base_size,
               next_value,
               boot};
    return copy;
}

World make_world(const HistoryOptions& options) {
    Random random(options.seed);
    const std::uint64_t virtual_size = 257 * leaf_bytes + 3 * 4096 + 5 * 512;
    World world{std::make_unique<File>(random()), nullptr,
                DiskModel(options.large ? std::vector<Window>{{4096, 5 << 18}}
                                        : make_windows(random, virtual_size)),
                virtual_size};
    LayerSpec spec;
    spec.uuid.bytes = {1, 2, 3, 4, static_cast<std::uint8_t>(options.seed)};
    spec.virtual_size = virtual_size;
    constexpr Value base_value = Value{1} << 40;
    if (options.with_base) {
        world.base = std::make_unique<File>(random());
        world.base->cached = true;
        world.base_size = 2 * leaf_bytes + 7 * 512;  // ends inside a cluster of the second window
        spec.parent = {boot_id_of(99), 7, world.base_size - 512};
        for (const Window& window : world.model.windows()) {
            for (std::uint64_t at = 0; at < window.length; at += sector_size) {
                const std::uint64_t offset = window.offset + at;
                if (offset >= world.base_size) continue;
                std::array<std::byte, sector_size> sector{};
                fill_sector(sector, base_value, offset);
                world.base->overwrite(offset, sector);
                if (offset < spec.parent.overlap_limit) world.model.set(offset, base_value);
            }
        }
    }
    const Window& first = world.model.windows().front();
    const std::uint64_t patched = (first.offset + 4095) / 4096 * 4096;
    InitialBlock block{patched, std::vector<std::byte>(4096)};
    for (std::uint64_t at = 0; at < 4096; at += sector_size) {
        fill_sector(MutableBytes(block.bytes).subspan(at, sector_size), base_value + 1,
                    patched + at);
        world.model.set(patched + at, base_value + 1);
    }
    spec.initial_blocks.push_back(std::move(block));
    CHECK(create_layer(*world.layer, spec));
    world.layer->capacity_bytes = options.capacity_bytes;
    world.layer->alignment_wanted = options.alignment;
    return world;
}

namespace {

class Player {
public:
    Player(World& world, const HistoryOptions& options)
        : world_(world),
          options_(options),
          random_(options.seed * 77 + world.next_value),
          requests_(world.model, world.next_value, random_,
                    {options.flushes, options.large, options.flush_often, options.whole_clusters}) {
    }

    HistoryResult play() {
        OpenContext context;
        context.boot_id = boot_id_of(world_.boot);
        Result<RecoveredLayer> layer = open_layer(*world_.layer, context);
        if (!layer) {
            result_.problem = "cannot open: " + layer.error().message;
            return result_;
        }
        VolumeOptions volume_options;
        volume_options.ring_bytes = options_.ring_bytes;
        volume_options.commits_without_hashes = options_.commits_without_hashes;
        volume_options.ready = {
            [](void* owner, Volume&) { static_cast<Player*>(owner)->raised_ = true; }, this};
        Volume volume(std::move(*layer), *world_.layer, {}, {world_.base.get(), world_.base_size},
                      volume_options);
        volume_ = &volume;
        world_.layer->arm(options_.faults);
        world_.layer->appends_left = options_.appends_before_failure;
        std::uint32_t left = options_.operations;
        while (left > 0 || requests_.under_way() > 0) {
            if (left > 0 && requests_.under_way() < options_.queue_depth &&
                below(random_, 2) == 0) {
                requests_.ask(volume);
                --left;
            } else if (!turn() && (left == 0 || requests_.under_way() >= options_.queue_depth)) {
                result_.problem =
                    "stuck with " + std::to_string(requests_.under_way()) + " requests";
                return result_;
            }
        }
        volume.close([this](const BlockOutcome& outcome) {
            closed_ = true;
            result_.close_status = outcome.status;
        });
        while (!closed_) {
            if (!turn()) {
                result_.problem = "stuck while closing";
                return result_;
            }
        }
        while (turn()) {
        }
        result_.statistics = volume.statistics();
        result_.answered_good = requests_.answered_good;
        result_.answered_otherwise = requests_.answered_otherwise;
        result_.problem = requests_.problem;
        return result_;
    }

private:
    /// One event of the loop. False: nothing can happen any more.
    bool turn() {
        const bool layer_idle = world_.layer->idle();
        const bool base_idle = !world_.base || world_.base->idle();
        const bool idle = layer_idle && base_idle;
        if (raised_ && (idle || below(random_, 2) == 0)) {
            raised_ = false;
            if (volume_->run_ready()) raised_ = true;
            return true;
        }
        if (idle) return false;
        const bool take_base = !base_idle && (layer_idle || below(random_, 2) == 0);
        (take_base ? *world_.base : *world_.layer).complete_one();
        return true;
    }

    World& world_;
    const HistoryOptions& options_;
    Random random_;
    Requests requests_;
    Volume* volume_ = nullptr;
    bool raised_ = false;
    bool closed_ = false;
    HistoryResult result_;
};

}  // namespace

HistoryResult run_history(World& world, const HistoryOptions& options) {
    return Player(world, options).play();
}

std::string recover_and_compare(World& world, CutKind kind, const OpenContext& context_template) {
    OpenContext context = context_template;
    context.boot_id = boot_id_of(world.boot);
    const Result<RecoveredLayer> layer = open_layer(*world.layer, context);
    if (!layer) return "cannot open: " + layer.error().message;
    Chain chain{world.virtual_size,
                {{&layer->map(), world.layer.get(), layer->summary().parent.overlap_limit}},
                world.base.get(),
                world.base_size};
    for (const Window& window : world.model.windows()) {
        std::vector<std::byte> bytes(window.length);
        if (Result<void> read = read_chain(chain, window.offset, bytes); !read) {
            return "cannot read: " + read.error().message;
        }
        for (std::uint64_t at = 0; at < window.length; at += sector_size) {
            const std::uint64_t offset = window.offset + at;
            const auto value = value_in(Bytes(bytes).subspan(at, sector_size), offset);
            if (!value) return "torn or foreign sector at " + std::to_string(offset);
            if (!world.model.may_hold(offset, *value, kind)) {
                return "sector at " + std::to_string(offset) + " holds " + std::to_string(*value) +
                       ", " + world.model.describe(offset);
            }
            world.model.set(offset, *value);
        }
    }
    return {};
}

}  // namespace cowtgt::sim
