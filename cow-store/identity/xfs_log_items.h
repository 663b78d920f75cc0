#pragma once

#include <cstdint>
#include <vector>

#include "cow-store/base/bytes.h"
#include "cow-store/base/endian.h"
#include "cow-store/base/result.h"
#include "cow-store/identity/xfs_dirty_log.h"

/// What the transactions in a log change. No I/O.
namespace cowtgt::identity::xfs {

/// xlog_op_header: each part of a record begins with one.
struct Operation {
    be32 oh_tid;  ///< of the transaction
    be32 oh_len;  ///< of the data behind it, bytes
    std::uint8_t oh_clientid;
    std::uint8_t oh_flags;
    be16 oh_res2;
};
static_assert(sizeof(Operation) == 12 && alignof(Operation) == 1);

/// Bytes of the text of a log that belong together; one may end in one record and go on in the
/// next.
using LogRegion = std::vector<MutableBytes>;

/// One logged thing of a committed transaction.
struct LogItem {
    std::uint16_t type = 0;
    std::vector<LogRegion> regions;  ///< the first one says what the others are
};
inline constexpr std::uint16_t inode_item = 0x123b;
inline constexpr std::uint16_t buffer_item = 0x123c;

std::vector<std::byte> joined(const LogRegion& region);

/// The items in `text`, which is that of `log` or a copy to be changed, in the order in which their
/// transactions were committed. Errors are reasons to keep.
/// Ownership: regions point into `text`.
Result<std::vector<LogItem>> committed_items(const DirtyLog& log, MutableBytes text);

/// The beginning of xfs_buf_log_format: what changed in a piece of metadata.
struct BufferFormat {
    le16 blf_type;
    le16 blf_size;  ///< regions, this one included
    le16 blf_flags;
    le16 blf_len;       ///< basic blocks
    le64 blf_blkno;     ///< basic block of the file system
    le32 blf_map_size;  ///< words of the map behind it: a bit for each 128 bytes
};
static_assert(sizeof(BufferFormat) == 20 && alignof(BufferFormat) == 1);
inline constexpr std::uint16_t buffer_holds_inodes = 0x0001;  ///< only their lists are in it
inline constexpr std::uint16_t buffer_is_cancelled = 0x0002;  ///< what was logged before is void

struct BufferChanges {
    BufferFormat format{};
    struct Run {
        std::uint64_t offset = 0;  ///< in the buffer, bytes
        const LogRegion* region = nullptr;
        std::uint64_t length = 0;
    };
    std::vector<Run> runs;
};
/// Requires: a buffer_item. Ownership: refers to it.
Result<BufferChanges> changes_of(const LogItem& item);

/// "Mount it once", with what was not understood.
Error log_not_understood(const char* what);

}  // namespace cowtgt::identity::xfs
