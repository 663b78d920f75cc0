#include "cow-store/volume/range_locks.h"

#include <algorithm>
#include <span>

#include "cow-store/base/check.h"

namespace cowtgt {

namespace {

bool meets(std::span<Operation* const> others, const Operation& operation) {
    return std::ranges::any_of(others, [&operation](const Operation* other) {
        return operation.first_cluster < other->end_cluster &&
               other->first_cluster < operation.end_cluster;
    });
}

}  // namespace

bool RangeLocks::lock(Operation& operation) {
    if (meets(held_, operation) || meets(waiting_, operation)) {
        waiting_.push_back(&operation);
        return false;
    }
    held_.push_back(&operation);
    return true;
}

void RangeLocks::unlock(Operation& operation, OperationQueue& runnable) {
    const auto at = std::ranges::find(held_, &operation);
    CHECK(at != held_.end());
    *at = held_.back();
    held_.pop_back();
    for (std::size_t i = 0; i < waiting_.size();) {
        Operation* candidate = waiting_[i];
        const std::span<Operation* const> before(waiting_.data(), i);
        if (meets(held_, *candidate) || meets(before, *candidate)) {
            ++i;
            continue;
        }
        waiting_.erase(waiting_.begin() + static_cast<std::ptrdiff_t>(i));
        held_.push_back(candidate);
        runnable.push(*candidate);
    }
}

bool RangeLocks::held(std::uint64_t cluster) const {
    return std::ranges::any_of(held_, [cluster](const Operation* other) {
        return other->first_cluster <= cluster && cluster < other->end_cluster;
    });
}

}  // namespace cowtgt
