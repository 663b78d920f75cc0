#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <vector>

#include "cow-store/identity/xfs_dirty_log.h"
#include "cow-store/identity/xfs_log_items.h"
#include "tests/unit/identity/xfs_log_image.h"

namespace cowtgt::identity {
namespace {

std::vector<std::byte> filled(std::size_t size, char with) {
    const std::string text(size, with);
    const Bytes bytes = bytes_of(text);
    return {bytes.begin(), bytes.end()};
}

class XfsLogTest : public testing::Test {
protected:
    static Result<xfs::DirtyLog> read(const XfsLogImage& image,
                                      const std::array<std::byte, 16>& uuid) {
        const Window window(image, 0, image.size());
        return xfs::read_dirty_log(xfs::Log(window, 0, image.size()), uuid);
    }
    static std::string error_of(const XfsLogImage& image) {
        const auto log = read(image, XfsLogImage::uuid());
        return log ? "" : log.error().message;
    }
    static std::vector<xfs::LogItem> items_of(xfs::DirtyLog& log) {
        const auto items = committed_items(log, log.text);
        EXPECT_TRUE(items.has_value()) << items.error().message;
        return items ? *items : std::vector<xfs::LogItem>();
    }
    static std::string items_error(const XfsLogImage& image) {
        auto log = read(image, XfsLogImage::uuid());
        EXPECT_TRUE(log.has_value()) << log.error().message;
        const auto items = committed_items(*log, log->text);
        return items ? "" : items.error().message;
    }
    /// A transaction of one buffer of 512 bytes that is changed everywhere.
    static void log_buffer(XfsLogImage& image, std::uint32_t id, std::uint64_t block, char with) {
        image.operation(id, log_start);
        image.operation(id, 0, transaction_header());
        image.operation(id, 0, buffer_format(block, 2, 0xf));
        image.operation(id, 0, filled(512, with));
        image.operation(id, log_commit);
    }
};

TEST_F(XfsLogTest, CommittedItemsComeInTheOrderOfTheirCommits) {
    XfsLogImage image;
    log_buffer(image, 1, 100, 'a');
    image.operation(2, log_start);
    image.operation(2, 0, transaction_header());
    image.operation(2, 0, buffer_format(200, 2, 0x1));
    image.operation(2, 0, filled(128, 'b'));
    image.end_record();
    log_buffer(image, 3, 300, 'c');
    image.operation(2, log_commit);
    image.operation(4, log_start);  // and never committed
    image.operation(4, 0, transaction_header());
    image.end_record();
    auto log = read(image, XfsLogImage::uuid());
    ASSERT_TRUE(log.has_value()) << log.error().message;
    EXPECT_EQ(log->records.size(), 2U);
    std::vector<std::uint64_t> blocks;
    for (const xfs::LogItem& item : items_of(*log))
        blocks.push_back(changes_of(item)->format.blf_blkno.get());
    EXPECT_EQ(blocks, (std::vector<std::uint64_t>{100, 300, 200}));
}

TEST_F(XfsLogTest, RegionsGoOnInTheNextRecord) {
    XfsLogImage image;
    image.operation(1, log_start);
    image.operation(1, 0, Bytes(transaction_header()).first(6));
    image.end_record();
    image.operation(1, log_was_continued, Bytes(transaction_header()).subspan(6));
    image.operation(1, 0, buffer_format(100, 2, 0xf));
    image.operation(1, log_continue, filled(100, 'x'));
    image.end_record();
    image.operation(1, log_was_continued | log_continue, filled(12, 'y'));
    image.end_record();
    image.operation(1, log_was_continued, filled(400, 'z'));
    image.operation(1, log_commit);
    image.end_record();
    auto log = read(image, XfsLogImage::uuid());
    ASSERT_TRUE(log.has_value()) << log.error().message;
    const std::vector<xfs::LogItem> items = items_of(*log);
    ASSERT_EQ(items.size(), 1U);
    const auto changes = changes_of(items[0]);
    ASSERT_TRUE(changes.has_value()) << changes.error().message;
    ASSERT_EQ(changes->runs.size(), 1U);
    EXPECT_EQ(changes->runs[0].region->size(), 3U);
    const std::vector<std::byte> bytes = xfs::joined(*changes->runs[0].region);
    EXPECT_EQ(text_of(bytes).substr(99, 14), "xyyyyyyyyyyyyz");
    EXPECT_EQ(bytes.size(), 512U);
}

TEST_F(XfsLogTest, ATransactionThatBeganBeforeTheTailIsWritten) {
    XfsLogImage image;
    image.operation(9, 0, filled(100, 'x'));
    image.operation(9, log_commit);
    image.end_record();
    auto log = read(image, XfsLogImage::uuid());
    ASSERT_TRUE(log.has_value());
    EXPECT_TRUE(items_of(*log).empty());
}

TEST_F(XfsLogTest, NeighboursInABufferMayBeTwoRegions) {
    XfsLogImage image;
    image.operation(1, log_start);
    image.operation(1, 0, transaction_header());
    image.operation(1, 0, buffer_format(100, 4, 0b1001111));
    image.operation(1, 0, filled(256, 'a'));
    image.operation(1, 0, filled(256, 'b'));
    image.operation(1, 0, filled(128, 'c'));
    image.operation(1, log_commit);
    image.end_record();
    auto log = read(image, XfsLogImage::uuid());
    ASSERT_TRUE(log.has_value());
    const std::vector<xfs::LogItem> items = items_of(*log);
    const auto changes = changes_of(items.at(0));
    ASSERT_TRUE(changes.has_value()) << changes.error().message;
    std::vector<std::pair<std::uint64_t, std::uint64_t>> runs;
    for (const auto& run : changes->runs)
        runs.push_back({run.offset, run.length});
    EXPECT_EQ(runs, (std::vector<std::pair<std::uint64_t, std::uint64_t>>{
                        {0, 256}, {256, 256}, {768, 128}}));
}

/// Records of every length, also with further headers, around the end of the log.
TEST_F(XfsLogTest, AnotherUuidAndNothingElse) {
    for (const std::uint64_t first : {0U, 300U, 383U, 384U, 385U, 500U, 511U}) {
        SCOPED_TRACE(first);
        XfsLogImage image(first);
        log_buffer(image, 1, 100, 'a');
        image.end_record();
        image.operation(2, log_start);
        image.operation(2, 0, transaction_header());
        for (int i = 0; i < 60; ++i) {
            image.operation(2, 0, buffer_format(200, 2, 0xffff));
            image.operation(2, 0, filled(2048, 'b'));
        }
        image.operation(2, log_commit);
        image.end_record();
        log_buffer(image, 3, 300, 'c');
        image.end_record(XfsLogImage::Checksum::none);
        auto log = read(image, XfsLogImage::uuid());
        ASSERT_TRUE(log.has_value()) << log.error().message;
        ASSERT_EQ(log->records.size(), 3U);
        EXPECT_EQ(log->records[1].extended.size(), 3 * 512U);
        std::array<std::byte, 16> other{};
        other.fill(std::byte{0x77});
        const auto same = xfs::rewritten_records(*log, other, log->text);
        EXPECT_EQ(same.size(), 3U);
        std::vector<std::byte> text = log->text;
        for (std::byte& one : text)
            one ^= std::byte{0x55};
        for (const std::vector<std::byte>& wanted : {log->text, text}) {
            XfsLogImage changed = image;
            changed.apply(xfs::rewritten_records(*log, other, wanted));
            const auto again = read(changed, other);
            ASSERT_TRUE(again.has_value()) << again.error().message;
            EXPECT_EQ(again->text, wanted);
            EXPECT_FALSE(read(changed, XfsLogImage::uuid()).has_value());
        }
    }
}

TEST_F(XfsLogTest, NoFlippedBitOfARecordIsOverlooked) {
    XfsLogImage image;
    log_buffer(image, 1, 100, 'a');
    image.end_record();
    log_buffer(image, 2, 200, 'b');
    image.end_record();
    const std::uint64_t end = image.next_block() * XfsLogImage::block_size;
    const auto good = read(image, XfsLogImage::uuid());
    ASSERT_TRUE(good.has_value());
    for (std::uint64_t byte = 0; byte < end; ++byte) {
        constexpr std::uint64_t hashed_of_header = 328;
        const bool is_header = byte / 512 == 0 || byte / 512 == image.next_block() / 2;
        if (is_header && byte % 512 >= hashed_of_header) continue;
        XfsLogImage damaged = image;
        damaged.flip_bit(byte, byte % 8);
        const auto log = read(damaged, XfsLogImage::uuid());
        // A record that no longer looks like one leaves the one before as the last, and then what
        // it wrote lies behind the head.
        EXPECT_FALSE(log.has_value()) << byte;
    }
}

TEST_F(XfsLogTest, WhatWasHalfWrittenIsLeft) {
    XfsLogImage image;
    log_buffer(image, 1, 100, 'a');
    image.end_record();
    const std::uint64_t next = image.next_block() * XfsLogImage::block_size;
    XfsLogImage later = image;
    later.put32(next + 5 * 512, 3);  // a block of this cycle behind the head
    EXPECT_NE(error_of(later).find("cut off while it was written"), std::string::npos);
    XfsLogImage wrapped(500);
    for (char with = 'a'; with < 'f'; ++with) {
        log_buffer(wrapped, 1, 100, with);
        wrapped.end_record();
    }
    ASSERT_EQ(error_of(wrapped), "");
    wrapped.put32(512, 3);  // a block before the head of the cycle before
    EXPECT_NE(error_of(wrapped), "");
    XfsLogImage lost = image;
    lost.put64(24, std::uint64_t{3} << 32 | 77);  // a tail where no record is
    EXPECT_NE(error_of(lost).find("damaged"), std::string::npos);
}

TEST_F(XfsLogTest, WhatIsNotUnderstoodIsLeftWithTheReason) {
    struct Row {
        std::vector<std::byte> header;
        std::vector<std::byte> first;
        std::uint8_t flags;
        const char* reason;
    };
    const std::vector<std::byte> good = transaction_header();
    const Row rows[] = {
        {filled(16, 'x'), buffer_format(1, 2, 1), 0, "a transaction has no header"},
        {good, filled(3, 'x'), 0, "an item is cut off"},
        {good, buffer_format(1, 0, 1), 0, "an item is odd"},
        {good, buffer_format(1, 900, 1), 0, "an item is odd"},
        {good, buffer_format(1, 3, 1), 0, "an item is not whole"},
        {good, buffer_format(1, 2, 1), 0x40, "an operation is unknown"},
    };
    for (const Row& row : rows) {
        SCOPED_TRACE(row.reason);
        XfsLogImage image;
        image.operation(1, log_start);
        image.operation(1, 0, row.header);
        image.operation(1, row.flags, row.first);
        image.operation(1, 0, filled(128, 'x'));
        image.operation(1, log_commit);
        image.end_record();
        EXPECT_NE(items_error(image).find(row.reason), std::string::npos) << items_error(image);
        EXPECT_NE(items_error(image).find("mount and unmount it once"), std::string::npos);
    }
    XfsLogImage image;
    image.operation(1, log_start, filled(100, 'x'));
    image.end_record_of(2, XfsLogImage::Checksum::right);
    EXPECT_EQ(items_error(image), "");  // zeros are operations without a transaction
    XfsLogImage longer;
    longer.operation(1, 0, filled(500, 'x'));
    longer.end_record_of(3, XfsLogImage::Checksum::right);
    EXPECT_NE(items_error(longer), "");
}

}  // namespace
}  // namespace cowtgt::identity
