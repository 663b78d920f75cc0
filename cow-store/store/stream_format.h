#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "cow-store/base/bytes.h"
#include "cow-store/base/endian.h"
#include "cow-store/base/result.h"
#include "cow-store/store/documents.h"

/// The bytes of a stream (STREAM.md): a document, then records, each of which proves all before it.
namespace cowtgt::store {

inline constexpr std::size_t stream_payload_max = std::size_t{1} << 20;  ///< bytes of a record

enum class RecordKind : std::uint8_t { data = 1, zeros = 2, end = 3 };

/// As it lies in the stream.
struct StreamRecord {
    std::array<std::uint8_t, 4> magic;  ///< "srec"
    std::uint8_t kind;
    std::array<std::uint8_t, 3> zero;
    le64 offset;    ///< bytes of the disk; end: its size
    le64 length;    ///< bytes; data: of the payload that follows; end: 0
    le64 checksum;  ///< over the one before, these fields and the payload
};
static_assert(sizeof(StreamRecord) == 32 && alignof(StreamRecord) == 1);

/// Takes bytes of a stream, in their order.
using StreamSink = std::function<Result<void>(Bytes)>;
/// Fills the beginning of `into` and says how much of it; 0: the stream has ended.
using StreamSource = std::function<Result<std::size_t>(MutableBytes into)>;

/// The checksum of a record that follows one with the checksum `previous`.
std::uint64_t record_checksum(std::uint64_t previous, const StreamRecord& record, Bytes payload);

class StreamWriter {
public:
    explicit StreamWriter(StreamSink sink) : sink_(std::move(sink)) {}

    Result<void> begin(const StreamDocument& document);
    /// Requires: not more than stream_payload_max.
    Result<void> data(std::uint64_t offset, Bytes bytes);
    Result<void> zeros(std::uint64_t offset, std::uint64_t length);
    Result<void> end(std::uint64_t size_bytes);

private:
    Result<void> put(RecordKind kind, std::uint64_t offset, std::uint64_t length, Bytes payload);

    StreamSink sink_;
    std::uint64_t checksum_ = 0;
};

/// What a record says; the payload is valid until the next one.
struct StreamPiece {
    RecordKind kind = RecordKind::end;
    std::uint64_t offset = 0;
    std::uint64_t length = 0;
    Bytes payload;
};

/// Refuses what was changed, cut, put in another order or is no stream: corrupt. An end before the
/// end record is `failed`, since the rest may still come.
class StreamReader {
public:
    explicit StreamReader(StreamSource source) : source_(std::move(source)) {}

    Result<StreamDocument> begin();
    Result<StreamPiece> next();

private:
    Result<void> fill(MutableBytes into);

    StreamSource source_;
    StreamDocument document_;
    std::uint64_t checksum_ = 0;
    std::uint64_t position_ = 0;  ///< bytes of the disk that were spoken of
    std::vector<std::byte> payload_;
};

}  // namespace cowtgt::store
