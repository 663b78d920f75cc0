#include "cow-store/volume/layer_file.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "cow-store/base/check.h"
#include "cow-store/format/superblock.h"
#include "cow-store/volume/chain_view.h"
#include "cow-store/volume/layer_state.h"

namespace cowtgt {

namespace {

Error usage(const char* why) {
    return Error{ErrorCode::usage, std::string("layer: ") + why, 0};
}

Result<void> check_spec(const LayerSpec& spec) {
    if (spec.block_size != 512 && spec.block_size != 4096) return usage("impossible block size");
    if (spec.virtual_size == 0 || spec.virtual_size % spec.block_size != 0) {
        return usage("the size is not a multiple of the block size");
    }
    if (spec.virtual_size > virtual_size_max) return usage("larger than 16 TiB");
    std::uint64_t end = 0;
    for (const InitialBlock& block : spec.initial_blocks) {
        const bool whole = block.offset % cluster_size == 0 && !block.bytes.empty() &&
                           block.bytes.size() % cluster_size == 0;
        if (!whole) return usage("an initial block is not made of whole clusters");
        if (block.offset < end) return usage("initial blocks overlap or are out of order");
        end = block.offset + block.bytes.size();
        if (end > round_up(spec.virtual_size, cluster_size)) {
            return usage("an initial block lies beyond the end");
        }
    }
    return {};
}

/// The file of a new layer while it is being laid out, from unit 0 on.
struct NewLayer {
    explicit NewLayer(std::uint64_t clusters) : map(clusters), allocator(0) {}

    MutableBytes room_for(UnitRun run) {
        const std::uint64_t end = byte_offset(run.first) + std::uint64_t{run.count} * unit_size;
        if (image.size() < end) image.resize(end);
        return MutableBytes(image).subspan(byte_offset(run.first),
                                           std::size_t{run.count} * unit_size);
    }

    ClusterMap map;
    UnitAllocator allocator;
    std::vector<std::byte> image;
};

void place_block(NewLayer& layer, const InitialBlock& block) {
    Bytes rest = block.bytes;
    std::uint64_t cluster = block.offset / cluster_size;
    while (!rest.empty()) {
        const auto wanted = static_cast<std::uint32_t>(rest.size() / cluster_size);
        const auto run = layer.allocator.allocate_data(wanted);
        if (!run) {
            layer.allocator.add_reserved(layer.allocator.next_reservation(1));
            continue;
        }
        const MutableBytes into = layer.room_for(*run);
        std::memcpy(into.data(), rest.data(), into.size());
        layer.map.assign(ClusterIndex{cluster}, ClusterCount{run->count}, run->first);
        rest = rest.subspan(into.size());
        cluster += run->count;
    }
}

PagePointer place_map(NewLayer& layer, std::uint64_t generation) {
    const MapOnDisk nothing;
    CheckpointBuilder builder(layer.map, nothing, generation);
    std::vector<std::byte> page(unit_size);
    UnitNumber unit = 0;
    while (true) {
        const auto progress = builder.next(page, {&unit, 1}, layer.allocator);
        if (progress.step == CheckpointBuilder::Step::finished) break;
        if (progress.step == CheckpointBuilder::Step::needs_units) {
            layer.allocator.add_reserved(layer.allocator.next_reservation(1));
            continue;
        }
        std::memcpy(layer.room_for({unit, 1}).data(), page.data(), page.size());
    }
    return builder.take_result().directory;
}

}  // namespace

LayerSummary summary_of(const Superblock& superblock) {
    return {superblock.layer_uuid,
            superblock.virtual_size,
            superblock.block_size,
            {superblock.parent_uuid, superblock.parent_content_id, superblock.overlap_limit},
            superblock.phase,
            superblock.generation};
}

Result<void> create_layer(File& file, const LayerSpec& spec) {
    if (Result<void> sane = check_spec(spec); !sane) return sane;
    NewLayer layer(cluster_count(spec.virtual_size));
    layer.allocator.start();
    layer.allocator.add_reserved({0, 1});
    const auto superblocks = layer.allocator.allocate_contiguous(superblock_units);
    CHECK(superblocks && superblocks->first == 0);
    layer.room_for(*superblocks);
    for (const InitialBlock& block : spec.initial_blocks) {
        place_block(layer, block);
    }

    Superblock superblock;
    superblock.block_size = spec.block_size;
    superblock.layer_uuid = spec.uuid;
    superblock.virtual_size = spec.virtual_size;
    superblock.parent_uuid = spec.parent.uuid;
    superblock.parent_content_id = spec.parent.content_id;
    superblock.overlap_limit = spec.parent.overlap_limit;
    superblock.directory = place_map(layer, superblock.generation);
    const DiskSuperblock disk = encode_superblock(superblock);
    for (UnitNumber copy = 0; copy < superblock_units; ++copy) {
        std::memcpy(layer.room_for({copy, 1}).data(), &disk, sizeof disk);
    }
    // Nobody knows the file yet, so the order of these bytes does not matter.
    if (Result<void> written = file.write_at(0, layer.image); !written) return written;
    return file.sync_data();
}

RecoveredLayer::RecoveredLayer(std::unique_ptr<LayerState> state) : state_(std::move(state)) {}
RecoveredLayer::RecoveredLayer(RecoveredLayer&&) noexcept = default;
RecoveredLayer& RecoveredLayer::operator=(RecoveredLayer&&) noexcept = default;
RecoveredLayer::~RecoveredLayer() = default;
std::unique_ptr<LayerState> RecoveredLayer::take_state() && {
    return std::move(state_);
}
ClusterMap RecoveredLayer::take_map() && {
    return std::move(state_->map);
}

const LayerSummary& RecoveredLayer::summary() const {
    return state_->summary;
}
const ClusterMap& RecoveredLayer::map() const {
    return state_->map;
}
const std::string& RecoveredLayer::recovery_note() const {
    return state_->recovery_note;
}
std::uint64_t RecoveredLayer::allocated_bytes() const {
    return state_->allocator.used_units() * unit_size;
}

namespace {

ChainView view_of(const Chain& chain) {
    ChainView view;
    for (const ChainLayer& layer : chain.layers) {
        view.levels.push_back({layer.map, layer.overlap_limit});
    }
    view.base_size = chain.base == nullptr ? 0 : chain.base_size;
    return view;
}

}  // namespace

ChainRun find_run(const Chain& chain, std::uint64_t offset, std::uint64_t wanted) {
    CHECK(wanted > 0 && offset + wanted <= chain.virtual_size);
    const ChainView view = view_of(chain);
    ChainRun run;
    while (run.length < wanted) {
        const ChainPiece piece = view.find(offset + run.length, wanted - run.length);
        const bool zeros = piece.source == ChainSource::zeros;
        if (run.length > 0 && zeros != run.reads_as_zeros) break;
        run.reads_as_zeros = zeros;
        run.length += piece.length;
    }
    return run;
}

Result<void> read_chain(const Chain& chain, std::uint64_t offset, MutableBytes into) {
    CHECK(offset + into.size() <= chain.virtual_size);
    const ChainView view = view_of(chain);
    while (!into.empty()) {
        const ChainPiece piece = view.find(offset, into.size());
        const MutableBytes part = into.first(piece.length);
        if (piece.source == ChainSource::zeros) {
            std::memset(part.data(), 0, part.size());
        } else {
            File* file =
                piece.source == ChainSource::base ? chain.base : chain.layers[piece.level].file;
            if (Result<void> read = file->read_at(piece.offset, part); !read) return read;
        }
        into = into.subspan(piece.length);
        offset += piece.length;
    }
    return {};
}

}  // namespace cowtgt
