#include <algorithm>
#include <cstring>

#include "cow-store/identity/identity.h"
#include "cow-store/identity/window.h"

namespace cowtgt::identity {

namespace {

Result<Cluster> read_cluster(const BlockSource& image, std::uint64_t index) {
    Cluster cluster{ClusterIndex{index}};
    const Window window(image, index * cluster_size, cluster_size);
    Result<void> done = window.read(0, MutableBytes(cluster.bytes).first(window.length()));
    if (!done) return std::move(done).error();
    return cluster;
}

}  // namespace

Result<std::vector<Cluster>> to_clusters(const std::vector<Patch>& patches,
                                         const BlockSource& image) {
    std::vector<Cluster> clusters;
    for (const Patch& patch : patches) {
        std::uint64_t at = patch.offset;
        Bytes rest = patch.bytes;
        while (!rest.empty()) {
            const std::uint64_t index = at / cluster_size;
            CHECK(clusters.empty() || clusters.back().index.value <= index);
            if (clusters.empty() || clusters.back().index.value != index) {
                Result<Cluster> cluster = read_cluster(image, index);
                if (!cluster) return std::move(cluster).error();
                clusters.push_back(*cluster);
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
