#include "cow-store/volume/chain_view.h"

#include <algorithm>

#include "cow-store/base/check.h"

namespace cowtgt {

namespace {

/// What a map says about bytes from `offset` on.
struct Found {
    std::uint64_t length = 0;  ///< bytes, at most those that were wanted; 0: beyond the map
    Extent extent;
};

template <typename Map>
Found find_bytes(const Map& map, std::uint64_t offset, std::uint64_t wanted) {
    const std::uint64_t first = offset / cluster_size;
    const std::uint64_t inside = offset % cluster_size;
    if (first >= map.cluster_count()) return {};
    const std::uint64_t clusters =
        std::min((inside + wanted + cluster_size - 1) / cluster_size, map.cluster_count() - first);
    const Extent extent = map.find(ClusterIndex{first}, ClusterCount{clusters});
    return {std::min(wanted, extent.count.value * cluster_size - inside), extent};
}

}  // namespace

ChainPiece ChainView::find(std::uint64_t offset, std::uint64_t wanted) const {
    CHECK(wanted > 0);
    for (std::uint32_t level = 0; level < levels.size(); ++level) {
        if (level == 1 && merged != nullptr) return find_merged(offset, wanted);
        const Found found = find_bytes(*levels[level].map, offset, wanted);
        // A lower layer may be smaller than what stands on it.
        if (found.length == 0) return {wanted};
        wanted = found.length;
        if (std::holds_alternative<ReadsAsZero>(found.extent.place)) return {wanted};
        if (const auto* in_layer = std::get_if<InLayer>(&found.extent.place)) {
            return {wanted, ChainSource::layer, level,
                    byte_offset(in_layer->unit) + offset % cluster_size};
        }
        const std::uint64_t limit = levels[level].overlap_limit;
        if (offset >= limit) return {wanted};
        wanted = std::min(wanted, limit - offset);
    }
    return find_in_base(offset, wanted);
}

ChainPiece ChainView::find_merged(std::uint64_t offset, std::uint64_t wanted) const {
    const Found found = find_bytes(*merged, offset, wanted);
    if (found.length == 0) return {wanted};
    if (std::holds_alternative<ReadsAsZero>(found.extent.place)) return {found.length};
    if (const auto* in_layer = std::get_if<InLayer>(&found.extent.place)) {
        const MergedMap::InLevel place = merged->locate(in_layer->unit);
        return {found.length, ChainSource::layer, 1 + place.level,
                byte_offset(place.unit) + offset % cluster_size};
    }
    return find_in_base(offset, found.length);
}

ChainPiece ChainView::find_in_base(std::uint64_t offset, std::uint64_t wanted) const {
    if (offset >= base_size) return {wanted};
    return {std::min(wanted, base_size - offset), ChainSource::base, 0, offset};
}

}  // namespace cowtgt
