#pragma once

#include <cstdint>
#include <span>
#include <string>

#include "cow-store/base/bytes.h"
#include "cow-store/base/lent_bytes.h"
#include "cow-store/base/result.h"

/// The one seam between the store and the outside world. There are two pairs of implementations:
/// system calls and io_uring for real, and the simulator, which can cut the power at every step.
namespace cowtgt {

/// A file for code that may wait: import, clone, recovery, commands.
///
/// Durability: write_at and allocate are in the kernel when they return and survive the death of
/// the process; they survive power loss only after a later sync_data.
/// Threads: one at a time.
class File {
public:
    virtual ~File() = default;
    /// Fills `into`; bytes past the end of the file read as zeros.
    virtual Result<void> read_at(std::uint64_t offset, MutableBytes into) = 0;
    virtual Result<void> write_at(std::uint64_t offset, Bytes from) = 0;
    /// Reserves space for [offset, offset + length), which reads as zeros where nothing was
    /// written; extends the file. no_space when there is none.
    virtual Result<void> allocate(std::uint64_t offset, std::uint64_t length) = 0;
    /// Gives the space back; the range reads as zeros afterwards.
    virtual Result<void> punch_hole(std::uint64_t offset, std::uint64_t length) = 0;
    virtual Result<void> sync_data() = 0;
    /// What is in the page cache and need not be written is read from the disk again afterwards.
    virtual Result<void> drop_cache() = 0;
    virtual Result<std::uint64_t> size() = 0;
    /// Which file this is as long as the host runs (inode number; 0 for a device).
    virtual std::uint64_t inode() const = 0;
};

/// What direct I/O demands (statx STATX_DIOALIGN). Both are powers of two.
struct DirectIoAlignment {
    std::uint32_t memory = 4096;  ///< bytes
    std::uint32_t offset = 4096;  ///< bytes; also of lengths
};

struct FileOperation {
    enum class Kind : std::uint8_t { read, write, sync_data, allocate, punch_hole };

    Kind kind = Kind::read;
    std::uint64_t offset = 0;  ///< bytes
    std::uint64_t length = 0;  ///< bytes; read and write: data.size()
    MutableBytes data;         ///< read: filled; write: sent. Valid until done
    /// Once, from the loop, never inside submit. `os_errno` is 0 or what failed; short reads past
    /// the end of the file are filled up with zeros, short writes are gone on with, so success
    /// always means all of it.
    void (*done)(FileOperation&, int os_errno) = nullptr;
    void* owner = nullptr;
    FileOperation* next = nullptr;  ///< for whoever has the operation at the moment
    std::uint64_t transferred = 0;  ///< the file's own: bytes done so far
};

/// A file for code that must not wait: the data path on a ring.
///
/// Threads: the ring's own only.
/// Ownership: the caller owns an operation and its data until `done`.
class AsyncFile {
public:
    virtual ~AsyncFile() = default;
    virtual void submit(FileOperation& operation) = 0;
    /// Reads now if that needs no waiting (page cache); false when it would wait or failed, and
    /// then `into` is unspecified and submit() is the way.
    virtual bool read_now(std::uint64_t offset, MutableBytes into) = 0;
    /// The bytes themselves, if they will never change and are in memory just now; else nothing,
    /// and reading is the way.
    virtual LentBytes lend(std::uint64_t, std::uint64_t) { return {}; }
    /// Writes through the kernel's page cache now: afterwards the bytes survive the death of the
    /// process, and power loss after the next sync_data. For the small records of the journal;
    /// never for a range that submitted writes also go to. Returns 0 or the errno.
    virtual int append_now(std::uint64_t offset, Bytes from) = 0;
    virtual DirectIoAlignment alignment() const = 0;
};

}  // namespace cowtgt
