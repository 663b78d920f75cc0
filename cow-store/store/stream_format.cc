#include "cow-store/store/stream_format.h"

#include <algorithm>
#include <cstring>

#include "cow-store/base/check.h"
#include "cow-store/base/checksum.h"
#include "cow-store/base/units.h"
#include "cow-store/store/image_input.h"

namespace cowtgt::store {

namespace {

constexpr std::array<std::uint8_t, 4> record_magic = {'s', 'r', 'e', 'c'};
constexpr std::array<std::uint8_t, 8> stream_magic = {'c', 'o', 'w', 's', 't', 'r', 'm', '1'};
constexpr std::uint64_t document_bytes_max = std::uint64_t{1} << 20;

/// What a stream begins with; the document follows.
struct StreamHead {
    std::array<std::uint8_t, 8> magic;
    le64 document_bytes;
};
static_assert(sizeof(StreamHead) == 16 && alignof(StreamHead) == 1);

/// What the checksum of a record is over.
struct Summed {
    le64 previous;
    std::array<std::byte, offsetof(StreamRecord, checksum)> record;
    le64 payload;  ///< its checksum; 0: there is none
};
static_assert(sizeof(Summed) == 40 && alignof(Summed) == 1);

Error broken(std::uint64_t position, const std::string& what) {
    return Error{ErrorCode::corrupt, "the stream is damaged behind byte " +
                                         std::to_string(position) + " of the disk: " + what};
}

}  // namespace

std::uint64_t record_checksum(std::uint64_t previous, const StreamRecord& record, Bytes payload) {
    Summed summed{};
    summed.previous = previous;
    std::memcpy(summed.record.data(), &record, summed.record.size());
    summed.payload = payload.empty() ? 0 : xxh3_64(payload);
    return xxh3_64(bytes_of_struct(summed));
}

Result<void> StreamWriter::begin(const StreamDocument& document) {
    const std::string text = encode(document);
    CHECK(text.size() <= document_bytes_max);
    const StreamHead head{.magic = stream_magic, .document_bytes = text.size()};
    checksum_ = xxh3_64(bytes_of(text));
    if (Result<void> sent = sink_(bytes_of_struct(head)); !sent) return sent;
    return sink_(bytes_of(text));
}

Result<void> StreamWriter::put(RecordKind kind, std::uint64_t offset, std::uint64_t length,
                               Bytes payload) {
    StreamRecord record{};
    record.magic = record_magic;
    record.kind = static_cast<std::uint8_t>(kind);
    record.offset = offset;
    record.length = length;
    checksum_ = record_checksum(checksum_, record, payload);
    record.checksum = checksum_;
    Result<void> sent = sink_(bytes_of_struct(record));
    return sent && !payload.empty() ? sink_(payload) : sent;
}

Result<void> StreamWriter::data(std::uint64_t offset, Bytes bytes) {
    CHECK(bytes.size() <= stream_payload_max);
    return put(RecordKind::data, offset, bytes.size(), bytes);
}

Result<void> StreamWriter::zeros(std::uint64_t offset, std::uint64_t length) {
    return put(RecordKind::zeros, offset, length, {});
}

Result<void> StreamWriter::end(std::uint64_t size_bytes) {
    return put(RecordKind::end, size_bytes, 0, {});
}

Result<void> StreamReader::fill(MutableBytes into) {
    while (!into.empty()) {
        const Result<std::size_t> got = source_(into);
        if (!got) return got.error();
        if (*got == 0) {
            return Error{ErrorCode::failed, "the stream ends before its end, behind byte " +
                                                std::to_string(position_) + " of the disk"};
        }
        into = into.subspan(*got);
    }
    return {};
}

Result<StreamDocument> StreamReader::begin() {
    StreamHead head{};
    if (Result<void> read = fill(std::as_writable_bytes(std::span(&head, 1))); !read) {
        return std::move(read).error();
    }
    if (head.magic != stream_magic || head.document_bytes.get() > document_bytes_max) {
        return Error{ErrorCode::corrupt, "this is no stream of cowtgt send, or of a newer one"};
    }
    std::string text(head.document_bytes.get(), '\0');
    if (Result<void> read = fill(std::as_writable_bytes(std::span(text))); !read) {
        return std::move(read).error();
    }
    Result<StreamDocument> document = decode_stream(text, "the stream's head");
    if (!document) return document;
    const bool is_possible = document->size_bytes > 0 && document->size_bytes <= disk_size_max &&
                             (document->block_size == 512 || document->block_size == 4096) &&
                             document->size_bytes % document->block_size == 0 &&
                             document->first_offset % cluster_size == 0 &&
                             document->first_offset <= document->size_bytes;
    if (!is_possible) {
        return Error{ErrorCode::corrupt, "the stream's head has an impossible size"};
    }
    document_ = *document;
    checksum_ = xxh3_64(bytes_of(text));
    position_ = document->first_offset;
    return document;
}

Result<StreamPiece> StreamReader::next() {
    StreamRecord record{};
    if (Result<void> read = fill(std::as_writable_bytes(std::span(&record, 1))); !read) {
        return std::move(read).error();
    }
    const std::uint64_t offset = record.offset.get();
    const std::uint64_t length = record.length.get();
    const auto kind = static_cast<RecordKind>(record.kind);
    const bool is_data = kind == RecordKind::data;
    const std::uint64_t size = document_.size_bytes;
    if (record.magic != record_magic) return broken(position_, "no record follows");
    const bool in_disk = offset >= position_ && offset <= size && length <= size - offset;
    const bool has_shape = kind == RecordKind::end
                               ? offset == size && length == 0
                               : (is_data || kind == RecordKind::zeros) && length > 0 &&
                                     offset % cluster_size == 0 &&
                                     (length % cluster_size == 0 || offset + length == size);
    if (!in_disk || !has_shape || (is_data && length > stream_payload_max)) {
        return broken(position_, "a record of it is impossible");
    }
    payload_.resize(is_data ? length : 0);
    if (Result<void> read = fill(payload_); !read) return std::move(read).error();
    checksum_ = record_checksum(checksum_, record, payload_);
    if (checksum_ != record.checksum.get()) {
        return broken(position_, "a checksum does not match");
    }
    position_ = offset + length;
    return StreamPiece{kind, offset, length, payload_};
}

}  // namespace cowtgt::store
