#include <algorithm>
#include <cstring>

#include "cow-store/identity/identity.h"
#include "cow-store/identity/window.h"

namespace cowtgt::identity {

namespace {

/// What is allocated at once: clusters that move when a vector grows cost more than reading them.
std::size_t clusters_touched(const std::vector<Patch>& patches) {
    std::size_t count = 0;
    std::uint64_t first_uncounted = 0;
    for (const Patch& patch : patches) {
        if (patch.bytes.empty()) continue;
        const std::uint64_t first = std::max(first_uncounted, patch.offset / cluster_size);
        const std::uint64_t last = (patch.offset + patch.bytes.size() - 1) / cluster_size;
        if (last >= first) count += last - first + 1;
        first_uncounted = last + 1;
    }
    return count;
}

Result<void> read_cluster(const BlockSource& image, Cluster& into) {
    const Window window(image, into.index.value * cluster_size, cluster_size);
    return window.read(0, MutableBytes(into.bytes).first(window.length()));
}

}  // namespace

Result<std::vector<Cluster>> to_clusters(const std::vector<Patch>& patches,
                                         const BlockSource& image) {
    std::vector<Cluster> clusters;
    clusters.reserve(clusters_touched(patches));
    for (const Patch& patch : patches) {
        std::uint64_t at = patch.offset;
        Bytes rest = patch.bytes;
        while (!rest.empty()) {
            const std::uint64_t index = at / cluster_size;
            CHECK(clusters.empty() || clusters.back().index.value <= index);
            if (clusters.empty() || clusters.back().index.value != index) {
                Cluster& cluster = clusters.emplace_back();
                cluster.index = ClusterIndex{index};
                Result<void> done = read_cluster(image, cluster);
                if (!done) return std::move(done).error();
            }
            const std::size_t within = at % cluster_size;
            const std::size_t count = std::min<std::size_t>(rest.size(), cluster_size - within);
            std::memcpy(clusters.back().bytes.data() + within, rest.data(), count);
            rest = rest.subspan(count);
            at += count;
        }
    }
    return clusters;
}

}  // namespace cowtgt::identity
