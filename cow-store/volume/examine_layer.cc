#include "cow-store/volume/examine_layer.h"

#include <algorithm>
#include <utility>

#include "cow-store/base/checksum.h"
#include "cow-store/volume/layer_state.h"
#include "cow-store/volume/space_counter.h"

namespace cowtgt {

namespace {

constexpr int attempts_max = 5;  ///< to see a layer in use between two of its checkpoints

class Collector final : public DamageSink {
public:
    Result<void> take(LayerDamage damage) override {
        list.push_back(std::move(damage));
        return {};
    }
    std::vector<LayerDamage> list;
};

/// Neither copy may be torn or differ from the other, except while a checkpoint flips them.
void examine_superblocks(const SuperblockCopies& copies, LayerExamination& found) {
    const Bytes all = copies.bytes;
    for (UnitNumber copy = 0; copy < superblock_units; ++copy) {
        const Bytes unit = all.subspan(byte_offset(copy), unit_size);
        const Result<Superblock> decoded = decode_superblock(unit);
        if (decoded && decoded->generation == copies.chosen.generation) continue;
        const std::string name = copy == 0 ? "superblock copy A: " : "superblock copy B: ";
        found.damage.push_back(
            {.what = name + (decoded ? "it is older than the other one" : decoded.error().message),
             .offset = byte_offset(copy),
             .length = unit_size});
    }
}

LayerExamination without_superblock(const Error& error) {
    LayerExamination found;
    found.damage.push_back({.what = error.message,
                            .offset = 0,
                            .length = superblock_units * std::uint64_t{unit_size}});
    return found;
}

/// Records are appended in their order, so a whole one tells that those before it are complete. One
/// that was read half written while a later one came is whole the next time.
void examine_journal(File& file, LayerUse use, std::uint64_t file_bytes,
                     const Superblock& superblock, const Uuid& boot_id, LayerExamination& found) {
    const ReplayScope scope = replay_scope(superblock, file, boot_id);
    Result<Replay> replay = read_journal(file, file_bytes, superblock, scope);
    if (!replay && use == LayerUse::in_use) {
        replay = read_journal(file, file_bytes, superblock, scope);
    }
    if (replay) return;
    found.damage.push_back({.what = replay.error().message,
                            .offset = byte_offset(superblock.ring.unit),
                            .length = superblock.ring.size_bytes()});
}

Result<LayerExamination> examine_once(File& file, LayerUse use, const Uuid& boot_id) {
    const Result<SuperblockCopies> copies = read_superblocks(file);
    if (!copies && copies.error().code == ErrorCode::io) return copies.error();
    if (!copies) return without_superblock(copies.error());
    const Result<std::uint64_t> file_bytes = file.size();
    if (!file_bytes) return file_bytes.error();
    const Superblock& superblock = copies->chosen;

    LayerExamination found;
    found.summary = summary_of(superblock);
    examine_superblocks(*copies, found);
    found.map = std::make_unique<ClusterMap>(cluster_count(superblock.virtual_size));
    Collector collector;
    const Result<MapOnDisk> on_disk =
        load_map(file, *file_bytes, superblock.directory, *found.map, &collector);
    if (!on_disk) return on_disk.error();
    const bool whole = collector.list.empty();
    std::ranges::move(collector.list, std::back_inserter(found.damage));

    const bool left_open =
        superblock.phase == LayerPhase::open || superblock.phase == LayerPhase::fenced;
    found.needs_recovery = left_open && use == LayerUse::at_rest;
    found.is_copy = superblock.phase == LayerPhase::open && superblock.inode != 0 &&
                    file.inode() != 0 && superblock.inode != file.inode();
    if (left_open) examine_journal(file, use, *file_bytes, superblock, boot_id, found);
    // The journal may name units that the map on disk still gives to another cluster.
    if (whole && !left_open) {
        SpaceCounter counter(*file_bytes, Claims::exclusive);
        counter.claim_all(superblock, *on_disk, *found.map);
        if (!counter.sound()) {
            found.damage.push_back(
                {.what = "map: a unit is named twice or lies beyond the end of the file"});
        }
    }
    return found;
}

Result<void> write_and_sync(File& file, std::uint64_t offset, Bytes bytes) {
    Result<void> done = file.write_at(offset, bytes);
    return done ? file.sync_data() : done;
}

Result<std::optional<std::string>> mend_superblocks(File& file, const SuperblockCopies& copies) {
    if (copies.agree()) return std::optional<std::string>{};
    const Bytes all = copies.bytes;
    const Result<Superblock> a = decode_superblock(all.first(unit_size));
    const UnitNumber other = a && a->generation == copies.chosen.generation ? 1 : 0;
    const DiskSuperblock disk = encode_superblock(copies.chosen);
    // The chosen one may be in the page cache only.
    Result<void> done = file.sync_data();
    if (done) done = write_and_sync(file, byte_offset(other), bytes_of_struct(disk));
    if (!done) return done.error();
    return std::optional{std::string("wrote superblock copy ") + (other == 0 ? "A" : "B") +
                         " again from the other one"};
}

}  // namespace

std::optional<std::uint64_t> mend_single_bit(MutableBytes bytes, std::uint64_t checksum,
                                             std::uint64_t (*sum)(Bytes)) {
    for (std::size_t at = 0; at < bytes.size(); ++at) {
        for (int bit = 0; bit < 8; ++bit) {
            bytes[at] ^= std::byte{1} << bit;
            if (sum(bytes) == checksum) return at * 8 + static_cast<std::uint64_t>(bit);
            bytes[at] ^= std::byte{1} << bit;
        }
    }
    return std::nullopt;
}

Result<LayerExamination> examine_layer(File& file, LayerUse use, const Uuid& boot_id) {
    for (int attempt = 1;; ++attempt) {
        Result<LayerExamination> found = examine_once(file, use, boot_id);
        if (!found || use == LayerUse::at_rest || found->damage.empty()) return found;
        // What one superblock names stays until the next one is durable: with the same one as
        // before, the damage is real.
        const Result<SuperblockCopies> now = read_superblocks(file);
        const bool unchanged = now && now->agree() && found->summary &&
                               now->chosen.generation == found->summary->generation;
        if (unchanged || attempt == attempts_max) return found;
    }
}

Result<std::vector<std::string>> mend_layer(File& file, const Uuid& boot_id) {
    std::vector<std::string> mended;
    const Result<SuperblockCopies> copies = read_superblocks(file);
    if (!copies) return copies.error();
    const Result<std::optional<std::string>> superblock = mend_superblocks(file, *copies);
    if (!superblock) return superblock.error();
    if (*superblock) mended.push_back(**superblock);
    // Each page that is mended may show others that lie behind it.
    for (bool progress = true; progress;) {
        progress = false;
        const Result<LayerExamination> found = examine_layer(file, LayerUse::at_rest, boot_id);
        if (!found) return found.error();
        for (const LayerDamage& damage : found->damage) {
            if (damage.checksum == 0) continue;
            std::vector<std::byte> page(damage.length);
            if (!file.read_at(damage.offset, page)) continue;
            const auto bit = mend_single_bit(page, damage.checksum, xxh3_64);
            if (!bit) continue;
            if (Result<void> done = write_and_sync(file, damage.offset, page); !done) {
                return done.error();
            }
            progress = true;
            mended.push_back("flipped bit " + std::to_string(*bit % 8) + " of byte " +
                             std::to_string(damage.offset + *bit / 8) + " back");
        }
    }
    return mended;
}

}  // namespace cowtgt
