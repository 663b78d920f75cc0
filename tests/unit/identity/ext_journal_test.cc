#include "cow-store/identity/ext_journal.h"

#include <gtest/gtest.h>

#include "cow-store/identity/ext_layout.h"
#include "cow-store/identity/patched_source.h"
#include "cow-store/identity/window.h"
#include "tests/unit/identity/journal_image.h"

namespace cowtgt::identity {
namespace {

constexpr std::uint32_t one = JournalImage::first_sequence;

class ExtJournal : public testing::Test {
protected:
    /// What each of some blocks begins with after the replay.
    std::vector<int> after_replay(const std::vector<std::uint32_t>& blocks) {
        const Result<Recipe> recipe = examine(image_);
        EXPECT_TRUE(recipe->structures.at(0).needs_replay);
        const Result<Replay> replay = replay_journals(*recipe, image_);
        EXPECT_TRUE(replay->failures.empty());
        const PatchedSource source(image_, replay->patches);
        std::vector<int> bytes;
        for (const std::uint32_t block : blocks) {
            std::byte first{};
            EXPECT_TRUE(source.read(block * JournalImage::block_size, {&first, 1}).has_value());
            bytes.push_back(std::to_integer<int>(first));
        }
        const Result<Recipe> now = examine(source);
        EXPECT_EQ(now->structures.at(0).kept_because, "");
        EXPECT_FALSE(now->structures.at(0).needs_replay);
        return bytes;
    }

    JournalImage image_;
};

using Bytes3 = std::vector<int>;

TEST_F(ExtJournal, LaterTransactionsWin) {
    image_.log(one, {{200, 1}, {201, 1}});
    image_.commit(one);
    image_.log(one + 1, {{201, 2}});
    image_.log(one + 1, {{202, 2}});
    image_.commit(one + 1);
    EXPECT_EQ(after_replay({200, 201, 202}), (Bytes3{1, 2, 2}));
}

TEST_F(ExtJournal, WhatWasNotCommittedNeverWas) {
    image_.log(one, {{200, 1}});
    image_.commit(one);
    image_.log(one + 1, {{200, 2}, {201, 2}});
    EXPECT_EQ(after_replay({200, 201}), (Bytes3{1, 0}));
}

TEST_F(ExtJournal, AnOlderLapIsNotReplayed) {
    image_.log(one, {{200, 1}});
    image_.commit(one);
    image_.log(one - 20, {{200, 9}});
    image_.commit(one - 20);
    EXPECT_EQ(after_replay({200}), (Bytes3{1}));
}

TEST_F(ExtJournal, RevokedBlocksAreLeftAloneUntilTheyAreLoggedAgain) {
    image_.log(one, {{200, 1}, {201, 1}, {202, 1}});
    image_.commit(one);
    image_.revoke(one + 1, {200, 201});
    image_.commit(one + 1);
    image_.log(one + 2, {{201, 3}});
    image_.commit(one + 2);
    EXPECT_EQ(after_replay({200, 201, 202}), (Bytes3{0, 3, 1}));
}

TEST_F(ExtJournal, RevocationsThatWereNotCommittedDoNotHold) {
    image_.log(one, {{200, 1}});
    image_.commit(one);
    image_.revoke(one + 1, {200});
    EXPECT_EQ(after_replay({200}), (Bytes3{1}));
}

TEST_F(ExtJournal, GoesRoundItsEnd) {
    image_.start_at(JournalImage::journal_length - 2);
    image_.log(one, {{200, 1}, {201, 2}, {202, 3}});
    image_.commit(one);
    EXPECT_EQ(after_replay({200, 201, 202}), (Bytes3{1, 2, 3}));
}

TEST_F(ExtJournal, ABlockThatLooksLikeTheJournalGetsItsFirstWordBack) {
    image_.log_escaped(one, 200);
    image_.commit(one);
    EXPECT_EQ(after_replay({200}), (Bytes3{0xc0}));
}

TEST_F(ExtJournal, ABlockOutsideOfTheFileSystemIsRefused) {
    image_.log(one, {{JournalImage::block_count, 1}});
    image_.commit(one);
    const Result<Recipe> recipe = examine(image_);
    const Result<Replay> replay = replay_journals(*recipe, image_);
    ASSERT_TRUE(replay.has_value());
    EXPECT_TRUE(replay->patches.empty());
    ASSERT_EQ(replay->failures.size(), 1U);
    EXPECT_NE(replay->failures[0].reason.find("its journal is damaged"), std::string::npos);
}

TEST(LayOver, CoversFillsAndJoins) {
    const auto patch = [](std::uint64_t offset, std::size_t size, int fill) {
        return Patch{offset, std::vector<std::byte>(size, static_cast<std::byte>(fill))};
    };
    std::vector<Patch> patches = {patch(10, 4, 1), patch(14, 4, 2), patch(30, 2, 3)};
    lay_over(patches, patch(12, 20, 9));
    lay_over(patches, patch(0, 2, 8));
    std::vector<int> now(40);
    std::uint64_t end = 0;
    for (const Patch& one_patch : patches) {
        EXPECT_GE(one_patch.offset, end);
        end = one_patch.offset + one_patch.bytes.size();
        for (std::size_t i = 0; i < one_patch.bytes.size(); ++i)
            now[one_patch.offset + i] = std::to_integer<int>(one_patch.bytes[i]);
    }
    std::vector<int> wanted(40);
    std::fill_n(wanted.begin(), 2, 8);
    std::fill_n(wanted.begin() + 10, 2, 1);
    std::fill_n(wanted.begin() + 12, 20, 9);
    EXPECT_EQ(now, wanted);
}

}  // namespace
}  // namespace cowtgt::identity
