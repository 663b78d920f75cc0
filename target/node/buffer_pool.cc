#include "target/node/buffer_pool.h"

#include <bit>
#include <cstdlib>
#include <new>

#include "cow-store/base/check.h"

namespace cowtgt::node {

BufferPool::~BufferPool() {
    CHECK(taken_bytes_ == 0);
    trim();
}

std::size_t BufferPool::class_of(std::size_t bytes) {
    if (bytes <= smallest) return 0;
    return static_cast<std::size_t>(std::bit_width((bytes - 1) / smallest));
}

MutableBytes BufferPool::take(std::size_t bytes) {
    CHECK(bytes != 0 && bytes <= buffer_bytes_max);
    const std::size_t index = class_of(bytes);
    const std::size_t size = smallest << index;
    if (taken_bytes_ + size > limit_bytes_) return {};
    if (kept_[index].empty()) {
        if (taken_bytes_ + kept_bytes_ + size > limit_bytes_) trim();
        auto* memory = static_cast<std::byte*>(std::aligned_alloc(smallest, size));
        if (memory == nullptr) return {};
        taken_bytes_ += size;
        return {memory, size};
    }
    std::byte* memory = kept_[index].back();
    kept_[index].pop_back();
    kept_bytes_ -= size;
    taken_bytes_ += size;
    return {memory, size};
}

void BufferPool::give_back(MutableBytes buffer) {
    const std::size_t index = class_of(buffer.size());
    CHECK(buffer.size() == smallest << index && taken_bytes_ >= buffer.size());
    taken_bytes_ -= buffer.size();
    kept_bytes_ += buffer.size();
    kept_[index].push_back(buffer.data());
    while (!waiting_.empty()) {
        Waiter& first = *waiting_.front();
        const MutableBytes granted = take(first.bytes);
        if (granted.empty()) return;
        waiting_.pop_front();
        first.ready(first, granted);
    }
}

void BufferPool::trim() {
    for (auto& kept : kept_) {
        for (std::byte* memory : kept) {
            std::free(memory);
        }
        kept.clear();
        kept.shrink_to_fit();
    }
    kept_bytes_ = 0;
}

}  // namespace cowtgt::node
