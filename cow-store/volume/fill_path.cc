#include <algorithm>
#include <cstring>
#include <variant>

#include "cow-store/base/bytes.h"
#include "cow-store/base/check.h"
#include "cow-store/volume/engine.h"

/// Giving the live layer what lies below it, so that it can do without (flatten).
namespace cowtgt {

namespace {

/// Between two looks at whatever else there is to do.
constexpr int looked_at_once = 1024;

bool is_all_zeros(Bytes bytes) {
    return bytes.empty() || (bytes[0] == std::byte{0} &&
                             std::memcmp(bytes.data(), bytes.data() + 1, bytes.size() - 1) == 0);
}

}  // namespace

Volume::Stretch Volume::Engine::below_live(std::uint64_t offset, std::uint64_t most) const {
    const std::uint64_t size = state_->superblock.virtual_size;
    for (int looks = 0; looks < looked_at_once && offset < size; ++looks) {
        const ChainPiece piece = chain_.find(offset, size - offset);
        const bool is_below = piece.source == ChainSource::base ||
                              (piece.source == ChainSource::layer && piece.level > 0);
        if (is_below) {
            const std::uint64_t begin = round_down(offset, cluster_size);
            const std::uint64_t end = std::min(begin + most, offset + piece.length);
            return {begin, std::min(round_up(end, cluster_size), size) - begin};
        }
        offset += piece.length;
    }
    return {offset, 0};
}

/// Clusters of a fill that are still inherited and would not read as zeros without it.
std::vector<Volume::Engine::ClusterRun> Volume::Engine::runs_to_fill(
    const Operation& operation) const {
    CHECK(operation.offset % cluster_size == 0);
    std::vector<ClusterRun> runs;
    const Bytes data = operation.request->data;
    for (std::uint64_t at = operation.first_cluster; at < operation.end_cluster; ++at) {
        const Extent extent = state_->map.find(ClusterIndex{at}, ClusterCount{1});
        if (!std::holds_alternative<InParent>(extent.place)) continue;
        const std::uint64_t from = (at - operation.first_cluster) * cluster_size;
        const Bytes cluster =
            data.subspan(from, std::min<std::uint64_t>(cluster_size, operation.length - from));
        if (is_all_zeros(cluster)) continue;
        if (!runs.empty() && runs.back().first + runs.back().count == at) {
            ++runs.back().count;
        } else {
            runs.push_back({at, 1});
        }
    }
    return runs;
}

void Volume::Engine::start_fill(Operation& operation) {
    const std::vector<ClusterRun> runs = runs_to_fill(operation);
    Need need;
    for (const ClusterRun& run : runs)
        need.units += run.count;
    need.parts = need.units;
    if (need.units > 0 && !quota_allows(need.units)) {
        wait_for_quota(operation);
        return;
    }
    if (need.units > 0 && !can_grant(need, Purpose::new_data)) {
        wait_for_space(operation);
        return;
    }
    operation.planned_parts = static_cast<std::uint32_t>(need.parts);
    granted_parts_ += need.parts;
    operation.pending = 1;  // ours, until all parts are on their way
    for (const ClusterRun& run : runs)
        write_new_clusters(operation, run.first, run.count);
    if (--operation.pending == 0) finish_change(operation);
}

}  // namespace cowtgt
