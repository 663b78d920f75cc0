#pragma once

#include <cstdint>
#include <optional>
#include <span>

#include "cow-store/base/bytes.h"
#include "cow-store/base/lent_bytes.h"
#include "cow-store/base/units.h"

namespace cowtgt {

enum class BlockOperation : std::uint8_t {
    read,
    write,
    deallocate,  ///< the blocks read as zeros afterwards and need no space (UNMAP)
    flush,       ///< everything answered so far is durable afterwards
};

enum class BlockStatus : std::uint8_t {
    good,
    out_of_space,  ///< the write needed new space; nothing else is affected
    io_error,      ///< the medium failed; the data of the blocks is unknown
    fenced,        ///< an earlier sync failed: writes and flushes are refused, reads go on
    corrupt,       ///< a checksum says that the data is not what was written
};

struct BlockOutcome {
    BlockStatus status = BlockStatus::good;
    int os_errno = 0;  ///< for the log
};

/// One request to a block device.
///
/// Ownership: whoever asks owns the request and its data until `done` is called, once.
/// Threads: submitted and answered on the ring that owns the device. `done` never runs inside
/// submit(), so no caller is entered twice.
struct BlockRequest {
    BlockOperation operation = BlockOperation::read;
    bool force_unit_access = false;  ///< writes: durable before the answer (FUA, or cache off)
    Lba first_block;
    BlockCount block_count;
    bool may_be_lent = false;  ///< read: the answer may be in `lent` instead of `data`
    MutableBytes data;         ///< read, write: block_count blocks, aligned to 4096 bytes in memory
    LentBytes lent;  ///< set by the device before a good outcome, if at all: the whole range
    void (*done)(BlockRequest&, const BlockOutcome&) = nullptr;
    void* owner = nullptr;  ///< for `done`; the device does not look at it
    /// Room for the device's own book-keeping while it has the request, so that nothing is
    /// allocated per request. The caller leaves it alone.
    struct DeviceSlot {
        void* state = nullptr;
        BlockRequest* next = nullptr;
    } device_slot;
};

/// What a device is to its users. It does not change while the device is open, except that
/// block_count may grow.
struct Geometry {
    std::uint32_t block_size = 512;            ///< bytes per logical block: 512 or 4096
    std::uint32_t physical_block_size = 4096;  ///< bytes
    BlockCount block_count;
};

enum class Provisioning : std::uint8_t { mapped, deallocated, anchored };
struct ProvisioningRun {
    BlockCount block_count;
    Provisioning state = Provisioning::mapped;
};

/// A disk, without any SCSI: the LUN's medium.
class BlockDevice {
public:
    virtual ~BlockDevice() = default;
    virtual Geometry geometry() const = 0;
    /// Takes the request; it is answered through request.done, later.
    /// Requires: the range lies inside the device; a flush has no range and no data.
    virtual void submit(BlockRequest& request) = 0;
    /// How the longest run from `first` is provisioned, at most `wanted` blocks (GET LBA STATUS).
    /// No I/O.
    virtual ProvisioningRun provisioning(Lba first, BlockCount wanted) const = 0;
    /// Bytes of the medium that are this device's own; nothing: it does not know.
    virtual std::optional<std::uint64_t> allocated_bytes() const { return std::nullopt; }
    /// Bytes of the medium that it may still take; nothing: all that there are.
    virtual std::optional<std::uint64_t> available_bytes() const { return std::nullopt; }
};

}  // namespace cowtgt
