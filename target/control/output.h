#pragma once

#include <cstdint>
#include <functional>
#include <memory>

#include "cow-store/base/bytes.h"
#include "cow-store/base/result.h"

namespace cowtgt::control {

/// A format in which a disk is written out.
class DiskOutput {
public:
    virtual ~DiskOutput() = default;
    /// Before the first byte.
    virtual Result<void> begin() = 0;
    /// In order; what lies between two calls is zero.
    virtual Result<void> write(std::uint64_t offset, Bytes bytes) = 0;
    /// What is still missing, and a sync where there is something to sync.
    virtual Result<void> end() = 0;
};

enum class ExportFormat : std::uint8_t { raw, qcow2 };

/// `descriptor` stays the caller's. `is_cancelled` is asked now and then.
std::unique_ptr<DiskOutput> make_output(ExportFormat format, int descriptor,
                                        std::uint64_t size_bytes,
                                        std::function<bool()> is_cancelled);

/// Where a raw export goes: a descriptor that the user opened, in the command or in the daemon.
///
/// A regular file gets holes where the disk has zeros; a block device, a pipe or a socket gets the
/// zeros, and so does a file that is appended to or already has something before this.
/// Ownership: the descriptor stays the caller's.
class ExportOutput final : public DiskOutput {
public:
    /// `is_cancelled` is asked now and then while a pipe or socket takes nothing.
    ExportOutput(int descriptor, std::uint64_t size_bytes, std::function<bool()> is_cancelled);

    /// A regular file gets its final size.
    Result<void> begin() override;
    Result<void> write(std::uint64_t offset, Bytes bytes) override;
    /// The zeros at the end, and a sync where there is something to sync. The position of a file
    /// is behind the export then, as if it had been written through.
    Result<void> end() override;

private:
    Result<void> write_zeros_up_to(std::uint64_t offset);
    Result<void> write_stream(Bytes bytes);
    Result<void> await_room();

    int descriptor_;
    std::uint64_t size_bytes_;
    std::function<bool()> is_cancelled_;
    std::uint64_t position_ = 0;  ///< bytes that are written
    enum class Kind { file, device, stream } kind_ = Kind::stream;
};

}  // namespace cowtgt::control
