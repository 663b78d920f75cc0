#include <algorithm>

#include "cow-store/base/bytes.h"
#include "cow-store/base/check.h"
#include "cow-store/volume/engine.h"
#include "cow-store/volume/planted_bugs.h"

namespace cowtgt {

namespace {

/// What one turn of the loop does of a long deallocation: 64 MiB.
constexpr std::uint64_t step_clusters = 16 * clusters_per_leaf;

std::uint64_t first_whole_cluster(const Operation& operation) {
    return (operation.offset + cluster_size - 1) / cluster_size;
}

/// The last cluster of a disk may be cut; up to the end of the disk is all of it.
std::uint64_t end_of_whole_clusters(const Operation& operation, std::uint64_t virtual_size) {
    const std::uint64_t end = operation.offset + operation.length;
    return end == virtual_size ? operation.end_cluster : end / cluster_size;
}

}  // namespace

void Volume::Engine::start_deallocate(Operation& operation) {
    if (operation.next_cluster != Operation::not_begun) {
        deallocate_step(operation);
        return;
    }
    const std::uint64_t first = first_whole_cluster(operation);
    const std::uint64_t end = end_of_whole_clusters(operation, state_->superblock.virtual_size);
    const bool head = operation.first_cluster < first;
    const bool tail = end < operation.end_cluster && !(head && end < first);
    if (head && wait_for_confirmation(operation, operation.first_cluster, first)) return;
    if (tail && wait_for_confirmation(operation, end, operation.end_cluster)) return;
    const Need need{std::uint64_t{head} + std::uint64_t{tail},
                    std::uint64_t{head} + std::uint64_t{tail}};
    if (need.units > 0 && !can_grant(need, Purpose::new_data)) {
        wait_for_space(operation);
        return;
    }
    operation.planned_parts = static_cast<std::uint32_t>(need.parts);
    granted_parts_ += need.parts;
    operation.pending = 1;  // ours, until the last step
    if (head) zero_edge(operation, operation.first_cluster);
    if (tail) zero_edge(operation, end);
    operation.next_cluster = first;
    deallocate_step(operation);
}

/// A cluster that is only partly deallocated keeps the rest of its content.
void Volume::Engine::zero_edge(Operation& operation, std::uint64_t cluster) {
    if (reads_as_zeros(cluster)) return;
    const Extent extent = state_->map.find(ClusterIndex{cluster}, ClusterCount{1});
    if (const auto* in_layer = std::get_if<InLayer>(&extent.place)) {
        merge_cluster(operation, cluster, in_layer->unit);
        return;
    }
    const auto run = state_->allocator.allocate_data(1);
    CHECK(run);  // can_grant() said so
    ++units_granted_;
    operation.entries.push_back({static_cast<std::uint32_t>(cluster), 1, run->first});
    merge_cluster(operation, cluster, run->first);
}

void Volume::Engine::deallocate_step(Operation& operation) {
    const std::uint64_t end = end_of_whole_clusters(operation, state_->superblock.virtual_size);
    if (fenced_) {
        give_up(operation, {BlockStatus::fenced, fence_errno_});
        return;
    }
    if (operation.next_cluster < end) {
        const std::uint64_t count = std::min(end - operation.next_cluster, step_clusters);
        if (!can_grant({0, count / clusters_per_leaf + 2}, Purpose::freeing)) {
            wait_for_space(operation);
            return;
        }
        make_zero(operation.next_cluster, count);
        operation.next_cluster += count;
    }
    if (operation.next_cluster < end) {
        stepping_.push(operation);
        raise();
        return;
    }
    if (--operation.pending == 0) finish_change(operation);
}

/// Makes the clusters read as zeros, as one run from the first to the last that did not yet.
void Volume::Engine::make_zero(std::uint64_t cluster, std::uint64_t count) {
    std::uint64_t first = cluster + count;
    std::uint64_t end = cluster;
    std::vector<UnitRun> freed;
    for (std::uint64_t at = cluster; at < cluster + count;) {
        const ChainPiece where =
            chain_.find(at * cluster_size, (cluster + count - at) * cluster_size);
        // A cluster that is partly zeros counts as one that is not.
        const std::uint64_t part = std::max<std::uint64_t>(1, where.length / cluster_size);
        const bool zeros = where.source == ChainSource::zeros && where.length >= cluster_size;
        if (!zeros) {
            first = std::min(first, at);
            end = at + part;
        }
        if (where.source == ChainSource::layer && where.level == 0) {
            freed.push_back({static_cast<UnitNumber>(where.offset / unit_size),
                             static_cast<std::uint32_t>(part)});
        }
        at += part;
    }
    if (first >= end) return;
    named_.remove(first, end - first);
    state_->map.assign(ClusterIndex{first}, ClusterCount{end - first}, value_zero);
    add_entry(
        {static_cast<std::uint32_t>(first), static_cast<std::uint32_t>(end - first), value_zero});
    for (const UnitRun& run : freed) {
        if (planted.reuse_freed_units_at_once) {
            state_->allocator.release(run);
        } else {
            quarantine_.add(run, marks_queued_);
        }
    }
}

bool Volume::Engine::reads_as_zeros(std::uint64_t cluster) const {
    const ChainPiece where = chain_.find(cluster * cluster_size, cluster_size);
    return where.source == ChainSource::zeros && where.length == cluster_size;
}

/// Queues a change of the map for the next record.
void Volume::Engine::add_entry(const RecordEntry& entry) {
    if (!pending_entries_.empty()) {
        RecordEntry& last = pending_entries_.back();
        const bool follows = last.first_cluster + last.cluster_count == entry.first_cluster &&
                             is_data(last.value) == is_data(entry.value) &&
                             value_after(last.value, last.cluster_count) == entry.value;
        if (follows) {
            last.cluster_count += entry.cluster_count;
            return;
        }
    }
    pending_entries_.push_back(entry);
    ++marks_queued_;
}

}  // namespace cowtgt
