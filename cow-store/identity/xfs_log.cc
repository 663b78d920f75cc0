#include <algorithm>
#include <cstring>
#include <vector>

#include "cow-store/base/checksum.h"
#include "cow-store/identity/xfs_layout.h"

namespace cowtgt::identity::xfs {

namespace {

constexpr std::uint64_t bytes_per_header = 32768;  ///< of log data that one header describes
constexpr std::uint64_t extended_header_size = 260;
constexpr std::uint64_t header_size_of_i386 = 324;
constexpr std::uint64_t scan_step = std::uint64_t{1} << 20;
constexpr std::uint32_t format_linux_little_endian = 1;
constexpr std::uint64_t flags_in_operation = 9;
constexpr std::byte unmount_flag{0x20};

Error damaged(std::string_view what) {
    return {ErrorCode::corrupt,
            "a record of its log is damaged (" + std::string(what) + "): run xfs_repair"};
}

/// What the checksum covers behind the first header: it follows h_len, not the buffers' size.
Result<std::vector<std::byte>> read_hashed_rest(const Log& log, std::uint64_t at,
                                                const LogRecordHeader& header) {
    std::vector<std::byte> rest;
    const std::uint64_t length = header.h_len.get();
    for (std::uint64_t i = 1; i <= extended_headers_of(header); ++i) {
        const auto extended = log.read(at + i * basic_block, extended_header_size);
        if (!extended) return extended.error();
        rest.insert(rest.end(), extended->begin(), extended->end());
    }
    const auto data = log.read(at + header_blocks(header) * basic_block, length);
    if (!data) return data.error();
    rest.insert(rest.end(), data->begin(), data->end());
    return rest;
}

Result<void> check_header(const Log& log, std::uint64_t at, const LogRecordHeader& header,
                          const std::array<std::byte, 16>& uuid) {
    if (header.h_magicno.get() != log_record_magic) return damaged("no magic number");
    const std::uint32_t version = header.h_version.get();
    if (version != 1 && version != 2) return damaged("unknown version");
    const std::uint64_t length = header.h_len.get();
    if (length == 0 || length % basic_block != 0 || length > log_record_size_max ||
        header.h_size.get() > log_record_size_max ||
        header_blocks(header) * basic_block + length > log.length() ||
        extended_headers_of(header) >= header_blocks(header)) {
        return damaged("impossible length");
    }
    if (header.h_lsn.get() != (std::uint64_t{header.h_cycle.get()} << 32 | at / basic_block)) {
        return damaged("it says that it lies elsewhere");
    }
    if (header.h_fmt.get() != format_linux_little_endian) {
        return Error{ErrorCode::unsupported, "its log was written on another kind of machine"};
    }
    if (header.h_fs_uuid != uuid) return damaged("another UUID than the superblock");
    return {};
}

/// Whether the log goes on behind the record: then it was mounted since, and is not the last one.
Result<bool> is_last(const Log& log, std::uint64_t at, const LogRecordHeader& header) {
    const std::uint64_t next = at + size_of(header);
    const auto block = log.read(next % log.length(), basic_block);
    if (!block) return block.error();
    const std::uint64_t next_cycle =
        std::uint64_t{header.h_cycle.get()} + (next >= log.length() ? 1 : 0);
    return cycle_of(*block) < next_cycle;
}

}  // namespace

Log log_of(const Window& window, const Superblock& sb) {
    const std::uint64_t block_size = sb.sb_blocksize.get();
    const std::uint64_t start = sb.sb_logstart.get();
    const std::uint64_t block = (start >> sb.sb_agblklog) * sb.sb_agblocks.get() +
                                (start & ((std::uint64_t{1} << sb.sb_agblklog) - 1));
    return {window, block * block_size, std::uint64_t{sb.sb_logblocks.get()} * block_size};
}

std::uint64_t header_blocks(const LogRecordHeader& header) {
    constexpr std::uint32_t version_2 = 2;
    if ((header.h_version.get() & version_2) == 0) return 1;
    const std::uint64_t size = header.h_size.get();
    return std::max<std::uint64_t>(1, (size + bytes_per_header - 1) / bytes_per_header);
}

/// Every block of the log begins with the number of its cycle, a header with its magic before it.
std::uint32_t cycle_of(Bytes block) {
    be32 first;
    be32 second;
    std::memcpy(&first, block.data(), sizeof(first));
    std::memcpy(&second, block.data() + sizeof(first), sizeof(second));
    return first.get() == log_record_magic ? second.get() : first.get();
}

std::uint64_t extended_headers_of(const LogRecordHeader& header) {
    return (std::uint64_t{header.h_len.get()} + bytes_per_header - 1) / bytes_per_header - 1;
}

std::uint64_t size_of(const LogRecordHeader& header) {
    return header_blocks(header) * basic_block + header.h_len.get();
}

Result<std::vector<std::byte>> Log::read(std::uint64_t at, std::uint64_t length) const {
    CHECK(at <= 2 * length_ && length <= length_);
    at %= length_;
    const std::uint64_t straight = std::min(length, length_ - at);
    Result<std::vector<std::byte>> bytes = window_->read_bytes(offset_ + at, straight);
    if (!bytes || straight == length) return bytes;
    const auto wrapped = window_->read_bytes(offset_, length - straight);
    if (!wrapped) return wrapped.error();
    bytes->insert(bytes->end(), wrapped->begin(), wrapped->end());
    return bytes;
}

std::uint32_t checksum_of(const CheckedRecord& record) {
    LogRecordHeader header = record.header;
    header.h_crc = 0;
    const std::uint32_t state =
        crc32c_update(crc32c_start, bytes_of_struct(header).first(record.hashed_size));
    return crc32c_finish(crc32c_update(state, record.rest));
}

Result<std::uint64_t> find_newest_record(const Log& log) {
    std::optional<std::uint64_t> newest;
    std::uint32_t newest_cycle = 0;
    for (std::uint64_t at = 0; at < log.length(); at += scan_step) {
        const auto piece = log.read(at, std::min(scan_step, log.length() - at));
        if (!piece) return piece.error();
        for (std::uint64_t i = 0; i + basic_block <= piece->size(); i += basic_block) {
            be32 magic;
            std::memcpy(&magic, piece->data() + i, sizeof(magic));
            if (magic.get() != log_record_magic) continue;
            const std::uint32_t cycle = cycle_of(Bytes(*piece).subspan(i, basic_block));
            if (newest && cycle < newest_cycle) continue;
            newest = at + i;
            newest_cycle = cycle;
        }
    }
    if (!newest) return Error{ErrorCode::corrupt, "its log has no records: run xfs_repair"};
    return *newest;
}

Result<CheckedRecord> read_record(const Log& log, std::uint64_t at,
                                  const std::array<std::byte, 16>& uuid) {
    if (at % basic_block != 0 || at >= log.length()) return damaged("outside of the log");
    const auto bytes = log.read(at, basic_block);
    if (!bytes) return bytes.error();
    CheckedRecord record{.at = at, .header = {}, .hashed_size = 0, .rest = {}};
    std::memcpy(&record.header, bytes->data(), sizeof(record.header));
    const LogRecordHeader& header = record.header;
    if (Result<void> good = check_header(log, at, header, uuid); !good) return good.error();
    Result<std::vector<std::byte>> rest = read_hashed_rest(log, at, header);
    if (!rest) return rest.error();
    record.rest = *std::move(rest);
    if (header.h_crc.get() == 0) return record;
    record.hashed_size = sizeof(LogRecordHeader);
    if (checksum_of(record) != header.h_crc.get()) record.hashed_size = header_size_of_i386;
    if (checksum_of(record) != header.h_crc.get()) return damaged("checksum");
    return record;
}

Result<bool> is_clean_end(const Log& log, const CheckedRecord& record) {
    const LogRecordHeader& header = record.header;
    const auto operation = log.read(record.at + header_blocks(header) * basic_block, basic_block);
    if (!operation) return operation.error();
    if (header.h_num_logops.get() != 1 ||
        ((*operation)[flags_in_operation] & unmount_flag) == std::byte{0}) {
        return false;
    }
    return is_last(log, record.at, header);
}

}  // namespace cowtgt::identity::xfs
