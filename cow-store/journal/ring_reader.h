#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "cow-store/base/bytes.h"
#include "cow-store/base/result.h"
#include "cow-store/base/uuid.h"
#include "cow-store/format/superblock.h"
#include "cow-store/journal/record.h"

namespace cowtgt {

enum class ReplayScope {
    everything_intact,  ///< the same kernel still runs: no write was lost
    committed_only,     ///< power may have been lost: only what a commit record names
};

struct Replay {
    std::vector<Record> records;      ///< to be applied, in order
    std::uint64_t committed = 0;      ///< records up to this sequence count for ever
    std::uint64_t next_sequence = 1;  ///< of the first record that nobody has written yet
    /// A commit with hashes, the last one, that no later record confirms: somebody has to compare
    /// what its units hold, and then to settle() it.
    std::optional<Record> in_doubt;
};

/// Reads the records from the head on, as long as they follow each other.
///
/// corrupt: a record is damaged that was known to be durable (a later one says so), or, for
/// everything_intact, one that has successors. A tail that was never committed is simply cut.
/// Requires: `ring` is the whole ring, origin.size_bytes() long.
Result<Replay> read_ring(Bytes ring, const RingOrigin& origin, const Uuid& layer,
                         ReplayScope scope);

/// Ends the doubt. `holds`: all units that the commit lists have their hashes, so that all records
/// before it count; otherwise it was never answered and is void.
/// Requires: replay.in_doubt; the scope that the ring was read with.
void settle(Replay& replay, bool holds, ReplayScope scope);

}  // namespace cowtgt
