#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "cow-store/base/result.h"
#include "cow-store/file.h"
#include "cow-store/format/superblock.h"
#include "cow-store/journal/ring_reader.h"
#include "cow-store/map/checkpoint_builder.h"
#include "cow-store/map/cluster_map.h"

/// Reading what a layer's superblock names, for whoever opens one and for whoever looks for damage.
namespace cowtgt {

struct SuperblockCopies {
    std::vector<std::byte> bytes;  ///< of both
    Superblock chosen;

    bool agree() const;
};
Result<SuperblockCopies> read_superblocks(File& file);

/// Metadata that is not what it should be.
struct LayerDamage {
    std::string what;          ///< "map page: it does not have the checksum that its parent holds"
    std::uint64_t offset = 0;  ///< bytes into the file; where it should be
    std::uint64_t length = 0;  ///< bytes
    std::uint64_t guest_begin = 0, guest_end = 0;  ///< bytes of the disk it is about; equal: none
    /// What the bytes must hash to; 0: not known.
    std::uint64_t checksum = 0;
};

/// What to do about pages that are damaged.
class DamageSink {
public:
    virtual ~DamageSink() = default;
    /// An error ends the reading; success goes on without the page.
    virtual Result<void> take(LayerDamage damage) = 0;
};

/// Reads the directory and the pages into `map`. Without a sink the first damage ends it: corrupt,
/// naming the page.
Result<MapOnDisk> load_map(File& file, std::uint64_t file_bytes, const PagePointer& directory,
                           ClusterMap& map, DamageSink* sink = nullptr);

/// Which records of a layer that was left open count, under the kernel `boot_id`.
ReplayScope replay_scope(const Superblock& superblock, const File& file, const Uuid& boot_id);
Result<Replay> read_journal(File& file, std::uint64_t file_bytes, const Superblock& superblock,
                            ReplayScope scope);

}  // namespace cowtgt
