#include "cow-store/volume/layer_pages.h"

#include <algorithm>
#include <utility>

#include "cow-store/base/checksum.h"
#include "cow-store/format/directory_page.h"
#include "cow-store/volume/planted_bugs.h"

namespace cowtgt {

namespace {

constexpr std::uint64_t leaf_bytes = std::uint64_t{clusters_per_leaf} * cluster_size;

Error corrupt(std::string why) {
    return Error{ErrorCode::corrupt, std::move(why), 0};
}

/// Where one page lies, and what part of the disk it is about.
struct PagePlace {
    PagePointer page;
    std::uint64_t first_leaf = 0;
    std::uint64_t leaf_end = 0;
};

class MapLoader {
public:
    MapLoader(File& file, std::uint64_t file_bytes, ClusterMap& map, DamageSink* sink)
        : file_(file),
          file_units_(file_bytes / unit_size),
          map_(map),
          sink_(sink),
          page_(unit_size) {}

    Result<MapOnDisk> load(const PagePointer& directory) {
        MapOnDisk on_disk;
        on_disk.directory = directory;
        if (Result<void> read = load_directory(on_disk); !read) return read.error();
        for (std::size_t i = 0; i < on_disk.pages.size(); ++i) {
            const PageEntry& entry = on_disk.pages[i];
            const std::uint64_t end =
                i + 1 < on_disk.pages.size() ? on_disk.pages[i + 1].first_leaf : map_.leaf_count();
            Result<void> loaded = load_page(entry, end);
            if (!loaded) loaded = damaged(loaded.error(), {entry.page, entry.first_leaf, end});
            if (!loaded) return loaded.error();
        }
        return on_disk;
    }

private:
    Result<void> load_directory(MapOnDisk& on_disk) {
        for (PagePointer at = on_disk.directory; at.unit != 0;) {
            if (on_disk.directory_units.size() >= file_units_) {
                return corrupt("directory: its pages form a circle");
            }
            Result<DecodedDirectoryPage> decoded = read_directory_page(at);
            if (!decoded) {
                // What the pages behind it are, nobody else knows.
                const std::uint64_t first =
                    on_disk.pages.empty() ? 0 : on_disk.pages.back().first_leaf;
                return damaged(decoded.error(), {at, first, map_.leaf_count()});
            }
            on_disk.directory_units.push_back(at.unit);
            on_disk.pages.insert(on_disk.pages.end(), decoded->entries.begin(),
                                 decoded->entries.end());
            at = decoded->next;
        }
        return {};
    }

    Result<DecodedDirectoryPage> read_directory_page(const PagePointer& pointer) {
        if (Result<void> read = read_page(pointer, "directory page"); !read) return read.error();
        return decode_directory_page(page_);
    }

    Result<void> damaged(const Error& error, const PagePlace& place) {
        if (sink_ == nullptr) return error;
        return sink_->take({.what = error.message,
                            .offset = byte_offset(place.page.unit),
                            .length = unit_size,
                            .guest_begin = place.first_leaf * leaf_bytes,
                            .guest_end = place.leaf_end * leaf_bytes,
                            .checksum = place.page.checksum});
    }

    Result<void> read_page(const PagePointer& pointer, const char* what) {
        if (pointer.unit < first_data_unit || pointer.unit >= file_units_) {
            return corrupt(std::string(what) + " beyond the end of the file");
        }
        if (Result<void> read = file_.read_at(byte_offset(pointer.unit), page_); !read) {
            return read;
        }
        if (xxh3_64(page_) != pointer.checksum && !planted.pages_unchecked) {
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
    DamageSink* sink_;
    std::vector<std::byte> page_;
};

/// Whether the units that a commit lists hold what it says. One behind the end of the file does
/// not, though it reads as zeros: the sync would have made the size durable. Nor does one that
/// cannot be read, as a sector that was torn.
bool holds_hashes(File& file, std::uint64_t file_bytes, const Record& commit) {
    if (planted.hashes_uncompared) return true;
    std::vector<std::byte> unit(unit_size);
    return std::ranges::all_of(commit.hashes, [&](const UnitHash& listed) {
        const std::uint64_t offset = byte_offset(listed.unit);
        return offset + unit_size <= file_bytes && file.read_at(offset, unit) &&
               xxh3_64(unit) == listed.hash;
    });
}

}  // namespace

bool SuperblockCopies::agree() const {
    return std::equal(bytes.begin(), bytes.begin() + unit_size, bytes.begin() + unit_size);
}

Result<SuperblockCopies> read_superblocks(File& file) {
    std::vector<std::byte> bytes(superblock_units * std::size_t{unit_size});
    if (Result<void> read = file.read_at(0, bytes); !read) return read.error();
    const Bytes all = bytes;
    Result<Superblock> chosen = choose_superblock(all.first(unit_size), all.subspan(unit_size));
    if (!chosen) return chosen.error();
    return SuperblockCopies{std::move(bytes), *chosen};
}

Result<MapOnDisk> load_map(File& file, std::uint64_t file_bytes, const PagePointer& directory,
                           ClusterMap& map, DamageSink* sink) {
    return MapLoader(file, file_bytes, map, sink).load(directory);
}

ReplayScope replay_scope(const Superblock& superblock, const File& file, const Uuid& boot_id) {
    const bool same_file =
        superblock.inode == 0 || file.inode() == 0 || superblock.inode == file.inode();
    const bool same_kernel = superblock.boot_id == boot_id && !boot_id.is_nil();
    return superblock.phase == LayerPhase::open && same_file && same_kernel
               ? ReplayScope::everything_intact
               : ReplayScope::committed_only;
}

Result<Replay> read_journal(File& file, std::uint64_t file_bytes, const Superblock& superblock,
                            ReplayScope scope) {
    const RingOrigin& ring = superblock.ring;
    if (ring.unit == 0) return Replay{{}, ring.first_sequence - 1, ring.first_sequence, {}};
    if (byte_offset(ring.unit) + ring.size_bytes() > file_bytes) {
        return corrupt("journal: the ring lies beyond the end of the file");
    }
    std::vector<std::byte> bytes(ring.size_bytes());
    if (Result<void> read = file.read_at(byte_offset(ring.unit), bytes); !read) {
        return read.error();
    }
    Result<Replay> replay = read_ring(bytes, ring, superblock.layer_uuid, scope);
    if (!replay || !replay->in_doubt) return replay;
    settle(*replay, holds_hashes(file, file_bytes, *replay->in_doubt), scope);
    return replay;
}

}  // namespace cowtgt
