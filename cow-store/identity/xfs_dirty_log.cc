#include "cow-store/identity/xfs_dirty_log.h"

#include <algorithm>
#include <cstring>

#include "cow-store/base/checksum.h"

namespace cowtgt::identity::xfs {

namespace {

constexpr std::uint64_t words_per_header = 64;  ///< of cycles, one for each block of data
constexpr std::uint64_t extended_header_size = sizeof(be32) * (1 + words_per_header);
constexpr std::uint64_t scan_step = std::uint64_t{1} << 20;

Error half_written() {
    return {ErrorCode::refused,
            "its log was cut off while it was written (the image is not of one moment): mount and "
            "unmount it once"};
}

template <typename T>
T struct_at(Bytes bytes, std::size_t offset) {
    T value;
    std::memcpy(&value, bytes.data() + offset, sizeof(value));
    return value;
}

/// Where the text of the block `index` of a record goes while its cycle stands in its place.
MutableBytes word_of(LogRecord& record, std::uint64_t index) {
    if (index < words_per_header) {
        return std::as_writable_bytes(std::span<be32, 1>(&record.header.h_cycle_data[index], 1));
    }
    const std::uint64_t header = index / words_per_header - 1;
    const std::uint64_t at = header * basic_block + sizeof(be32) * (1 + index % words_per_header);
    return MutableBytes(record.extended).subspan(at, sizeof(be32));
}

/// The data of a record as it lies on disk; the words that make room go into its headers.
std::vector<std::byte> pack(LogRecord& record, Bytes text) {
    std::vector<std::byte> data(
        text.begin() + static_cast<std::ptrdiff_t>(record.text_begin),
        text.begin() + static_cast<std::ptrdiff_t>(record.text_begin + record.header.h_len.get()));
    for (std::uint64_t i = 0; i < record.cycles.size(); ++i) {
        std::byte* const word = data.data() + i * basic_block;
        std::memcpy(word_of(record, i).data(), word, sizeof(be32));
        std::memcpy(word, &record.cycles[i], sizeof(be32));
    }
    return data;
}

std::uint32_t checksum_of(const LogRecord& record, Bytes data) {
    CheckedRecord hashed{
        .at = record.at, .header = record.header, .hashed_size = record.hashed_size, .rest = {}};
    const std::uint64_t headers = extended_headers_of(record.header);
    for (std::uint64_t i = 0; i < headers; ++i) {
        const Bytes one = Bytes(record.extended).subspan(i * basic_block, extended_header_size);
        hashed.rest.insert(hashed.rest.end(), one.begin(), one.end());
    }
    hashed.rest.insert(hashed.rest.end(), data.begin(), data.end());
    return checksum_of(hashed);
}

/// Reads the record at `at` and appends its data to the text.
Result<void> take_record(DirtyLog& dirty, const Log& log, std::uint64_t at,
                         const std::array<std::byte, 16>& uuid) {
    const auto checked = read_record(log, at, uuid);
    if (!checked) return checked.error();
    LogRecord record{.at = at,
                     .header = checked->header,
                     .hashed_size = checked->hashed_size,
                     .extended = {},
                     .cycles = {},
                     .text_begin = dirty.text.size()};
    const std::uint64_t headers = header_blocks(record.header) * basic_block;
    const std::uint64_t length = record.header.h_len.get();
    if (dirty.text.size() + length > dirty_log_max) {
        return Error{ErrorCode::refused,
                     "its log has more to be replayed than a clone takes: mount and unmount it "
                     "once"};
    }
    auto extended = log.read(at + basic_block, headers - basic_block);
    if (!extended) return extended.error();
    record.extended = *std::move(extended);
    const auto data = log.read(at + headers, length);
    if (!data) return data.error();
    dirty.text.insert(dirty.text.end(), data->begin(), data->end());
    for (std::uint64_t i = 0; i < length / basic_block; ++i) {
        std::byte* const word = dirty.text.data() + record.text_begin + i * basic_block;
        record.cycles.push_back(struct_at<be32>(Bytes(word, sizeof(be32)), 0));
        std::memcpy(word, word_of(record, i).data(), sizeof(be32));
    }
    dirty.records.push_back(std::move(record));
    return {};
}

/// Behind the head everything must be older and before it of its cycle: then no record was half
/// written, and the kernel finds the same head.
Result<void> check_cycles(const Log& log, std::uint64_t head, std::uint32_t cycle) {
    for (std::uint64_t at = 0; at < log.length(); at += scan_step) {
        const auto piece = log.read(at, std::min(scan_step, log.length() - at));
        if (!piece) return piece.error();
        for (std::uint64_t i = 0; i + basic_block <= piece->size(); i += basic_block) {
            const std::uint32_t found = cycle_of(Bytes(*piece).subspan(i, basic_block));
            if (at + i < head ? found != cycle : found >= cycle) return half_written();
        }
    }
    return {};
}

void add_patch(std::vector<Patch>& patches, std::uint64_t log_length, std::uint64_t at,
               Bytes bytes) {
    if (bytes.empty()) return;
    at %= log_length;
    const std::uint64_t straight = std::min<std::uint64_t>(bytes.size(), log_length - at);
    const Bytes first = bytes.first(straight);
    patches.push_back({at, {first.begin(), first.end()}});
    add_patch(patches, log_length, 0, bytes.subspan(straight));
}

}  // namespace

Result<DirtyLog> read_dirty_log(const Log& log, const std::array<std::byte, 16>& uuid) {
    const Result<std::uint64_t> newest = find_newest_record(log);
    if (!newest) return newest.error();
    const auto last = read_record(log, *newest, uuid);
    if (!last) return last.error();
    const std::uint64_t end = *newest + size_of(last->header);
    const bool wraps = end >= log.length();
    Result<void> good =
        check_cycles(log, end % log.length(), last->header.h_cycle.get() + (wraps ? 1 : 0));
    if (!good) return std::move(good).error();
    DirtyLog dirty{.length = log.length(), .records = {}, .text = {}};
    std::uint64_t at = (last->header.h_tail_lsn.get() & 0xffffffff) * basic_block;
    for (std::uint64_t seen = 0;; at %= log.length()) {
        if (at >= log.length()) return half_written();
        if (Result<void> done = take_record(dirty, log, at, uuid); !done) {
            return std::move(done).error();
        }
        if (at == *newest) return dirty;
        const std::uint64_t size = size_of(dirty.records.back().header);
        at += size;
        seen += size;
        if (seen > log.length()) return half_written();
    }
}

std::vector<Patch> rewritten_records(const DirtyLog& log, const std::array<std::byte, 16>& uuid,
                                     const std::vector<std::byte>& text) {
    CHECK(text.size() == log.text.size());
    std::vector<Patch> patches;
    for (LogRecord record : log.records) {
        const auto begin = static_cast<std::ptrdiff_t>(record.text_begin);
        const auto end = begin + static_cast<std::ptrdiff_t>(record.header.h_len.get());
        const bool is_same =
            std::equal(text.begin() + begin, text.begin() + end, log.text.begin() + begin);
        record.header.h_fs_uuid = uuid;
        const std::vector<std::byte> data = pack(record, text);
        if (record.hashed_size != 0) record.header.h_crc = checksum_of(record, data);
        add_patch(patches, log.length, record.at, bytes_of_struct(record.header));
        if (is_same) continue;
        add_patch(patches, log.length, record.at + basic_block, record.extended);
        add_patch(patches, log.length, record.at + basic_block + record.extended.size(), data);
    }
    std::ranges::sort(patches, {}, &Patch::offset);
    return patches;
}

}  // namespace cowtgt::identity::xfs
