#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "cow-store/base/result.h"
#include "cow-store/base/uuid.h"
#include "cow-store/file.h"
#include "cow-store/format/superblock.h"

/// The layer file (FORMAT.md) for code that may wait: making one, recovering one, looking at one,
/// and reading a chain of them.
namespace cowtgt {

class ClusterMap;
struct LayerState;  // layer_state.h: what the volume needs of a recovered layer

/// What a layer stands on. A nil uuid: nothing, and what is not written reads as zeros.
struct Parent {
    Uuid uuid;
    std::uint64_t content_id = 0;
    /// Bytes of the parent that are visible; what lies beyond reads as zeros for ever, even after
    /// the layer was grown.
    std::uint64_t overlap_limit = 0;
};

/// Content that a layer has from its first moment on (identity patches).
struct InitialBlock {
    std::uint64_t offset = 0;      ///< guest bytes, a multiple of 4096
    std::vector<std::byte> bytes;  ///< whole clusters: a multiple of 4096
};

struct LayerSpec {
    Uuid uuid;
    std::uint64_t virtual_size = 0;  ///< bytes; a multiple of block_size, at most 16 TiB
    std::uint32_t block_size = 512;  ///< bytes per logical block: 512 or 4096
    Parent parent;
    std::vector<InitialBlock> initial_blocks;  ///< in rising order, not overlapping
};

/// Writes a complete, clean layer into an empty file and syncs it once. Takes about 16 KiB plus
/// the initial blocks, whatever the virtual size. The journal ring comes with the first write.
Result<void> create_layer(File& file, const LayerSpec& spec);

/// What the superblock says, without recovery.
struct LayerSummary {
    Uuid uuid;
    std::uint64_t virtual_size = 0;  ///< bytes
    std::uint32_t block_size = 512;  ///< bytes
    Parent parent;
    LayerPhase phase = LayerPhase::clean;
    std::uint64_t generation = 0;  ///< rises with every checkpoint
};

/// Reads the superblocks only; changes nothing. corrupt: neither copy is whole; unsupported: a
/// newer format.
Result<LayerSummary> inspect_layer(File& file);

struct OpenContext {
    /// Of the running kernel (/proc/sys/kernel/random/boot_id). A layer that was left open under
    /// the same one has lost nothing that was written to it.
    Uuid boot_id;
    std::optional<Uuid> expected_uuid;  ///< refused if the layer is another one
    /// A layer left open whose inode is another one was copied while it was being written.
    bool accept_copy = false;
    /// A fenced layer is refused unless somebody has looked at it.
    bool accept_fenced = false;
};

/// A layer whose map is known and whole. Movable; keeps no reference to the File.
class RecoveredLayer {
public:
    explicit RecoveredLayer(std::unique_ptr<LayerState> state);
    RecoveredLayer(RecoveredLayer&&) noexcept;
    RecoveredLayer& operator=(RecoveredLayer&&) noexcept;
    ~RecoveredLayer();

    const LayerSummary& summary() const;
    const ClusterMap& map() const;
    /// What recovery did, one sentence for the log; empty when the layer was clean.
    const std::string& recovery_note() const;
    /// Bytes of the file in use: data, map, journal.
    std::uint64_t allocated_bytes() const;

    LayerState& state() { return *state_; }
    std::unique_ptr<LayerState> take_state() &&;
    /// All that readers of a sealed layer need.
    ClusterMap take_map() &&;

private:
    std::unique_ptr<LayerState> state_;
};

/// Reads the map; a layer that was not closed properly is recovered first: its journal is replayed
/// and a checkpoint makes the result durable before this returns. May be killed or cut at any
/// step and run again. A sealed layer is never written to, a clean one only when its superblock
/// copies differ.
///
/// corrupt: the message names what does not match its checksum; nothing is guessed. refused: copied
/// while live, or fenced. unsupported: a newer format.
Result<RecoveredLayer> open_layer(File& file, const OpenContext& context);

/// Makes a layer immutable, durably: recovers it if it was left open, and gives the space of its
/// journal and what is unused back to the host. A layer that is sealed already stays as it is.
Result<void> seal_layer(File& file, const OpenContext& context);

/// Makes a sealed layer writable again, for whoever knows that nothing stands on it: the change
/// that sealed it did not come to its end.
Result<void> unseal_layer(File& file, const OpenContext& context);

/// Makes the disk larger; what is new reads as zeros. Nothing happens if it is as large already.
/// Requires: the layer is not sealed; `virtual_size` is possible (create_layer).
Result<void> grow_layer(File& file, const OpenContext& context, std::uint64_t virtual_size);

/// Makes a layer stand on nothing: what it inherits reads as zeros from then on. For whoever knows
/// that it inherits nothing else. Requires: the layer is not sealed.
Result<void> detach_layer(File& file, const OpenContext& context);

/// One layer of a chain that is read by code that may wait.
struct ChainLayer {
    const ClusterMap* map = nullptr;
    File* file = nullptr;
    std::uint64_t overlap_limit = 0;  ///< bytes of what lies below that show through
};

/// A disk as it reads: layers from the top down, then the raw base image.
struct Chain {
    std::uint64_t virtual_size = 0;  ///< bytes
    std::vector<ChainLayer> layers;
    File* base = nullptr;         ///< may be null
    std::uint64_t base_size = 0;  ///< bytes
};

/// A stretch of a disk that comes from one kind of place.
struct ChainRun {
    std::uint64_t length = 0;  ///< bytes, never 0
    bool reads_as_zeros = false;
};

/// The longest run from `offset`, at most `wanted` bytes. No I/O: holes of the base image are not
/// looked for. Requires: wanted > 0 and the range lies inside the disk.
ChainRun find_run(const Chain& chain, std::uint64_t offset, std::uint64_t wanted);

/// Fills `into` with the disk's content from `offset`. Requires: the range lies inside the disk.
Result<void> read_chain(const Chain& chain, std::uint64_t offset, MutableBytes into);

}  // namespace cowtgt
