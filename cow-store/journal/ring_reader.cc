#include "cow-store/journal/ring_reader.h"

#include <algorithm>
#include <string>
#include <utility>

#include "cow-store/base/check.h"

namespace cowtgt {

namespace {

/// The ring turned so that the head comes first; records may run over the end of the ring, but not
/// over this one's.
std::vector<std::byte> unrolled(Bytes ring, std::uint64_t head) {
    std::vector<std::byte> bytes(ring.begin() + static_cast<std::ptrdiff_t>(head), ring.end());
    bytes.insert(bytes.end(), ring.begin(), ring.begin() + static_cast<std::ptrdiff_t>(head));
    return bytes;
}

/// What can be found behind the place where the chain ends.
struct Remains {
    std::uint64_t sequence_max = 0;
    std::uint64_t committed_max = 0;
};

Remains look_behind(Bytes bytes, std::uint64_t from, std::uint64_t epoch, std::uint64_t salt) {
    Remains remains;
    std::uint64_t at = from;
    while (at + sizeof(DiskRecord) <= bytes.size()) {
        const auto record = decode_record(bytes.subspan(at), epoch, salt);
        if (!record) {
            at += 4;  // records begin at multiples of 4
            continue;
        }
        remains.sequence_max = std::max(remains.sequence_max, record->sequence);
        remains.committed_max = std::max(remains.committed_max, record->committed);
        at += record_size(record->entry_count());
    }
    return remains;
}

void cut_behind(std::uint64_t committed, std::vector<Record>& records) {
    std::erase_if(records,
                  [committed](const Record& record) { return record.sequence > committed; });
}

}  // namespace

Result<Replay> read_ring(Bytes ring, const RingOrigin& origin, const Uuid& layer,
                         ReplayScope scope) {
    CHECK(ring.size() == origin.size_bytes() && origin.head < ring.size());
    const std::vector<std::byte> linear = unrolled(ring, origin.head);
    const Bytes bytes = linear;
    const std::uint64_t salt = record_salt(layer, origin.epoch);

    Replay replay{{}, origin.first_sequence - 1, origin.first_sequence, {}};
    std::uint64_t previous = origin.previous_checksum;
    std::uint64_t at = 0;
    while (true) {
        auto record = decode_record(bytes.subspan(at), origin.epoch, salt);
        if (!record || record->sequence != replay.next_sequence || record->previous != previous) {
            break;
        }
        at += record_size(record->entry_count());
        previous = record->checksum;
        replay.committed = std::max(replay.committed, record->committed);
        ++replay.next_sequence;
        if (record->kind == RecordKind::hashed_commit) replay.in_doubt = *record;
        replay.records.push_back(std::move(*record));
    }
    if (replay.in_doubt && replay.in_doubt->sequence <= replay.committed) replay.in_doubt.reset();

    const Remains remains = look_behind(bytes, at, origin.epoch, salt);
    const bool was_durable = remains.committed_max >= replay.next_sequence;
    const bool has_successor = remains.sequence_max >= replay.next_sequence;
    if (was_durable || (scope == ReplayScope::everything_intact && has_successor)) {
        return Error{ErrorCode::corrupt,
                     "journal: record " + std::to_string(replay.next_sequence) +
                         " is damaged, but later ones are whole",
                     0};
    }
    if (scope == ReplayScope::committed_only) {
        cut_behind(replay.in_doubt ? replay.in_doubt->sequence : replay.committed, replay.records);
    }
    return replay;
}

void settle(Replay& replay, bool holds, ReplayScope scope) {
    CHECK(replay.in_doubt);
    if (holds) replay.committed = replay.in_doubt->sequence;
    replay.in_doubt.reset();
    if (scope == ReplayScope::committed_only) cut_behind(replay.committed, replay.records);
}

}  // namespace cowtgt
