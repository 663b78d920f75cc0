#include <spdlog/spdlog.h>

#include <algorithm>
#include <future>
#include <string>
#include <vector>

#include "target/fleet/fleet.h"

/// Quotas of instances, and the space of the store's file system.
namespace cowtgt::fleet {

/// What snapshots of its own keep is no more for the live layer. Requires: nothing of the document
/// has to be recovered.
net::SpaceQuota Fleet::quota_of(const std::string& instance, Entry& entry) {
    const std::uint64_t quota = entry.machine.quota_bytes;
    if (quota == 0) return {};
    if (const auto space = store_.space_of(instance)) entry.sealed_bytes = space->sealed_bytes;
    return {quota - std::min(quota, entry.sealed_bytes), config::low_water_of(config_, quota)};
}

void Fleet::space_freed(std::string_view name) {
    const auto found = entries_.find(name);
    if (found == entries_.end() || found->second.ring == nullptr) return;
    Entry& entry = found->second;
    entry.ring->post([ring = entry.ring, instance = found->first,
                      quota = quota_of(found->first, entry)] { ring->set_quota(instance, quota); });
}

std::vector<SpaceSeen::Quota> Fleet::quotas_in_use() const {
    std::vector<SpaceSeen::Quota> quotas;
    for (const auto& [instance, entry] : entries_) {
        if (entry.ring == nullptr || entry.machine.quota_bytes == 0) continue;
        std::promise<std::uint64_t> promise;
        auto live_bytes = promise.get_future();
        entry.ring->post([ring = entry.ring, &instance = instance, &promise] {
            promise.set_value(ring->allocated_bytes(instance));
        });
        quotas.push_back(
            {instance, entry.machine.quota_bytes, entry.sealed_bytes + live_bytes.get()});
    }
    return quotas;
}

void Fleet::look_at_space() {
    const auto pool = store_.pool();
    if (!pool) {
        spdlog::warn("space not known reason=\"{}\"", pool.error().message);
        return;
    }
    const scsi::SpaceLeft left{pool->free_bytes, config::low_water_of(config_, pool->total_bytes)};
    const bool was_low = pool_level_.is_low();
    (void)pool_level_.see(left);
    if (pool_level_.is_low() && !was_low) {
        spdlog::warn("store is low on space free={} threshold={} store={}", left.available_bytes,
                     left.threshold_bytes, config_.store.string());
    } else if (was_low && !pool_level_.is_low()) {
        spdlog::info("store has space again free={} threshold={}", left.available_bytes,
                     left.threshold_bytes);
    }
    for (const auto& ring : rings_) {
        ring->post([worker = ring.get(), left] { worker->set_pool(left); });
    }
    if (observer_ == nullptr) return;
    observer_->space_seen({pool->free_bytes, pool->total_bytes, left.threshold_bytes,
                           pool_level_.is_low(), quotas_in_use()});
}

}  // namespace cowtgt::fleet
