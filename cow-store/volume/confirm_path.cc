#include <algorithm>
#include <array>
#include <optional>

#include "cow-store/base/checksum.h"
#include "cow-store/volume/engine.h"
#include "cow-store/volume/planted_bugs.h"

/// One sync for a flush that names new clusters (FORMAT.md, "Commits with hashes"): the commit is
/// written before its data is known to be durable, with what the data must be. Until a later record
/// says that its sync came back, a recovery compares, so what it names must not change.
namespace cowtgt {

namespace {

/// Of what the operation has put into the cluster, if that is all of it.
std::optional<std::uint64_t> hash_of(const Operation& operation, std::uint64_t cluster) {
    const std::uint64_t begin = cluster * cluster_size;
    const bool whole = operation.request->operation == BlockOperation::write &&
                       operation.offset <= begin &&
                       begin + cluster_size <= operation.offset + operation.length;
    if (!whole) return std::nullopt;
    return xxh3_64(operation.request->data.subspan(begin - operation.offset, cluster_size));
}

}  // namespace

/// Keeps account of what the clusters hold that the next commit names. The operation is over, and
/// its range still locked.
void Volume::Engine::note_content(const Operation& operation, bool good) {
    for (NamedCluster& named : named_.all()) {
        if (operation.fills) break;  // it leaves alone what has a unit
        if (named.cluster < operation.first_cluster || named.cluster >= operation.end_cluster) {
            continue;
        }
        const auto hash = good ? hash_of(operation, named.cluster) : std::nullopt;
        if (!hash) {
            named_.give_up();
            return;
        }
        named.content.hash = *hash;
    }
    if (!good) return;
    for (const RecordEntry& entry : operation.entries) {
        for (std::uint32_t i = 0; i < entry.cluster_count && named_.known(); ++i) {
            const std::uint32_t cluster = entry.first_cluster + i;
            if (const auto hash = hash_of(operation, cluster)) {
                named_.add({cluster, {entry.value + i, *hash}});
            } else {
                named_.give_up();
            }
        }
    }
}

/// Of a cluster that is just being overwritten nobody can say what it will hold.
bool Volume::Engine::can_commit_with_hashes() const {
    const std::span<const NamedCluster> named = named_.all();
    const auto changes = [this](const NamedCluster& one) {
        return locks_.held(one.cluster) && !planted.hash_what_changes;
    };
    return named_.known() && commits_without_hashes_ == 0 && pending_entries_.empty() &&
           ring_->has_room_for_hashes(named.size()) && std::ranges::none_of(named, changes);
}

void Volume::Engine::write_hashed_commit() {
    std::array<UnitHash, NamedClusters::clusters_max> hashes;
    const std::span<const NamedCluster> named = named_.all();
    std::ranges::transform(named, hashes.begin(), &NamedCluster::content);
    if (!append_record(ring_->hashed_commit(std::span(hashes).first(named.size())))) return;
    naming_ = ring_->last_sequence();
    unconfirmed_.add(named, naming_);
    named_.clear();
    ++statistics_.hashed_commits;
    if (planted.reuse_before_hashed_sync) quarantine_.committed(naming_);
    sync_commit(CommitStage::syncing_record, commit_synced);
}

/// A commit without hashes names all that is recorded.
void Volume::Engine::forget_named(bool names) {
    if (names && commits_without_hashes_ > 0) --commits_without_hashes_;
    named_.clear();
    if (!pending_entries_.empty() || commits_without_hashes_ > 0) named_.give_up();
}

/// True: the operation, which owns its range, is started again later.
bool Volume::Engine::wait_for_confirmation(Operation& operation, std::uint64_t first,
                                           std::uint64_t end) {
    if (planted.overwrite_unconfirmed || !unconfirmed_.meets(first, end)) return false;
    confirm_waiters_.push(operation);
    commits_without_hashes_ = options_.commits_without_hashes;
    ++statistics_.held_overwrites;
    raise();
    return true;
}

/// Commits up to this sequence count in every recovery, whatever their clusters hold.
void Volume::Engine::confirm(std::uint64_t sequence) {
    unconfirmed_.confirmed(sequence);
    OperationQueue waiters = confirm_waiters_.take_all();
    while (!waiters.empty()) {
        runnable_.push(waiters.pop());
    }
    raise();
}

}  // namespace cowtgt
