#include "cow-store/journal/ring_writer.h"

#include <algorithm>

#include "cow-store/base/check.h"

namespace cowtgt {

namespace {

constexpr std::uint64_t kept_for_commits = 2 * sizeof(DiskRecord);

}  // namespace

RingWriter::RingWriter(const RingOrigin& origin, const Uuid& layer)
    : origin_(origin),
      salt_(record_salt(layer, origin.epoch)),
      head_(origin.head),
      tail_(origin.head),
      next_sequence_(origin.first_sequence),
      previous_(origin.previous_checksum),
      confirmed_(origin.first_sequence - 1),
      stated_(confirmed_),
      buffer_(record_size_max) {}

std::uint32_t RingWriter::room_for_entries() const {
    const std::uint64_t unused = size_bytes() - used_bytes();
    if (unused < kept_for_commits + record_size(1)) return 0;
    const std::uint64_t fit =
        (unused - kept_for_commits - record_size(0)) / sizeof(DiskRecordEntry);
    // A quarter of the ring at most, so that tiny rings still hold several records.
    const std::uint64_t fair =
        std::max<std::uint64_t>(1, size_bytes() / 4 / sizeof(DiskRecordEntry));
    return static_cast<std::uint32_t>(std::min({fit, fair, std::uint64_t{record_entries_max}}));
}

RingPieces RingWriter::tentative(std::span<const RecordEntry> entries) {
    CHECK(!entries.empty() && entries.size() <= room_for_entries());
    return place(RecordKind::tentative, confirmed_, {entries, {}});
}

RingPieces RingWriter::commit(std::uint64_t committed) {
    CHECK(committed <= last_sequence() && used_bytes() + sizeof(DiskRecord) <= size_bytes());
    return place(RecordKind::commit, committed, {});
}

bool RingWriter::has_room_for_hashes(std::size_t count) const {
    const std::uint64_t size = record_size(count);
    // The same fair part as above.
    return size <= size_bytes() / 4 && used_bytes() + size + kept_for_commits <= size_bytes();
}

RingPieces RingWriter::hashed_commit(std::span<const UnitHash> hashes) {
    CHECK(has_room_for_hashes(hashes.size()));
    return place(RecordKind::hashed_commit, confirmed_, {{}, hashes});
}

RingOrigin RingWriter::origin_at(const RingCut& cut) const {
    RingOrigin origin = origin_;
    origin.head = cut.position % size_bytes();
    origin.first_sequence = cut.first_sequence;
    origin.previous_checksum = cut.previous_checksum;
    return origin;
}

RingPieces RingWriter::place(RecordKind kind, std::uint64_t committed, const RecordBody& body) {
    const Record head{kind, origin_.epoch, next_sequence_, committed, previous_, 0, {}, {}};
    previous_ = encode_record(buffer_, head, body, salt_);
    stated_ = std::max(stated_, committed);
    const std::uint64_t size = record_size(body.entry_count());
    const std::uint64_t offset = tail_ % size_bytes();
    const std::uint64_t before_end = std::min(size, size_bytes() - offset);
    const Bytes all = Bytes(buffer_).first(size);
    RingPieces pieces;
    pieces.pieces[0] = {offset, all.first(before_end)};
    pieces.count = 1;
    if (before_end < size) {
        pieces.pieces[1] = {0, all.subspan(before_end)};
        pieces.count = 2;
    }
    tail_ += size;
    ++next_sequence_;
    return pieces;
}

}  // namespace cowtgt
