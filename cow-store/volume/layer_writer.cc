#include "cow-store/volume/layer_writer.h"

#include <algorithm>
#include <vector>

#include "cow-store/base/check.h"
#include "cow-store/map/checkpoint_builder.h"
#include "cow-store/map/cluster_map.h"
#include "cow-store/map/unit_allocator.h"

namespace cowtgt {

struct LayerWriter::State {
    State(File& where, const LayerSpec& what)
        : file(where), spec(what), map(cluster_count(what.virtual_size)), allocator(0) {}

    UnitRun allocate(std::uint32_t wanted) {
        while (true) {
            if (const auto run = allocator.allocate_data(wanted)) return *run;
            allocator.add_reserved(allocator.next_reservation(1));
        }
    }

    File& file;
    LayerSpec spec;
    ClusterMap map;
    UnitAllocator allocator;
    std::uint64_t end = 0;  ///< bytes of the disk before it are done with
};

LayerWriter::LayerWriter(File& file, const LayerSpec& spec)
    : state_(std::make_unique<State>(file, spec)) {
    UnitAllocator& allocator = state_->allocator;
    allocator.start();
    allocator.add_reserved({0, 1});
    const auto superblocks = allocator.allocate_contiguous(superblock_units);
    CHECK(superblocks && superblocks->first == 0);
}

LayerWriter::~LayerWriter() = default;

/// Calls `each_run` with the place in the file of each part of the range, in its order.
template <typename Place>
Result<void> LayerWriter::place(std::uint64_t offset, std::uint64_t length, Place each_run) {
    CHECK(offset % cluster_size == 0 && offset >= state_->end && length > 0 &&
          offset + length <= state_->spec.virtual_size);
    state_->end = offset + length;
    CHECK(length % cluster_size == 0 || state_->end == state_->spec.virtual_size);
    for (std::uint64_t at = 0; at < length;) {
        const std::uint64_t clusters = (length - at + cluster_size - 1) / cluster_size;
        const UnitRun run = state_->allocate(static_cast<std::uint32_t>(clusters));
        const std::uint64_t bytes = std::min(length - at, std::uint64_t{run.count} * unit_size);
        if (Result<void> done = each_run(byte_offset(run.first), at, bytes); !done) return done;
        state_->map.assign(ClusterIndex{(offset + at) / cluster_size}, ClusterCount{run.count},
                           run.first);
        at += bytes;
    }
    return {};
}

Result<void> LayerWriter::add_data(std::uint64_t offset, Bytes bytes) {
    const auto write = [&](std::uint64_t to, std::uint64_t at, std::uint64_t length) {
        return state_->file.write_at(to, bytes.subspan(at, length));
    };
    return place(offset, bytes.size(), write);
}

Result<void> LayerWriter::take_over_data(std::uint64_t offset, MutableBytes into) {
    const auto read = [&](std::uint64_t from, std::uint64_t at, std::uint64_t length) {
        return state_->file.read_at(from, into.subspan(at, length));
    };
    return place(offset, into.size(), read);
}

void LayerWriter::add_zeros(std::uint64_t offset, std::uint64_t length) {
    CHECK(offset % cluster_size == 0 && offset >= state_->end && length > 0);
    state_->end = offset + length;
    const std::uint64_t clusters = (length + cluster_size - 1) / cluster_size;
    state_->map.assign(ClusterIndex{offset / cluster_size}, ClusterCount{clusters}, value_zero);
}

Result<void> LayerWriter::finish(LayerPhase phase) {
    CHECK(phase == LayerPhase::clean || phase == LayerPhase::sealed);
    Superblock superblock;
    superblock.block_size = state_->spec.block_size;
    superblock.layer_uuid = state_->spec.uuid;
    superblock.virtual_size = state_->spec.virtual_size;
    superblock.parent_uuid = state_->spec.parent.uuid;
    superblock.parent_content_id = state_->spec.parent.content_id;
    superblock.overlap_limit = state_->spec.parent.overlap_limit;
    superblock.phase = phase;
    const MapOnDisk nothing;
    CheckpointBuilder builder(state_->map, nothing, superblock.generation);
    std::vector<std::byte> page(unit_size);
    UnitNumber unit = 0;
    while (true) {
        const auto progress = builder.next(page, {&unit, 1}, state_->allocator);
        if (progress.step == CheckpointBuilder::Step::finished) break;
        if (progress.step == CheckpointBuilder::Step::needs_units) {
            state_->allocator.add_reserved(state_->allocator.next_reservation(1));
            continue;
        }
        Result<void> written = state_->file.write_at(byte_offset(unit), page);
        if (!written) return written;
    }
    superblock.directory = builder.take_result().directory;
    const DiskSuperblock disk = encode_superblock(superblock);
    for (UnitNumber copy = 0; copy < superblock_units; ++copy) {
        Result<void> written = state_->file.write_at(byte_offset(copy), bytes_of_struct(disk));
        if (!written) return written;
    }
    // Nobody takes the file for a layer before this, so the order of the writes does not matter.
    return state_->file.sync_data();
}

}  // namespace cowtgt
