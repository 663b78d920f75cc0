#include "cow-store/journal/record.h"

#include <cstring>

#include "cow-store/base/check.h"
#include "cow-store/base/checksum.h"

namespace cowtgt {

namespace {

constexpr std::array<std::uint8_t, 4> record_magic = {'j', 'r', 'e', 'c'};

bool is_plausible(const DiskRecord& head, std::uint64_t epoch) {
    const bool known_kind = head.kind >= static_cast<std::uint8_t>(RecordKind::tentative) &&
                            head.kind <= static_cast<std::uint8_t>(RecordKind::hashed_commit);
    return head.magic == record_magic && known_kind && head.epoch.get() == epoch &&
           head.entry_count.get() <= record_entries_max;
}

void read_entries(Bytes bytes, std::uint32_t count, Record& record) {
    for (std::uint32_t i = 0; i < count; ++i) {
        const std::byte* at = bytes.data() + i * sizeof(DiskRecordEntry);
        if (record.kind == RecordKind::hashed_commit) {
            DiskUnitHash disk;
            std::memcpy(&disk, at, sizeof disk);
            record.hashes.push_back({disk.unit.get(), disk.hash.get()});
        } else {
            DiskRecordEntry disk;
            std::memcpy(&disk, at, sizeof disk);
            record.entries.push_back(
                {disk.first_cluster.get(), disk.cluster_count.get(), disk.value.get()});
        }
    }
}

}  // namespace

std::uint64_t record_salt(const Uuid& layer, std::uint64_t epoch) {
    struct {
        std::array<std::uint8_t, 16> layer;
        le64 epoch;
    } const salted{layer.bytes, epoch};
    return xxh3_64(bytes_of_struct(salted));
}

std::uint64_t encode_record(MutableBytes into, const Record& record, const RecordBody& body,
                            std::uint64_t salt) {
    const std::size_t size = record_size(body.entry_count());
    CHECK(into.size() >= size && body.entry_count() <= record_entries_max);
    DiskRecord head{record_magic,
                    static_cast<std::uint8_t>(record.kind),
                    0,
                    static_cast<std::uint16_t>(body.entry_count()),
                    record.epoch,
                    record.sequence,
                    record.committed,
                    record.previous,
                    salt};
    std::memcpy(into.data(), &head, sizeof head);
    std::byte* at = into.data() + sizeof head;
    for (const RecordEntry& entry : body.entries) {
        const DiskRecordEntry disk{entry.first_cluster, entry.cluster_count, entry.value};
        std::memcpy(at, &disk, sizeof disk);
        at += sizeof disk;
    }
    for (const UnitHash& hash : body.hashes) {
        const DiskUnitHash disk{hash.unit, hash.hash};
        std::memcpy(at, &disk, sizeof disk);
        at += sizeof disk;
    }
    head.checksum = xxh3_64(into.first(size));
    std::memcpy(into.data(), &head, sizeof head);
    return head.checksum.get();
}

std::optional<Record> decode_record(Bytes bytes, std::uint64_t epoch, std::uint64_t salt) {
    if (bytes.size() < sizeof(DiskRecord)) return std::nullopt;
    DiskRecord head;
    std::memcpy(&head, bytes.data(), sizeof head);
    if (!is_plausible(head, epoch)) return std::nullopt;
    const std::size_t size = record_size(head.entry_count.get());
    if (bytes.size() < size) return std::nullopt;
    std::array<std::byte, record_size_max> copy;
    std::memcpy(copy.data(), bytes.data(), size);
    DiskRecord salted = head;
    salted.checksum = salt;
    std::memcpy(copy.data(), &salted, sizeof salted);
    if (xxh3_64(Bytes(copy).first(size)) != head.checksum.get()) return std::nullopt;

    Record record{static_cast<RecordKind>(head.kind),
                  head.epoch.get(),
                  head.sequence.get(),
                  head.committed.get(),
                  head.previous.get(),
                  head.checksum.get(),
                  {},
                  {}};
    read_entries(bytes.subspan(sizeof head), head.entry_count.get(), record);
    return record;
}

}  // namespace cowtgt
