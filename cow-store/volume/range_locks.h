#pragma once

#include <vector>

#include "cow-store/volume/operation.h"

namespace cowtgt {

/// Writes and deallocations of the same cluster go one after the other, in the order they came;
/// all others go side by side. Reads take no lock.
///
/// A queue holds at most what the initiators have outstanding (some hundreds), so looking through
/// all of it is cheaper than keeping it sorted.
class RangeLocks {
public:
    /// False: the operation waits until unlock() hands it out.
    bool lock(Operation& operation);
    /// Lets it go and moves those that can start now to `runnable`, as owners of their ranges.
    void unlock(Operation& operation, OperationQueue& runnable);
    /// Whether a change of the cluster is under way.
    bool held(std::uint64_t cluster) const;

private:
    std::vector<Operation*> held_;
    std::vector<Operation*> waiting_;
};

}  // namespace cowtgt
