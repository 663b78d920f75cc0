#include <algorithm>
#include <span>
#include <string>
#include <utility>

#include "cow-store/volume/layer_file.h"
#include "cow-store/volume/layer_pages.h"
#include "cow-store/volume/layer_state.h"
#include "cow-store/volume/planted_bugs.h"
#include "cow-store/volume/space_counter.h"

/// Recovery (FORMAT.md, "Opening"): read what the superblock names, refuse what does not match,
/// replay the journal, write a checkpoint. Nothing that the old state needs is overwritten before
/// the new one is durable, so this may stop at any step and begin again.
namespace cowtgt {

namespace {

Error corrupt(std::string why) {
    return Error{ErrorCode::corrupt, std::move(why), 0};
}
Error refused(std::string why) {
    return Error{ErrorCode::refused, std::move(why), 0};
}

bool chosen_is_first(const SuperblockCopies& copies) {
    const Result<Superblock> first = decode_superblock(Bytes(copies.bytes).first(unit_size));
    return first && first->generation == copies.chosen.generation;
}

/// After a death between the two copies: the older one must not come back once what it names is
/// reused.
Result<void> finish_flip(File& file, const SuperblockCopies& copies) {
    const UnitNumber other = chosen_is_first(copies) ? 1 : 0;
    const DiskSuperblock disk = encode_superblock(copies.chosen);
    // The chosen one may be in the page cache only: a power cut must not tear both.
    if (Result<void> done = file.sync_data(); !done) return done;
    if (Result<void> done = file.write_at(byte_offset(other), bytes_of_struct(disk)); !done) {
        return done;
    }
    return file.sync_data();
}

bool needs_recovery(const Superblock& superblock) {
    return superblock.phase == LayerPhase::open || superblock.phase == LayerPhase::fenced;
}

/// After a failed sync the next one succeeds, whatever was lost: only this mark remembers it. It
/// goes where the chosen copy is, so that the other one stays whole.
void mark_fenced(File& file, const SuperblockCopies& copies) {
    Superblock marked = copies.chosen;
    marked.phase = LayerPhase::fenced;
    ++marked.generation;
    const DiskSuperblock disk = encode_superblock(marked);
    const UnitNumber copy = chosen_is_first(copies) ? 0 : 1;
    // As well as it still goes; the caller has an error to tell anyway.
    if (file.write_at(byte_offset(copy), bytes_of_struct(disk))) (void)file.sync_data();
}

/// What a dead process left in the page cache becomes durable, so that what this recovery sees as
/// committed is so for a second one too; and what a failed sync left there, which looks written
/// and never will be, is not seen any more.
Result<void> settle_cache(File& file, const SuperblockCopies& copies) {
    if (Result<void> synced = file.sync_data(); !synced) {
        if (copies.chosen.phase == LayerPhase::open && !planted.recovery_forgets_failed_sync) {
            mark_fenced(file, copies);
        }
        return synced;
    }
    if (planted.recovery_reads_cache) return {};
    return file.drop_cache();
}

Result<void> admit(const Superblock& superblock, const File& file, const OpenContext& context) {
    if (context.expected_uuid && !(*context.expected_uuid == superblock.layer_uuid)) {
        return refused("layer " + to_string(superblock.layer_uuid) + " lies where " +
                       to_string(*context.expected_uuid) + " was expected");
    }
    if (superblock.phase == LayerPhase::fenced && !context.accept_fenced) {
        return refused(
            "a sync of this layer failed, so what was written since its last good flush is in "
            "doubt; check it before it is used again");
    }
    const bool moved =
        superblock.inode != 0 && file.inode() != 0 && superblock.inode != file.inode();
    if (superblock.phase == LayerPhase::open && moved && !context.accept_copy) {
        return refused(
            "this layer was copied while it was being written, so the copy may be a mixture of "
            "old and new; take the original or a copy made while it was closed");
    }
    return {};
}

Result<SuperblockCopies> admitted_superblock(File& file, const OpenContext& context) {
    Result<SuperblockCopies> copies = read_superblocks(file);
    if (!copies) return copies;
    if (Result<void> admitted = admit(copies->chosen, file, context); !admitted) {
        return admitted.error();
    }
    return copies;
}

Error two_claims() {
    return corrupt("map: a unit is named twice or lies beyond the end of the file");
}

/// The space that a map uses. corrupt when two things claim one unit or one lies beyond the file.
Result<UnitAllocator> count_space(std::uint64_t file_bytes, const LayerState& state) {
    SpaceCounter counter(file_bytes, Claims::exclusive);
    counter.claim_all(state.superblock, state.on_disk, state.map);
    if (!counter.sound()) return two_claims();
    return counter.take();
}

Result<void> apply(std::span<const Record> records, ClusterMap& map) {
    for (const Record& record : records) {
        for (const RecordEntry& entry : record.entries) {
            const std::uint64_t end = std::uint64_t{entry.first_cluster} + entry.cluster_count;
            const bool sane = entry.cluster_count > 0 && end <= map.cluster_count() &&
                              entry.value != value_inherit;
            if (!sane) {
                return corrupt("journal: record " + std::to_string(record.sequence) +
                               " names clusters that do not exist");
            }
            map.assign(ClusterIndex{entry.first_cluster}, ClusterCount{entry.cluster_count},
                       entry.value);
        }
    }
    return {};
}

/// Brings the map up to date and finds the space that the recovery may write to: neither the
/// result may need it nor what a second recovery would find after a power loss in this one, which
/// is the map with the committed records alone.
Result<UnitAllocator> replay_into(LayerState& state, const Replay& replay,
                                  std::uint64_t file_bytes) {
    const std::span<const Record> records = replay.records;
    const auto first_tentative = std::ranges::find_if(
        records, [&](const Record& record) { return record.sequence > replay.committed; });
    const auto committed = static_cast<std::size_t>(first_tentative - records.begin());

    SpaceCounter counter(file_bytes, Claims::shared);
    if (Result<void> done = apply(records.first(committed), state.map); !done) {
        return done.error();
    }
    if (!planted.recovery_reuses_committed_units) {
        counter.claim_all(state.superblock, state.on_disk, state.map);
    }
    if (Result<void> done = apply(records.subspan(committed), state.map); !done) {
        return done.error();
    }
    counter.claim_all(state.superblock, state.on_disk, state.map);
    // Before anything is written: what the journal made of the map must be sound.
    SpaceCounter strict(file_bytes, Claims::exclusive);
    strict.claim_all(state.superblock, state.on_disk, state.map);
    if (!counter.sound() || !strict.sound()) return two_claims();
    return counter.take();
}

Result<void> reserve_more(File& file, UnitAllocator& allocator) {
    const SegmentRange range = allocator.next_reservation(1);
    if (Result<void> done = file.allocate(range.offset(), range.length()); !done) return done;
    allocator.add_reserved(range);
    return {};
}

Result<MapOnDisk> write_map(File& file, ClusterMap& map, const MapOnDisk& before,
                            std::uint64_t generation, UnitAllocator& allocator) {
    CheckpointBuilder builder(map, before, generation);
    std::vector<std::byte> page(unit_size);
    UnitNumber unit = 0;
    while (true) {
        const auto progress = builder.next(page, {&unit, 1}, allocator);
        if (progress.step == CheckpointBuilder::Step::finished) return builder.take_result();
        if (progress.step == CheckpointBuilder::Step::needs_units) {
            if (Result<void> more = reserve_more(file, allocator); !more) return more.error();
            continue;
        }
        if (Result<void> written = file.write_at(byte_offset(unit), page); !written) {
            return written.error();
        }
    }
}

/// Replays the journal of a layer that was not closed and makes the result durable.
Result<void> recover(File& file, const OpenContext& context, LayerState& state) {
    const Result<std::uint64_t> file_bytes = file.size();
    if (!file_bytes) return file_bytes.error();
    const ReplayScope scope = replay_scope(state.superblock, file, context.boot_id);
    const Result<Replay> replay = read_journal(file, *file_bytes, state.superblock, scope);
    if (!replay) return replay.error();
    Result<UnitAllocator> allocator = replay_into(state, *replay, *file_bytes);
    if (!allocator) return allocator.error();
    state.allocator = std::move(*allocator);
    state.allocator.start();

    Superblock next = state.superblock;
    ++next.generation;
    Result<MapOnDisk> written =
        write_map(file, state.map, state.on_disk, next.generation, state.allocator);
    if (!written) return written.error();
    if (Result<void> synced = file.sync_data(); !synced) return synced;
    next.phase = LayerPhase::clean;
    next.incompatible_features &= ~feature_hashed_commits;
    next.directory = written->directory;
    next.ring.head = 0;
    next.ring.first_sequence = replay->next_sequence;
    next.ring.previous_checksum = 0;
    if (Result<void> flipped = write_superblocks(file, next); !flipped) return flipped;

    state.superblock = next;
    state.on_disk = std::move(*written);
    state.recovery_note =
        std::string(scope == ReplayScope::everything_intact
                        ? "was left open by a process that died; replayed "
                        : "was left open when the host stopped; replayed committed ") +
        std::to_string(replay->records.size()) + " journal records";
    return {};
}

}  // namespace

Result<void> write_superblocks(File& file, const Superblock& superblock) {
    const DiskSuperblock disk = encode_superblock(superblock);
    const UnitNumber copies = planted.one_superblock_copy ? 1 : superblock_units;
    for (UnitNumber copy = 0; copy < copies; ++copy) {
        if (Result<void> done = file.write_at(byte_offset(copy), bytes_of_struct(disk)); !done) {
            return done;
        }
        if (Result<void> done = file.sync_data(); !done) return done;
    }
    return {};
}

Result<LayerSummary> inspect_layer(File& file) {
    const Result<SuperblockCopies> copies = read_superblocks(file);
    if (!copies) return copies.error();
    return summary_of(copies->chosen);
}

Result<RecoveredLayer> open_layer(File& file, const OpenContext& context) {
    Result<SuperblockCopies> copies = admitted_superblock(file, context);
    if (!copies) return copies.error();
    if (needs_recovery(copies->chosen)) {
        if (Result<void> settled = settle_cache(file, *copies); !settled) return settled.error();
        copies = admitted_superblock(file, context);  // as the disk has it
        if (!copies) return copies.error();
    }
    const Superblock& superblock = copies->chosen;
    Result<std::uint64_t> file_bytes = file.size();
    if (!file_bytes) return file_bytes.error();

    ClusterMap map(cluster_count(superblock.virtual_size));
    Result<MapOnDisk> on_disk = load_map(file, *file_bytes, superblock.directory, map);
    if (!on_disk) return on_disk.error();
    auto state = std::make_unique<LayerState>(LayerState{superblock,
                                                         summary_of(superblock),
                                                         std::move(map),
                                                         std::move(*on_disk),
                                                         UnitAllocator(0),
                                                         context.boot_id,
                                                         file.inode(),
                                                         {}});

    if (superblock.phase != LayerPhase::sealed && !copies->agree()) {
        if (Result<void> done = finish_flip(file, *copies); !done) return done.error();
    }
    if (needs_recovery(superblock)) {
        if (Result<void> recovered = recover(file, context, *state); !recovered) {
            return recovered.error();
        }
        file_bytes = file.size();  // the recovery may have taken space
        if (!file_bytes) return file_bytes.error();
    }
    Result<UnitAllocator> allocator = count_space(*file_bytes, *state);
    if (!allocator) return allocator.error();
    state->allocator = std::move(*allocator);
    state->allocator.start();
    state->summary = summary_of(state->superblock);
    return RecoveredLayer(std::move(state));
}

}  // namespace cowtgt
