#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <vector>

#include "cow-store/base/bytes.h"
#include "cow-store/base/endian.h"
#include "cow-store/base/result.h"
#include "target/control/output.h"

namespace cowtgt::control {

/// A disk as a qcow2 image, version 3, without compression, snapshots or a backing file (QEMU,
/// docs/interop/qcow2.txt). What is zero takes no space in it.
///
/// The data is written as it comes; the tables that say where it is follow at the end, and the
/// header last, so an unfinished file is no image.
/// Memory: 8 bytes for each 64 KiB of the disk, in pieces of 512 MiB that have data.
/// Ownership: the descriptor, of an empty regular file, stays the caller's.
class Qcow2Output final : public DiskOutput {
public:
    Qcow2Output(int descriptor, std::uint64_t size_bytes, std::function<bool()> is_cancelled);

    Result<void> begin() override;
    Result<void> write(std::uint64_t offset, Bytes bytes) override;
    Result<void> end() override;

private:
    using L2Table = std::vector<be64>;

    be64& l2_entry(std::uint64_t cluster);
    Result<void> write_refcounts(std::uint64_t first_free);
    Result<void> put(std::uint64_t offset, Bytes bytes);

    int descriptor_;
    std::uint64_t size_bytes_;
    std::function<bool()> is_cancelled_;
    std::uint64_t next_cluster_ = 1;  ///< of the file, free from there on; 0 is the header's
    std::map<std::uint64_t, L2Table> l2_tables_;  ///< by their place in the L1 table
    std::uint64_t refcount_offset_ = 0;           ///< bytes
    std::uint64_t refcount_clusters_ = 0;         ///< of the table
};

}  // namespace cowtgt::control
