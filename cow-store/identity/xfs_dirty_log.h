#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "cow-store/base/bytes.h"
#include "cow-store/base/endian.h"
#include "cow-store/base/result.h"
#include "cow-store/identity/identity.h"
#include "cow-store/identity/xfs_layout.h"

/// The log of an XFS that was in use: what the kernel replays when it mounts it. No I/O.
namespace cowtgt::identity::xfs {

/// Bytes between tail and head that are looked at; they are in memory.
inline constexpr std::uint64_t dirty_log_max = std::uint64_t{128} << 20;

/// A record between tail and head.
struct LogRecord {
    std::uint64_t at = 0;  ///< bytes from the start of the log
    LogRecordHeader header{};
    std::uint64_t hashed_size = 0;    ///< of the header, bytes; 0: it has no checksum
    std::vector<std::byte> extended;  ///< the whole blocks of further headers
    std::vector<be32> cycles;         ///< what each block of data begins with on disk
    std::uint64_t text_begin = 0;     ///< of its data in the text, bytes
};

/// The records that recovery reads, whole and in order. Their data follow each other in one text,
/// as before they were packed into blocks. A plain value.
struct DirtyLog {
    std::uint64_t length = 0;  ///< of the whole log, bytes
    std::vector<LogRecord> records;
    std::vector<std::byte> text;
};

/// Errors are reasons to keep: damage, records that were only half written (which the kernel would
/// cut off), or more than dirty_log_max.
Result<DirtyLog> read_dirty_log(const Log& log, const std::array<std::byte, 16>& uuid);

/// The records with another UUID and with `text`, which may differ in content only; offsets are
/// bytes from the start of the log. Ascending, without overlap.
std::vector<Patch> rewritten_records(const DirtyLog& log, const std::array<std::byte, 16>& uuid,
                                     const std::vector<std::byte>& text);

}  // namespace cowtgt::identity::xfs
