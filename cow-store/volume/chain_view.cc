#include "cow-store/volume/chain_view.h"

#include <algorithm>

#include "cow-store/base/check.h"

namespace cowtgt {

ChainPiece ChainView::find(std::uint64_t offset, std::uint64_t wanted) const {
    CHECK(wanted > 0);
    for (std::uint32_t level = 0; level < levels.size(); ++level) {
        const ClusterMap& map = *levels[level].map;
        const std::uint64_t first = offset / cluster_size;
        const std::uint64_t inside = offset % cluster_size;
        // A lower layer may be smaller than what stands on it.
        if (first >= map.cluster_count()) return {wanted};
        const std::uint64_t clusters = std::min((inside + wanted + cluster_size - 1) / cluster_size,
                                                map.cluster_count() - first);
        const Extent extent = map.find(ClusterIndex{first}, ClusterCount{clusters});
        wanted = std::min(wanted, extent.count.value * cluster_size - inside);
        if (std::holds_alternative<ReadsAsZero>(extent.place)) return {wanted};
        if (const auto* in_layer = std::get_if<InLayer>(&extent.place)) {
            return {wanted, ChainSource::layer, level, byte_offset(in_layer->unit) + inside};
        }
        const std::uint64_t limit = levels[level].overlap_limit;
        if (offset >= limit) return {wanted};
        wanted = std::min(wanted, limit - offset);
    }
    if (offset >= base_size) return {wanted};
    return {std::min(wanted, base_size - offset), ChainSource::base, 0, offset};
}

}  // namespace cowtgt
