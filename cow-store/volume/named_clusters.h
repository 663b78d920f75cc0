#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "cow-store/journal/record.h"

/// What a commit with hashes needs to know (FORMAT.md, "Commits with hashes").
namespace cowtgt {

/// A cluster that got a unit, and what lies there.
struct NamedCluster {
    std::uint32_t cluster = 0;
    UnitHash content;
};

/// The clusters whose units the next commit names for the first time, as long as all of them, and
/// what they hold, are known.
class NamedClusters {
public:
    /// A commit that names more takes two syncs: it is rare, and hashing costs time, too.
    static constexpr std::size_t clusters_max = 128;

    bool known() const { return known_; }
    /// Requires: the cluster is not there.
    void add(const NamedCluster& named);
    void remove(std::uint64_t first, std::uint64_t count);
    /// Of one of them nobody knows what it holds: the next commit goes without hashes.
    void give_up();
    void clear();

    std::span<NamedCluster> all() { return clusters_; }
    std::span<const NamedCluster> all() const { return clusters_; }

private:
    std::vector<NamedCluster> clusters_;
    bool known_ = true;
};

/// The clusters that a commit with hashes names and that must hold what it says of them until the
/// commit is confirmed: a recovery may still compare.
class UnconfirmedClusters {
public:
    void add(std::span<const NamedCluster> named, std::uint64_t sequence);
    bool meets(std::uint64_t first, std::uint64_t end) const;
    /// Commits up to this sequence are confirmed.
    void confirmed(std::uint64_t sequence);
    bool empty() const { return clusters_.empty(); }

private:
    struct Held {
        std::uint32_t cluster = 0;
        std::uint64_t sequence = 0;
    };
    std::vector<Held> clusters_;
};

}  // namespace cowtgt
