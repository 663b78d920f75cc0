#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "cow-store/base/bytes.h"
#include "cow-store/base/endian.h"
#include "cow-store/base/uuid.h"
#include "cow-store/format/units.h"

/// Records of the journal (FORMAT.md, "Journal").
namespace cowtgt {

enum class RecordKind : std::uint8_t {
    tentative = 1,      ///< what a batch of writes changed; counts when the host kept running
    commit = 2,         ///< all records up to `committed` have durable data, and count for ever
    hashed_commit = 3,  ///< the same of all before it, if the listed units have their hashes
};

struct DiskRecord {
    std::array<std::uint8_t, 4> magic;  ///< "jrec"
    std::uint8_t kind;
    std::uint8_t reserved_5;
    le16 entry_count;
    le64 epoch;
    le64 sequence;   ///< rises by one
    le64 committed;  ///< records up to this sequence are known to be durable with their data
    le64 previous;   ///< checksum of the record before
    le64 checksum;   ///< xxh3 of all bytes of the record, with record_salt() in this place
};
static_assert(sizeof(DiskRecord) == 48 && alignof(DiskRecord) == 1);

struct DiskRecordEntry {
    le32 first_cluster;
    le32 cluster_count;
    le32 value;  ///< MapValue of the first cluster
};
static_assert(sizeof(DiskRecordEntry) == 12 && alignof(DiskRecordEntry) == 1);

/// What a commit with hashes says of a unit; as long as an entry.
struct DiskUnitHash {
    le32 unit;
    le64 hash;  ///< xxh3 of its 4096 bytes
};
static_assert(sizeof(DiskUnitHash) == sizeof(DiskRecordEntry) && alignof(DiskUnitHash) == 1);

/// Clusters whose place changed.
struct RecordEntry {
    std::uint32_t first_cluster = 0;
    std::uint32_t cluster_count = 0;
    MapValue value = value_inherit;
    friend bool operator==(const RecordEntry&, const RecordEntry&) = default;
};

struct UnitHash {
    UnitNumber unit = 0;
    std::uint64_t hash = 0;
    friend bool operator==(const UnitHash&, const UnitHash&) = default;
};

struct Record {
    RecordKind kind = RecordKind::tentative;
    std::uint64_t epoch = 0;
    std::uint64_t sequence = 0;
    std::uint64_t committed = 0;
    std::uint64_t previous = 0;
    std::uint64_t checksum = 0;        ///< set by encoding and decoding
    std::vector<RecordEntry> entries;  ///< of a tentative record
    std::vector<UnitHash> hashes;      ///< of a commit with hashes

    std::size_t entry_count() const { return entries.size() + hashes.size(); }
};

/// What a record is encoded from, without vectors; of one kind of entries at most there are any.
struct RecordBody {
    std::span<const RecordEntry> entries;
    std::span<const UnitHash> hashes;

    std::size_t entry_count() const { return entries.size() + hashes.size(); }
};

/// No record is longer, so that a search for records stays linear.
inline constexpr std::uint32_t record_entries_max = 2048;
inline constexpr std::size_t record_size_max =
    sizeof(DiskRecord) + record_entries_max * sizeof(DiskRecordEntry);

constexpr std::size_t record_size(std::size_t entry_count) {
    return sizeof(DiskRecord) + entry_count * sizeof(DiskRecordEntry);
}

/// Ties records to one layer and one opening of it.
std::uint64_t record_salt(const Uuid& layer, std::uint64_t epoch);

/// Writes the record, with the entries of `body`, to the front of `into` and returns its checksum.
/// Requires: room for it, at most record_entries_max entries.
std::uint64_t encode_record(MutableBytes into, const Record& record, const RecordBody& body,
                            std::uint64_t salt);

/// The record at the front of `bytes` if it is whole and of this epoch. Says nothing about its
/// place in the chain.
std::optional<Record> decode_record(Bytes bytes, std::uint64_t epoch, std::uint64_t salt);

}  // namespace cowtgt
