#pragma once

#include <array>
#include <cstdint>
#include <deque>
#include <vector>

#include "cow-store/base/bytes.h"

namespace cowtgt::node {

/// Memory for the data of commands: powers of two from 4 KiB, aligned to 4096 bytes, kept for
/// reuse.
///
/// Threads: one ring's. Errors: take() answers with an empty span when the limit is reached; the
/// command then waits in line, which is how a peer's demand for memory is bounded.
class BufferPool {
public:
    /// A place in the line for memory. Ownership: the caller's, until `ready` or leave().
    struct Waiter {
        std::size_t bytes = 0;
        void (*ready)(Waiter&, MutableBytes) = nullptr;
        void* owner = nullptr;
    };

    explicit BufferPool(std::size_t limit_bytes) : limit_bytes_(limit_bytes) {}
    ~BufferPool();
    BufferPool(const BufferPool&) = delete;
    BufferPool& operator=(const BufferPool&) = delete;

    /// At least `bytes` of memory with any content, or nothing.
    /// Requires: 0 < bytes <= buffer_bytes_max.
    MutableBytes take(std::size_t bytes);
    /// Takes back what take() gave, whole.
    /// Serves who waits, in order, before it returns.
    void give_back(MutableBytes buffer);
    void wait(Waiter& waiter) { waiting_.push_back(&waiter); }
    void leave(Waiter& waiter) { std::erase(waiting_, &waiter); }
    /// Hands memory that nobody uses back to the system; for quiet times.
    void trim();

    std::size_t taken_bytes() const { return taken_bytes_; }
    static constexpr std::size_t buffer_bytes_max = 16U << 20;

private:
    static constexpr std::size_t smallest = 4096;
    static constexpr std::size_t classes = 13;  ///< 4 KiB .. 16 MiB
    static std::size_t class_of(std::size_t bytes);

    std::size_t limit_bytes_;
    std::size_t taken_bytes_ = 0;
    std::size_t kept_bytes_ = 0;
    std::array<std::vector<std::byte*>, classes> kept_;
    std::deque<Waiter*> waiting_;
};

}  // namespace cowtgt::node
