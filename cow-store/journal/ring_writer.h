#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <vector>

#include "cow-store/base/bytes.h"
#include "cow-store/base/uuid.h"
#include "cow-store/format/superblock.h"
#include "cow-store/journal/record.h"

namespace cowtgt {

/// Bytes to be written into the ring: two pieces where the record runs over its end.
struct RingPieces {
    struct Piece {
        std::uint64_t offset = 0;  ///< bytes from the start of the ring
        Bytes bytes;               ///< of the writer; valid until its next record
    };
    std::array<Piece, 2> pieces;
    std::uint32_t count = 0;
};

/// A place in the journal: everything before it is in the map on disk once a superblock names it.
struct RingCut {
    std::uint64_t position = 0;  ///< bytes since the ring began, without wrapping
    std::uint64_t first_sequence = 1;
    std::uint64_t previous_checksum = 0;
};

/// Forms the records of one opening of a layer and keeps account of the ring. Writes nothing.
///
/// Room for two commit records is always kept back, also behind a commit with hashes, so a flush
/// never waits for a checkpoint. Two are enough: one that names the tentative records since the
/// last one, and one that names nothing new and only confirms a commit with hashes.
class RingWriter {
public:
    /// An empty ring; origin.head is where its first record will lie.
    RingWriter(const RingOrigin& origin, const Uuid& layer);

    /// How many entries the next tentative record may have; 0: a checkpoint has to make room.
    std::uint32_t room_for_entries() const;
    /// Requires: 0 < entries.size() <= room_for_entries().
    RingPieces tentative(std::span<const RecordEntry> entries);
    /// Names all records up to `committed`, whose data the last sync made durable.
    RingPieces commit(std::uint64_t committed);
    /// Whether there is room for a commit that lists so many units, beside what is kept.
    bool has_room_for_hashes(std::size_t count) const;
    /// Names all records before it, whose data no sync has made durable yet: `hashes` are those of
    /// all units of data that were named since the commit that was confirm()ed last.
    RingPieces hashed_commit(std::span<const UnitHash> hashes);
    /// A commit record is durable; the records that follow say so too.
    void confirm(std::uint64_t committed) { confirmed_ = committed; }
    /// The highest sequence that a record in the ring calls committed: a sync proves it.
    std::uint64_t stated() const { return stated_; }

    std::uint64_t last_sequence() const { return next_sequence_ - 1; }
    std::uint64_t used_bytes() const { return tail_ - head_; }
    std::uint64_t size_bytes() const { return origin_.size_bytes(); }

    RingCut cut() const { return {tail_, next_sequence_, previous_}; }
    /// What the superblock says of a ring that begins at the cut.
    RingOrigin origin_at(const RingCut& cut) const;
    /// The superblock that names the cut is durable: what lies before may be overwritten.
    void release(const RingCut& cut) { head_ = cut.position; }

private:
    RingPieces place(RecordKind kind, std::uint64_t committed, const RecordBody& body);

    RingOrigin origin_;
    std::uint64_t salt_;
    std::uint64_t head_;  ///< bytes since the ring began
    std::uint64_t tail_;
    std::uint64_t next_sequence_;
    std::uint64_t previous_;
    std::uint64_t confirmed_;
    std::uint64_t stated_;
    std::vector<std::byte> buffer_;
};

}  // namespace cowtgt
