#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "cow-store/block/block_device.h"
#include "cow-store/file.h"
#include "cow-store/volume/layer_file.h"

namespace cowtgt {

class MergedMap;
class Volume;

/// A layer below the live one: immutable, shared by all rings.
struct SealedLayer {
    std::shared_ptr<const ClusterMap> map;  ///< null: SealedLayers::merged has it
    AsyncFile* file = nullptr;              ///< outlives the volume
    std::uint64_t overlap_limit = 0;        ///< bytes of what lies below it that show through
};

/// From the top down.
struct SealedLayers {
    std::vector<SealedLayer> layers;
    /// Of all their maps, which may be null then. Null: they are asked one by one.
    std::shared_ptr<const MergedMap> merged;
};

/// The raw image at the bottom of the chain; file may be null (an empty disk).
struct BaseImage {
    AsyncFile* file = nullptr;  ///< outlives the volume
    std::uint64_t size_bytes = 0;
};

/// How the loop learns that run_ready() has something to do. Called at most once between two calls
/// of run_ready(), on the ring's thread, possibly inside submit() or an operation's completion: it
/// puts the volume on the loop's list and nothing else.
struct ReadySignal {
    void (*raise)(void* owner, Volume& volume) = nullptr;
    void* owner = nullptr;
};

/// No quota.
inline constexpr std::uint64_t no_space_limit = ~std::uint64_t{0};

struct VolumeOptions {
    ReadySignal ready;
    /// Bytes of the live layer's file that data, map and journal may take (a quota). What needs no
    /// new data goes on beyond it, and its journal a layer gets in any case.
    std::uint64_t space_max_bytes = no_space_limit;
    /// Bytes of the journal ring made with the first write; 0: by the virtual size (1 to 16 MiB).
    std::uint32_t ring_bytes = 0;
    /// Largest preallocation at once, in segments of 1 MiB.
    std::uint32_t batch_segments_max = 64;
    /// When an overwrite had to wait for the confirmation of a commit with hashes, so many commits
    /// go without: whoever overwrites at once what it has flushed gains nothing by them.
    std::uint32_t commits_without_hashes = 16;
};

struct VolumeStatistics {
    std::uint64_t reads = 0, writes = 0, deallocates = 0, flushes = 0;  ///< requests answered good
    std::uint64_t read_bytes = 0, written_bytes = 0;
    std::uint64_t failed = 0;             ///< requests answered otherwise
    std::uint64_t allocated_bytes = 0;    ///< of the file, in use: data, map, journal
    std::uint64_t reserved_bytes = 0;     ///< of the file, preallocated and free
    std::uint64_t quarantined_bytes = 0;  ///< freed, but not yet by a durable record
    std::uint64_t zeroed_bytes = 0;       ///< written ahead of small commits
    std::uint64_t generation = 0;
    std::uint64_t checkpoints = 0, commits = 0;
    std::uint64_t hashed_commits = 0;   ///< of the commits: those with one sync
    std::uint64_t held_overwrites = 0;  ///< that waited for one of these to be confirmed
    std::uint64_t map_memory_bytes = 0;
    bool fenced = false;
};

/// A machine's disk: a live layer over sealed layers over a base image, as a block device.
///
/// Threads: all calls on the ring that owns the files.
/// Answers: never inside submit(); run_ready() gives them. The loop calls run_ready() once a turn,
/// after it has handled its events and before it sends and sleeps, for every volume that raised
/// its ReadySignal (or simply for every volume). All writes that are complete by then share one
/// record in the journal, which is appended before any of them is answered.
/// Memory: per-request state comes from pools that the volume keeps; nothing is allocated per
/// request once they have grown to the depth of the queue.
class Volume final : public BlockDevice {
public:
    /// `live` is the file that `layer` was recovered from, and outlives the volume. Requires: the
    /// layer is not sealed.
    Volume(RecoveredLayer layer, AsyncFile& live, SealedLayers below, BaseImage base,
           VolumeOptions options = {});
    /// Requires: no request and no close is under way. Without close() the layer stays `open`, as
    /// after the death of the process.
    ~Volume() override;

    Geometry geometry() const override;
    void submit(BlockRequest& request) override;
    /// A write that changes nothing of what the disk reads: its data, which the caller has just
    /// read there, goes into the live layer where that inherits still, but for what is zeros. The
    /// rest, which others may have written meanwhile, stays as it is.
    /// Requires: the range is whole clusters, but for the end of the disk.
    void fill(BlockRequest& request);
    struct Stretch {
        std::uint64_t offset = 0;  ///< bytes
        std::uint64_t length = 0;  ///< bytes
    };
    /// Whole clusters from `offset` on, about `most` bytes at most, that are read from below the
    /// live layer. Length 0: there are none before the returned offset, where to go on. No I/O.
    Stretch below_live(std::uint64_t offset, std::uint64_t most) const;
    ProvisioningRun provisioning(Lba first, BlockCount wanted) const override;
    std::optional<std::uint64_t> allocated_bytes() const override;
    std::optional<std::uint64_t> available_bytes() const override;

    /// Appends what the completed writes changed, answers what is ready, starts what it can. True:
    /// there is more to do at once, so call again before sleeping.
    bool run_ready();

    /// Waits for what is under way, flushes, writes a checkpoint and marks the layer clean; then
    /// calls `done` (from run_ready). Requests submitted after it are refused with io_error.
    using CloseDone = std::function<void(const BlockOutcome&)>;
    void close(CloseDone done);

    VolumeStatistics statistics() const;
    /// Another VolumeOptions::space_max_bytes from now on.
    void set_space_max(std::uint64_t bytes);
    /// Of the live layer; does not change while the volume is open.
    const LayerSummary& layer() const;

private:
    class Engine;
    std::unique_ptr<Engine> engine_;
};

}  // namespace cowtgt
