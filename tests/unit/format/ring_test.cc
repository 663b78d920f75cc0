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
    /// A flush with one sync; its confirmation comes later.
    std::uint64_t hashed_commit() {
        put(writer.hashed_commit(hashes));
        return writer.last_sequence();
    }
    Result<Replay> settled(bool holds, ReplayScope scope) const {
        Result<Replay> replay = read(scope);
        EXPECT_TRUE(replay && replay->in_doubt);
        EXPECT_EQ(replay->in_doubt->hashes, hashes);
        settle(*replay, holds, scope);
        return replay;
    }
    Result<Replay> read(ReplayScope scope) const { return read_ring(bytes, origin, layer, scope); }

    RingOrigin origin;
    RingWriter writer;
    std::vector<std::byte> bytes = std::vector<std::byte>(unit_size);
    std::vector<UnitHash> hashes = {{50, 0x123456789abcdef0}, {51, 7}};
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

TEST(Ring, ACommitWithHashesCountsAfterAPowerLossIfItsUnitsHoldThem) {
    Ring ring;
    ring.tentative(1);
    ring.commit(100);
    ring.tentative(2);
    const std::uint64_t commit = ring.hashed_commit();
    ring.tentative(3);  // during its sync
    const auto counted = ring.settled(true, ReplayScope::committed_only);
    EXPECT_EQ(sequences(counted), (std::vector<std::uint64_t>{100, 101, 102, 103}));
    EXPECT_EQ(counted->committed, commit);
    EXPECT_EQ(counted->next_sequence, 105U);
    const auto is_void = ring.settled(false, ReplayScope::committed_only);
    EXPECT_EQ(sequences(is_void), (std::vector<std::uint64_t>{100}));
    EXPECT_EQ(is_void->next_sequence, 105U);
}

TEST(Ring, AfterADeathAllCountsWhateverACommitWithHashesIsWorth) {
    Ring ring;
    ring.tentative(1);
    ring.hashed_commit();
    for (const bool holds : {false, true}) {
        const auto replay = ring.settled(holds, ReplayScope::everything_intact);
        EXPECT_EQ(sequences(replay), (std::vector<std::uint64_t>{100, 101}));
        EXPECT_EQ(replay->committed, holds ? 101U : 99U);  // what a second recovery starts from
    }
}

TEST(Ring, ACommitWithHashesThatALaterRecordConfirmsIsNotInDoubt) {
    Ring ring;
    ring.tentative(1);
    const std::uint64_t commit = ring.hashed_commit();
    ring.writer.confirm(commit);
    EXPECT_EQ(ring.writer.stated(), 99U);
    ring.tentative(2);
    EXPECT_EQ(ring.writer.stated(), commit);
    const auto replay = ring.read(ReplayScope::committed_only);
    EXPECT_FALSE(replay->in_doubt);
    EXPECT_EQ(sequences(replay), (std::vector<std::uint64_t>{100, 101}));
}

TEST(Ring, ACommitWithHashesProvesTheOneBefore) {
    Ring ring;
    ring.tentative(1);
    ring.writer.confirm(ring.hashed_commit());
    ring.tentative(2);
    ring.hashed_commit();
    EXPECT_EQ(sequences(ring.settled(false, ReplayScope::committed_only)),
              (std::vector<std::uint64_t>{100, 101}));
    // Behind a gap, too: what it confirms was durable.
    ring.bytes[50] ^= std::byte{1};
    EXPECT_FALSE(ring.read(ReplayScope::committed_only));
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

TEST(Ring, HashesLeaveRoomForCommits) {
    Ring ring;
    EXPECT_FALSE(ring.writer.has_room_for_hashes(unit_size / 4 / sizeof(DiskUnitHash)));
    while (ring.writer.has_room_for_hashes(ring.hashes.size()))
        ring.hashed_commit();
    EXPECT_EQ(ring.writer.room_for_entries(), 0U);
    ring.commit(ring.writer.last_sequence());
    ring.commit(ring.writer.last_sequence());
    EXPECT_LE(ring.writer.used_bytes(), ring.writer.size_bytes());
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
