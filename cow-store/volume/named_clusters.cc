#include "cow-store/volume/named_clusters.h"

#include <algorithm>

namespace cowtgt {

void NamedClusters::add(const NamedCluster& named) {
    if (!known_) return;
    if (clusters_.size() == clusters_max) {
        give_up();
        return;
    }
    clusters_.push_back(named);
}

void NamedClusters::remove(std::uint64_t first, std::uint64_t count) {
    std::erase_if(clusters_, [first, count](const NamedCluster& named) {
        return named.cluster >= first && named.cluster - first < count;
    });
}

void NamedClusters::give_up() {
    clusters_.clear();
    known_ = false;
}

void NamedClusters::clear() {
    clusters_.clear();
    known_ = true;
}

void UnconfirmedClusters::add(std::span<const NamedCluster> named, std::uint64_t sequence) {
    for (const NamedCluster& one : named)
        clusters_.push_back({one.cluster, sequence});
}

bool UnconfirmedClusters::meets(std::uint64_t first, std::uint64_t end) const {
    return std::ranges::any_of(clusters_, [first, end](const Held& held) {
        return first <= held.cluster && held.cluster < end;
    });
}

void UnconfirmedClusters::confirmed(std::uint64_t sequence) {
    std::erase_if(clusters_, [sequence](const Held& held) { return held.sequence <= sequence; });
}

}  // namespace cowtgt
