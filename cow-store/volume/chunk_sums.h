#pragma once

#include <atomic>
#include <cstdint>
#include <utility>
#include <vector>

#include "cow-store/base/bytes.h"

namespace cowtgt {

/// Sealed files are hashed in chunks of this many bytes; the last one of a file may be short.
inline constexpr std::uint64_t chunk_size = 65536;

bool is_all_zeros(Bytes bytes);
/// 0 for zeros, else the XXH3-64 of the bytes (1 in the place of a hash that is 0).
std::uint64_t chunk_hash(Bytes chunk);

/// What the chunks of a sealed file must be, for readers that do not trust the file yet.
///
/// Threads: the sums do not change; believed() may be asked on any thread.
class ChunkSums {
public:
    enum class Until { believed, for_ever };

    /// `hashes` by chunk; those behind its end are 0.
    ChunkSums(std::uint64_t file_size, std::vector<std::uint64_t> hashes, Until until)
        : file_size_(file_size), hashes_(std::move(hashes)), until_(until) {}

    std::uint64_t file_size() const { return file_size_; }  ///< bytes
    /// Requires: `chunk` is the whole chunk that begins at `offset`.
    bool matches(std::uint64_t offset, Bytes chunk) const;

    /// Somebody has compared the whole file: it need not be verified at read any more.
    void believe() { believed_.store(until_ == Until::believed, std::memory_order_relaxed); }
    bool believed() const { return believed_.load(std::memory_order_relaxed); }

private:
    std::uint64_t file_size_;
    std::vector<std::uint64_t> hashes_;
    Until until_;
    std::atomic<bool> believed_ = false;
};

}  // namespace cowtgt
