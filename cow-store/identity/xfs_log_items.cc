#include "cow-store/identity/xfs_log_items.h"

#include <algorithm>
#include <cstring>
#include <map>
#include <string>
#include <utility>

namespace cowtgt::identity::xfs {

namespace {

constexpr std::uint8_t start_flag = 0x01;
constexpr std::uint8_t commit_flag = 0x02;
constexpr std::uint8_t continue_flag = 0x04;
constexpr std::uint8_t was_continued_flag = 0x08;
constexpr std::uint8_t end_flag = 0x10;
constexpr std::uint8_t unmount_flag = 0x20;
constexpr std::uint32_t transaction_magic = 0x5452414e;  ///< "TRAN"
constexpr std::uint64_t transaction_header_size = 16;    ///< bytes
constexpr std::uint64_t buffer_chunk = 128;              ///< bytes
constexpr std::uint16_t regions_max = 32;                ///< of an item; XFS has at most 20

template <typename T>
T struct_at(Bytes bytes, std::size_t offset) {
    T value;
    std::memcpy(&value, bytes.data() + offset, sizeof(value));
    return value;
}

std::uint64_t size_of(const LogRegion& region) {
    std::uint64_t size = 0;
    for (const MutableBytes piece : region)
        size += piece.size();
    return size;
}

/// Gathers what records hold of transactions, as xlog_recover_process_trans does.
class TransactionReader {
public:
    explicit TransactionReader(MutableBytes text) : text_(text) {}

    Result<void> take(const LogRecord& record) {
        std::uint64_t at = record.text_begin;
        const std::uint64_t end = at + record.header.h_len.get();
        for (std::uint32_t i = 0; i < record.header.h_num_logops.get(); ++i) {
            if (end - at < sizeof(Operation)) return log_not_understood("a record is too short");
            const auto operation = struct_at<Operation>(text_, at);
            at += sizeof(Operation);
            if (end - at < operation.oh_len.get()) {
                return log_not_understood("a record is too short");
            }
            Result<void> done = take(operation, text_.subspan(at, operation.oh_len.get()));
            if (!done) return done;
            at += operation.oh_len.get();
        }
        return {};
    }

    std::vector<LogItem> committed() && { return std::move(committed_); }

private:
    struct Item {
        std::uint16_t region_count;
        LogItem item;
        bool is_complete() const { return item.regions.size() == region_count; }
    };
    struct Transaction {
        std::uint64_t header_left = transaction_header_size;
        std::vector<Item> items;
    };

    Result<void> take(const Operation& operation, MutableBytes bytes) {
        const std::uint32_t id = operation.oh_tid.get();
        if ((operation.oh_flags & start_flag) != 0) {
            open_[id] = {};
            return {};
        }
        const auto found = open_.find(id);
        if (found == open_.end()) return {};  // it began before the tail, and is written
        Transaction& transaction = found->second;
        switch (operation.oh_flags & ~(continue_flag | end_flag)) {
            case 0:
                return add(transaction, bytes);
            case was_continued_flag:
                return go_on(transaction, bytes);
            case commit_flag:
                return commit(id);
            case unmount_flag:
                open_.erase(found);
                return {};
            default:
                return log_not_understood("an operation is unknown");
        }
    }

    Result<void> add(Transaction& transaction, MutableBytes bytes) {
        if (bytes.empty()) return {};
        if (transaction.header_left == transaction_header_size) {
            if (bytes.size() > transaction_header_size || bytes.size() < sizeof(le32) ||
                struct_at<le32>(bytes, 0).get() != transaction_magic) {
                return log_not_understood("a transaction has no header");
            }
            transaction.header_left -= bytes.size();
            return {};
        }
        if (transaction.header_left != 0) return log_not_understood("a header is cut off");
        std::vector<Item>& items = transaction.items;
        if (items.empty() || items.back().is_complete()) {
            if (bytes.size() < 2 * sizeof(le16)) return log_not_understood("an item is cut off");
            const std::uint16_t count = struct_at<le16>(bytes, sizeof(le16)).get();
            if (count == 0 || count > regions_max) return log_not_understood("an item is odd");
            items.push_back({count, {struct_at<le16>(bytes, 0).get(), {}}});
        }
        items.back().item.regions.push_back({bytes});
        return {};
    }

    Result<void> go_on(Transaction& transaction, MutableBytes bytes) {
        if (transaction.header_left != 0) {
            if (bytes.size() > transaction.header_left) {
                return log_not_understood("a header is too long");
            }
            transaction.header_left -= bytes.size();
            return {};
        }
        if (transaction.items.empty()) return log_not_understood("a region has no beginning");
        transaction.items.back().item.regions.back().push_back(bytes);
        return {};
    }

    Result<void> commit(std::uint32_t id) {
        for (Item& item : open_[id].items) {
            if (!item.is_complete()) return log_not_understood("an item is not whole");
            committed_.push_back(std::move(item.item));
        }
        open_.erase(id);
        return {};
    }

    MutableBytes text_;
    std::map<std::uint32_t, Transaction> open_;
    std::vector<LogItem> committed_;
};

}  // namespace

Error log_not_understood(const char* what) {
    return {ErrorCode::unsupported, "its log was not replayed and cannot be here (" +
                                        std::string(what) + "): mount and unmount it once"};
}

std::vector<std::byte> joined(const LogRegion& region) {
    std::vector<std::byte> bytes;
    for (const MutableBytes piece : region)
        bytes.insert(bytes.end(), piece.begin(), piece.end());
    return bytes;
}

Result<std::vector<LogItem>> committed_items(const DirtyLog& log, MutableBytes text) {
    CHECK(text.size() == log.text.size());
    TransactionReader reader(text);
    for (const LogRecord& record : log.records) {
        if (Result<void> done = reader.take(record); !done) return std::move(done).error();
    }
    return std::move(reader).committed();
}

Result<BufferChanges> changes_of(const LogItem& item) {
    const std::vector<std::byte> first = joined(item.regions.front());
    if (first.size() < sizeof(BufferFormat)) return log_not_understood("a buffer is cut off");
    BufferChanges changes;
    changes.format = struct_at<BufferFormat>(first, 0);
    const std::uint64_t words = changes.format.blf_map_size.get();
    if (words > (first.size() - sizeof(BufferFormat)) / sizeof(le32)) {
        return log_not_understood("a buffer is cut off");
    }
    const auto is_set = [&](std::uint64_t bit) {
        if (bit >= words * 32) return false;
        const auto word = struct_at<le32>(first, sizeof(BufferFormat) + bit / 32 * sizeof(le32));
        return (word.get() >> bit % 32 & 1) != 0;
    };
    std::size_t next = 1;
    for (std::uint64_t bit = 0; bit < words * 32;) {
        if (!is_set(bit)) {
            ++bit;
            continue;
        }
        std::uint64_t count = 1;
        while (is_set(bit + count))
            ++count;
        if (next >= item.regions.size()) return log_not_understood("a buffer is not whole");
        // Neighbours may come as two regions, where memory was not in one piece.
        count = std::min(count, size_of(item.regions[next]) / buffer_chunk);
        if (count == 0) return log_not_understood("a buffer is not whole");
        changes.runs.push_back({bit * buffer_chunk, &item.regions[next], count * buffer_chunk});
        bit += count;
        ++next;
    }
    return changes;
}

}  // namespace cowtgt::identity::xfs
