#include <algorithm>
#include <span>
#include <string>
#include <utility>

#include "cow-store/base/check.h"
#include "cow-store/base/checksum.h"
#include "cow-store/format/directory_page.h"
#include "cow-store/journal/ring_reader.h"
#include "cow-store/volume/layer_file.h"
#include "cow-store/volume/layer_state.h"

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

struct SuperblockCopies {
    std::vector<std::byte> bytes;  ///< of both
    Superblock chosen;

    bool agree() const {
        return std::equal(bytes.begin(), bytes.begin() + unit_size, bytes.begin() + unit_size);
    }
};

Result<SuperblockCopies> read_superblocks(File& file) {
    std::vector<std::byte> bytes(superblock_units * std::size_t{unit_size});
    if (Result<void> read = file.read_at(0, bytes); !read) return read.error();
    const Bytes all = bytes;
    Result<Superblock> chosen = choose_superblock(all.first(unit_size), all.subspan(unit_size));
    if (!chosen) return chosen.error();
    return SuperblockCopies{std::move(bytes), *chosen};
}

/// After a death between the two copies: the older one must not come back once what it names is
/// reused.
Result<void> finish_flip(File& file, const SuperblockCopies& copies) {
    const Bytes all = copies.bytes;
    const Result<Superblock> a = decode_superblock(all.first(unit_size));
    const bool a_chosen = a && a->generation == copies.chosen.generation;
    const UnitNumber other = a_chosen ? 1 : 0;
    const DiskSuperblock disk = encode_superblock(copies.chosen);
    if (Result<void> done = file.write_at(byte_offset(other), bytes_of_struct(disk)); !done) {
        return done;
    }
    return file.sync_data();
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

/// Whether a unit may be claimed twice. Two maps have most of their units in common.
enum class Claims { exclusive, shared };

class SpaceCounter {
public:
    SpaceCounter(std::uint64_t file_bytes, Claims claims)
        : allocator_(file_bytes), claims_(claims) {}

    void claim(UnitRun run) {
        sound_ = sound_ && (claims_ == Claims::exclusive ? allocator_.mark_used(run)
                                                         : allocator_.mark_used_again(run));
    }
    void claim(const Leaf& leaf) {
        for (std::uint32_t at = 0; at < clusters_per_leaf;) {
            const Leaf::Piece piece = leaf.find(at, clusters_per_leaf - at);
            if (is_data(piece.value)) claim({piece.value, piece.count});
            at += piece.count;
        }
    }
    void claim_all(const Superblock& superblock, const MapOnDisk& on_disk, const ClusterMap& map) {
        claim({0, superblock_units});
        const RingOrigin& ring = superblock.ring;
        if (ring.unit != 0) claim({ring.unit, ring.units});
        for (const UnitNumber unit : on_disk.directory_units) {
            claim({unit, 1});
        }
        for (const PageEntry& entry : on_disk.pages) {
            claim({entry.page.unit, 1});
        }
        for (auto leaf = map.next_used_leaf(0); leaf && sound_;
             leaf = map.next_used_leaf(*leaf + 1)) {
            claim(*map.leaf(*leaf));
        }
    }
    bool sound() const { return sound_; }
    UnitAllocator take() { return std::move(allocator_); }

private:
    UnitAllocator allocator_;
    Claims claims_;
    bool sound_ = true;
};

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

class MapLoader {
public:
    MapLoader(File& file, std::uint64_t file_bytes, ClusterMap& map)
        : file_(file), file_units_(file_bytes / unit_size), map_(map), page_(unit_size) {}

    Result<MapOnDisk> load(const PagePointer& directory) {
        MapOnDisk on_disk;
        on_disk.directory = directory;
        for (PagePointer at = directory; at.unit != 0;) {
            if (on_disk.directory_units.size() >= file_units_) {
                return corrupt("directory: its pages form a circle");
            }
            if (Result<void> read = read_page(at, "directory page"); !read) return read.error();
            Result<DecodedDirectoryPage> decoded = decode_directory_page(page_);
            if (!decoded) return decoded.error();
            on_disk.directory_units.push_back(at.unit);
            on_disk.pages.insert(on_disk.pages.end(), decoded->entries.begin(),
                                 decoded->entries.end());
            at = decoded->next;
        }
        for (std::size_t i = 0; i < on_disk.pages.size(); ++i) {
            const std::uint64_t end =
                i + 1 < on_disk.pages.size() ? on_disk.pages[i + 1].first_leaf : map_.leaf_count();
            if (Result<void> loaded = load_page(on_disk.pages[i], end); !loaded) {
                return loaded.error();
            }
        }
        return on_disk;
    }

private:
    Result<void> read_page(const PagePointer& pointer, const char* what) {
        if (pointer.unit < first_data_unit || pointer.unit >= file_units_) {
            return corrupt(std::string(what) + " beyond the end of the file");
        }
        if (Result<void> read = file_.read_at(byte_offset(pointer.unit), page_); !read) {
            return read;
        }
        if (xxh3_64(page_) != pointer.checksum) {
            return corrupt(std::string(what) + " in unit " + std::to_string(pointer.unit) +
                           " does not have the checksum that its parent holds");
        }
        return {};
    }

    Result<void> load_page(const PageEntry& entry, std::uint64_t leaf_end) {
        if (Result<void> read = read_page(entry.page, "map page"); !read) return read;
        if (entry.first_leaf >= leaf_end)
            return corrupt("map page: its leaves lie beyond the disk");
        if (entry.form == PageForm::dense) {
            return place(entry.first_leaf, Leaf::from_values(decode_dense_page(page_)));
        }
        Result<std::vector<DecodedLeaf>> leaves = decode_packed_page(page_);
        if (!leaves) return leaves.error();
        for (DecodedLeaf& decoded : *leaves) {
            if (decoded.leaf < entry.first_leaf || decoded.leaf >= leaf_end) {
                return corrupt("map page: a leaf belongs to another page");
            }
            if (Result<void> placed = place(decoded.leaf, Leaf::from_runs(std::move(decoded.runs)));
                !placed) {
                return placed;
            }
        }
        return {};
    }

    Result<void> place(std::uint32_t index, Leaf leaf) {
        const std::uint64_t clusters_left =
            map_.cluster_count() - std::uint64_t{index} * clusters_per_leaf;
        if (clusters_left < clusters_per_leaf) {
            const auto inside = static_cast<std::uint32_t>(clusters_left);
            const Leaf::Piece beyond = leaf.find(inside, clusters_per_leaf - inside);
            if (beyond.value != value_inherit || beyond.count != clusters_per_leaf - inside) {
                return corrupt("map page: clusters beyond the end of the disk");
            }
        }
        map_.set_leaf(index, std::move(leaf));
        return {};
    }

    File& file_;
    std::uint64_t file_units_;
    ClusterMap& map_;
    std::vector<std::byte> page_;
};

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
    counter.claim_all(state.superblock, state.on_disk, state.map);
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

Result<Replay> read_journal(File& file, std::uint64_t file_bytes, const Superblock& superblock,
                            ReplayScope scope) {
    const RingOrigin& ring = superblock.ring;
    if (ring.unit == 0) return Replay{{}, ring.first_sequence - 1, ring.first_sequence};
    if (byte_offset(ring.unit) + ring.size_bytes() > file_bytes) {
        return corrupt("journal: the ring lies beyond the end of the file");
    }
    std::vector<std::byte> bytes(ring.size_bytes());
    if (Result<void> read = file.read_at(byte_offset(ring.unit), bytes); !read) {
        return read.error();
    }
    return read_ring(bytes, ring, superblock.layer_uuid, scope);
}

ReplayScope scope_of(const Superblock& superblock, const File& file, const OpenContext& context) {
    const bool same_file =
        superblock.inode == 0 || file.inode() == 0 || superblock.inode == file.inode();
    const bool same_kernel = superblock.boot_id == context.boot_id && !context.boot_id.is_nil();
    return superblock.phase == LayerPhase::open && same_file && same_kernel
               ? ReplayScope::everything_intact
               : ReplayScope::committed_only;
}

/// Replays the journal of a layer that was not closed and makes the result durable.
Result<void> recover(File& file, const OpenContext& context, LayerState& state) {
    // What a dead process left in the page cache becomes durable, so that what this recovery sees
    // as committed is so for a second one too.
    if (Result<void> synced = file.sync_data(); !synced) return synced;
    const Result<std::uint64_t> file_bytes = file.size();
    if (!file_bytes) return file_bytes.error();
    const ReplayScope scope = scope_of(state.superblock, file, context);
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
    for (UnitNumber copy = 0; copy < superblock_units; ++copy) {
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
    const Result<SuperblockCopies> copies = read_superblocks(file);
    if (!copies) return copies.error();
    const Superblock& superblock = copies->chosen;
    if (Result<void> admitted = admit(superblock, file, context); !admitted) {
        return admitted.error();
    }
    Result<std::uint64_t> file_bytes = file.size();
    if (!file_bytes) return file_bytes.error();

    ClusterMap map(cluster_count(superblock.virtual_size));
    Result<MapOnDisk> on_disk = MapLoader(file, *file_bytes, map).load(superblock.directory);
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
    if (superblock.phase == LayerPhase::open || superblock.phase == LayerPhase::fenced) {
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
