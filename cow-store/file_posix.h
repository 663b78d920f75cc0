#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>

#include "cow-store/base/result.h"
#include "cow-store/descriptor.h"
#include "cow-store/file.h"

namespace cowtgt {

/// Opens with O_CLOEXEC added, so that no child process keeps a lock of ours alive. `mode` is that
/// of a file made by O_CREAT.
Result<Descriptor> open_descriptor(const std::filesystem::path& path, int flags,
                                   unsigned mode = 0600);

/// Reads up to `into.size()` bytes at `offset`, fewer only at the end of the file.
Result<std::size_t> read_some_at(int fd, std::uint64_t offset, MutableBytes into,
                                 const std::string& name);
/// Writes all of `from` at `offset`.
Result<void> write_all_at(int fd, std::uint64_t offset, Bytes from, const std::string& name);

/// File over system calls: regular files and block devices.
///
/// Ownership: owns its descriptor.
/// Errors: messages begin with what was being done and the name given at construction.
class PosixFile final : public File {
public:
    PosixFile(Descriptor descriptor, std::string name);
    /// Opens `path` with `flags` of open(2).
    static Result<std::unique_ptr<PosixFile>> open(const std::filesystem::path& path, int flags,
                                                   unsigned mode = 0600);

    Result<void> read_at(std::uint64_t offset, MutableBytes into) override;
    Result<void> write_at(std::uint64_t offset, Bytes from) override;
    Result<void> allocate(std::uint64_t offset, std::uint64_t length) override;
    Result<void> punch_hole(std::uint64_t offset, std::uint64_t length) override;
    Result<void> sync_data() override;
    Result<void> drop_cache() override;
    Result<std::uint64_t> size() override;
    std::uint64_t inode() const override { return inode_; }

    int descriptor() const { return descriptor_.get(); }
    /// Gives the descriptor away; the file is of no use afterwards.
    Descriptor release() { return std::move(descriptor_); }

private:
    Result<void> write_zeros(std::uint64_t offset, std::uint64_t length);

    Descriptor descriptor_;
    std::string name_;
    std::uint64_t inode_ = 0;
    bool is_device_ = false;
};

/// Takes an exclusive lock on [offset, offset + 1) that belongs to the open file description, not
/// to the process: it lasts until every descriptor and every request in the kernel that uses the
/// description is gone, so even a killed process holds it while its last writes are under way.
/// Requires: `fd` is open for writing.
/// Returns false when another description still holds the lock after `patience`.
Result<bool> lock_description(int fd, std::uint64_t offset, std::chrono::milliseconds patience,
                              const std::string& name);

/// What direct I/O demands of the file (STATX_DIOALIGN), 4096 for both where the kernel is too old
/// to say, nothing when the file has no direct I/O. `fd` is open with O_DIRECT.
std::optional<DirectIoAlignment> direct_io_alignment(int fd);

}  // namespace cowtgt
