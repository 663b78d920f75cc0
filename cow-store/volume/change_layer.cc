#include "cow-store/base/check.h"
#include "cow-store/volume/layer_file.h"
#include "cow-store/volume/layer_state.h"

/// Changes of a layer as a whole: one flip of the superblock each, so that a death or a power cut
/// leaves the layer as it was or as it is to be.
namespace cowtgt {

namespace {

constexpr std::uint32_t punch_segments_max = 64;

/// Best effort: space that stays behind is only space.
void give_back_unused(File& file, UnitAllocator& allocator) {
    while (const auto range = allocator.begin_punch(punch_segments_max)) {
        if (!file.punch_hole(range->offset(), range->length())) return;
        allocator.punched(*range);
    }
    (void)file.sync_data();
}

Result<void> flip(File& file, Superblock next) {
    ++next.generation;
    return write_superblocks(file, next);
}

}  // namespace

Result<void> seal_layer(File& file, const OpenContext& context) {
    Result<RecoveredLayer> layer = open_layer(file, context);
    if (!layer) return std::move(layer).error();
    Superblock next = layer->state().superblock;
    if (next.phase == LayerPhase::sealed) return {};
    const RingOrigin ring = next.ring;
    next.phase = LayerPhase::sealed;
    next.ring.unit = 0;
    next.ring.units = 0;
    next.ring.head = 0;
    next.ring.previous_checksum = 0;
    if (Result<void> done = flip(file, next); !done) return done;
    UnitAllocator& allocator = layer->state().allocator;
    if (ring.unit != 0) allocator.release({ring.unit, ring.units});
    give_back_unused(file, allocator);
    return {};
}

Result<void> unseal_layer(File& file, const OpenContext& context) {
    Result<RecoveredLayer> layer = open_layer(file, context);
    if (!layer) return std::move(layer).error();
    Superblock next = layer->state().superblock;
    if (next.phase != LayerPhase::sealed) return {};
    next.phase = LayerPhase::clean;
    return flip(file, next);
}

Result<void> grow_layer(File& file, const OpenContext& context, std::uint64_t virtual_size) {
    Result<RecoveredLayer> layer = open_layer(file, context);
    if (!layer) return std::move(layer).error();
    Superblock next = layer->state().superblock;
    CHECK(next.phase == LayerPhase::clean && virtual_size % next.block_size == 0 &&
          virtual_size <= virtual_size_max);
    if (virtual_size <= next.virtual_size) return {};
    next.virtual_size = virtual_size;
    return flip(file, next);
}

Result<void> detach_layer(File& file, const OpenContext& context) {
    Result<RecoveredLayer> layer = open_layer(file, context);
    if (!layer) return std::move(layer).error();
    Superblock next = layer->state().superblock;
    CHECK(next.phase == LayerPhase::clean);
    next.parent_uuid = {};
    next.parent_content_id = 0;
    next.overlap_limit = 0;
    return flip(file, next);
}

}  // namespace cowtgt
