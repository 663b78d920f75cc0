#include <gtest/gtest.h>

#include <algorithm>
#include <vector>

#include "cow-store/journal/ring_reader.h"
#include "cow-store/journal/ring_writer.h"

namespace cowtgt {
namespace {

const Uuid layer{{1, 2, 3, 4}};

/// A ring in memory and its writer.
struct Ring {
    explicit Ring(std::uint64_t head = 0) : origin{2, 1, head, 5, 100, 0}, writer(origin, layer) {}

    void put(const RingPieces& pieces) {
        for (std::uint32_t i = 0; i < pieces.count; ++i) {
            std::ranges::copy(pieces.pieces[i].bytes,
                              bytes.begin() + static_cast<std::ptrdiff_t>(pieces.pieces[i].offset));
        }
    }
    void tentative(std::uint32_t cluster, std::size_t entries = 1) {
        put(writer.tentative(std::vector<RecordEntry>(entries, {cluster, 1, 50})));
    }
    void commit(std::uint64_t sequence) {
        put(writer.commit(sequence));
        writer.confirm(sequence);
    }
    Result<Replay> read(ReplayScope scope) const { return read_ring(bytes, origin, layer, scope); }

    RingOrigin origin;
    RingWriter writer;
    std::vector<std::byte> bytes = std::vector<std::byte>(unit_size);
};

std::vector<std::uint64_t> sequences(const Result<Replay>& replay) {
    std::vector<std::uint64_t> found;
    for (const Record& record : replay->records) {
        found.push_back(record.sequence);
    }
    return found;
}

TEST(Ring, AnEmptyOneReplaysNothing) {
    const Ring ring;
    const auto replay = ring.read(ReplayScope::everything_intact);
    ASSERT_TRUE(replay);
    EXPECT_TRUE(replay->records.empty());
    EXPECT_EQ(replay->next_sequence, 100U);
}

TEST(Ring, AfterAPowerLossOnlyWhatACommitNamesCounts) {
    Ring ring;
    ring.tentative(1);
    ring.tentative(2);
    ring.commit(101);
    ring.tentative(3);
    EXPECT_EQ(sequences(ring.read(ReplayScope::everything_intact)),
              (std::vector<std::uint64_t>{100, 101, 102, 103}));
    EXPECT_EQ(sequences(ring.read(ReplayScope::committed_only)),
              (std::vector<std::uint64_t>{100, 101}));
}

TEST(Ring, ACommitDoesNotNameWhatCameDuringItsSync) {
    Ring ring;
    ring.tentative(1);
    ring.tentative(2);  // while the data of the first is synced
    ring.commit(100);
    EXPECT_EQ(sequences(ring.read(ReplayScope::committed_only)), (std::vector<std::uint64_t>{100}));
}

TEST(Ring, RecordsRunOverTheEnd) {
    Ring ring(unit_size - 20);
    ring.tentative(7, 3);
    ring.tentative(8);
    const auto replay = ring.read(ReplayScope::everything_intact);
    ASSERT_EQ(replay->records.size(), 2U);
    EXPECT_EQ(replay->records[0].entries.size(), 3U);
    EXPECT_EQ(replay->records[1].entries[0].first_cluster, 8U);
}

TEST(Ring, ATornTailIsCut) {
    Ring ring;
    ring.tentative(1);
    ring.tentative(2);
    const std::uint64_t second = record_size(1);
    ring.bytes[second + 50] ^= std::byte{1};
    EXPECT_EQ(sequences(ring.read(ReplayScope::everything_intact)),
              (std::vector<std::uint64_t>{100}));
}

TEST(Ring, ADamagedRecordBelowACommitIsRefusedInEveryScope) {
    Ring ring;
    ring.tentative(1);
    ring.tentative(2);
    ring.commit(101);
    ring.tentative(3);
    const Ring good = ring;
    for (std::size_t byte = 0; byte < 2 * record_size(1); ++byte) {
        ring = good;
        ring.bytes[byte] ^= std::byte{4};
        EXPECT_FALSE(ring.read(ReplayScope::committed_only)) << byte;
        EXPECT_FALSE(ring.read(ReplayScope::everything_intact)) << byte;
    }
}

TEST(Ring, ADamagedCommitIsProvenByTheRecordsAfterIt) {
    Ring ring;
    ring.tentative(1);
    ring.commit(100);
    ring.tentative(2);
    ring.commit(102);
    ring.bytes[record_size(1) + 9] ^= std::byte{1};
    EXPECT_FALSE(ring.read(ReplayScope::committed_only));
}

TEST(Ring, AnUncommittedRecordMayBeMissingWhileLaterOnesAreThereAfterAPowerLoss) {
    Ring ring;
    ring.tentative(1);
    ring.commit(100);
    ring.tentative(2);
    ring.tentative(3);
    ring.bytes[record_size(1) + record_size(0) + 50] ^= std::byte{1};
    EXPECT_EQ(sequences(ring.read(ReplayScope::committed_only)), (std::vector<std::uint64_t>{100}));
    // With the same kernel still running this cannot happen.
    EXPECT_FALSE(ring.read(ReplayScope::everything_intact));
}

TEST(Ring, RecordsOfAnotherOpeningOrLayerAreVoid) {
    Ring ring;
    ring.tentative(1);
    RingOrigin later = ring.origin;
    ++later.epoch;
    EXPECT_TRUE(
        read_ring(ring.bytes, later, layer, ReplayScope::everything_intact)->records.empty());
    EXPECT_TRUE(read_ring(ring.bytes, ring.origin, Uuid{{9}}, ReplayScope::everything_intact)
                    ->records.empty());
}

TEST(Ring, RoomForCommitsIsKeptWhenItIsFull) {
    Ring ring;
    while (ring.writer.room_for_entries() > 0) {
        ring.tentative(1, ring.writer.room_for_entries());
    }
    ring.commit(ring.writer.last_sequence());
    EXPECT_LE(ring.writer.used_bytes(), ring.writer.size_bytes());
    EXPECT_TRUE(ring.read(ReplayScope::committed_only));
}

TEST(Ring, ManyLapsAreReadFromEachCut) {
    Ring ring;
    RingCut cut = ring.writer.cut();
    std::uint32_t cluster = 0;
    for (int lap = 0; lap < 50; ++lap) {
        ring.writer.release(cut);
        cut = ring.writer.cut();
        ring.origin = ring.writer.origin_at(cut);
        const std::uint32_t first = cluster;
        for (int i = 0; i < 9; ++i) {
            ring.tentative(cluster++, 1 + static_cast<std::size_t>(lap) % 10);
        }
        const auto replay = ring.read(ReplayScope::everything_intact);
        ASSERT_TRUE(replay);
        ASSERT_EQ(replay->records.size(), 9U) << lap;
        EXPECT_EQ(replay->records[0].entries[0].first_cluster, first);
    }
}

}  // namespace
}  // namespace cowtgt
