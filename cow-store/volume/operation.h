#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "cow-store/block/block_device.h"
#include "cow-store/file.h"
#include "cow-store/journal/record.h"

namespace cowtgt {

/// Memory that direct I/O accepts, for one cluster.
struct alignas(4096) ClusterBuffer {
    std::array<std::byte, cluster_size> bytes;
    ClusterBuffer* pool_next = nullptr;
};

/// A request while the volume has it.
struct Operation {
    static constexpr std::uint64_t not_begun = ~std::uint64_t{0};

    BlockRequest* request = nullptr;
    std::uint64_t offset = 0;         ///< guest bytes
    std::uint64_t length = 0;         ///< bytes
    std::uint64_t first_cluster = 0;  ///< locked from here ...
    std::uint64_t end_cluster = 0;    ///< ... up to here
    /// deallocate: how far it has come
    std::uint64_t next_cluster = not_begun;
    bool fills = false;               ///< write: only where the live layer inherits
    std::uint32_t pending = 0;        ///< file operations (and whoever is still adding some)
    std::uint32_t planned_parts = 0;  ///< assignments to the map that its grant allowed for
    std::uint32_t reader_epoch = 0;   ///< reads: see Quarantine
    std::uint64_t record_mark = 0;    ///< answered when so many entries are in the journal
    BlockOutcome outcome;
    std::vector<RecordEntry> entries;  ///< new places; keeps its capacity in the pool
    Operation* next = nullptr;
    Operation* pool_next = nullptr;
};

/// One file operation of a request, or one cluster that is read, merged and written.
struct Piece {
    FileOperation io;
    void* engine = nullptr;
    Operation* operation = nullptr;
    Piece* merge = nullptr;           ///< read: the merge that waits for it; null: the request
    ClusterBuffer* buffer = nullptr;  ///< for what direct I/O cannot do in place
    MutableBytes target;              ///< read through a buffer: where the bytes belong
    std::uint32_t skip = 0;           ///< bytes of the buffer before `target` or `source`
    // Merges only:
    Bytes source;  ///< the new bytes; null data() with a size: zeros
    std::uint32_t reads_left = 0;
    int read_errno = 0;
    Piece* pool_next = nullptr;
};

/// Operations in the order they came.
class OperationQueue {
public:
    bool empty() const { return first_ == nullptr; }
    Operation* first() const { return first_; }
    void push(Operation& operation) {
        operation.next = nullptr;
        (last_ == nullptr ? first_ : last_->next) = &operation;
        last_ = &operation;
    }
    /// Requires: not empty.
    Operation& pop() {
        Operation& taken = *first_;
        first_ = taken.next;
        if (first_ == nullptr) last_ = nullptr;
        return taken;
    }
    OperationQueue take_all() {
        const OperationQueue taken = *this;
        *this = {};
        return taken;
    }

private:
    Operation* first_ = nullptr;
    Operation* last_ = nullptr;
};

}  // namespace cowtgt
