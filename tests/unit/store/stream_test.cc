// Streams: what arrives is what was sent, however often it breaks off, and nothing else.

#include "cow-store/store/streams.h"

#include <random>
#include <string>

#include "tests/unit/store/marked_disks.h"

namespace cowtgt::store {
namespace {

class StreamTest : public MarkedDisks {
protected:
    void SetUp() override {
        MarkedDisks::SetUp();
        ASSERT_TRUE(Store::create(folder() / "other"));
        other_ = std::move(Store::open(folder() / "other", Locking::exclusive)).value();
    }

    std::string sent(const SendOptions& options) {
        std::string stream;
        const auto sink = [&stream](Bytes bytes) -> Result<void> {
            stream += text_of(bytes);
            return {};
        };
        const Result<void> done = Streams(*store_).send(options, sink, {});
        EXPECT_TRUE(done) << message_of(done);
        return stream;
    }
    std::string sent(const std::string& label, const std::string& from = "") {
        return sent({.instance = "web01", .label = label, .from = from});
    }

    /// In pieces of odd sizes, as a pipe may cut it.
    Result<ReceivedStream> receive(std::string_view stream, const std::string& name = "copy") {
        std::size_t piece = 1;
        const auto source = [&](MutableBytes into) -> Result<std::size_t> {
            piece = piece * 7 % 5003 + 1;
            const std::size_t count = std::min({into.size(), stream.size(), piece});
            std::ranges::copy(bytes_of(stream.substr(0, count)), into.begin());
            stream.remove_prefix(count);
            return count;
        };
        return Streams(*other_).receive(name, source, {});
    }
    Result<InstanceInfo> take_in(std::string_view stream, const std::string& name = "copy") {
        const auto received = receive(stream, name);
        if (!received) return received.error();
        return Streams(*other_).finish(name);
    }

    std::unique_ptr<Store> other_;
};

TEST_F(StreamTest, AnotherStoreGetsTheDiskWithItsIdentityAndNeedsNoTemplate) {
    write_mark("web01", 'a');
    ASSERT_TRUE(store_->snapshot("web01", "one"));
    write_mark("web01", 'b');
    const auto made = take_in(sent("one"));
    ASSERT_TRUE(made) << message_of(made);
    EXPECT_EQ(made->template_name, "");
    EXPECT_EQ(made->size_bytes, disk_bytes);
    EXPECT_EQ(made->snapshots, std::vector<std::string>{"one"});
    ASSERT_FALSE(made->identity.empty());
    EXPECT_EQ(made->identity.front().new_value,
              store_->find_instance("web01")->identity.front().new_value);
    EXPECT_EQ(difference(export_of(*other_, "copy"), snapshot_content("web01", "one")),
              Difference{});
    // It is an instance like any other, but for what only a template gives.
    EXPECT_EQ(other_->reset_instance("copy").error().code, ErrorCode::refused);
    CloneOptions options;
    options.name = "web02";
    ASSERT_TRUE(other_->clone_snapshot("copy", "one", options));
    ASSERT_TRUE(other_->commit({.instance = "copy", .name = "golden"}));
    options.source.name = "golden";
    options.name = "web03";
    ASSERT_TRUE(other_->clone(options));
    EXPECT_EQ(static_cast<char>(export_of(*other_, "web03")[mark_offset]), 'a');
    EXPECT_FALSE(std::filesystem::exists(folder() / "other" / "receiving" / "copy"));
}

TEST_F(StreamTest, WhatDiffersIsEnoughForWhoHasTheOlderOne) {
    write_mark("web01", 'a');
    ASSERT_TRUE(store_->snapshot("web01", "one"));
    ASSERT_TRUE(take_in(sent("one")));
    write_mark("web01", 'b');
    ASSERT_TRUE(store_->snapshot("web01", "two"));
    ASSERT_TRUE(store_->resize_instance("web01", disk_bytes + mebibyte));
    write_mark("web01", 'c');
    ASSERT_TRUE(store_->snapshot("web01", "three"));
    const std::string step = sent("two", "one");
    EXPECT_LT(step.size(), 16 * 1024U);
    const auto second = take_in(step);
    ASSERT_TRUE(second) << message_of(second);
    EXPECT_EQ(difference(export_of(*other_, "copy"), snapshot_content("web01", "two")),
              Difference{});
    ASSERT_TRUE(take_in(sent("three", "two")));
    EXPECT_EQ(other_->find_instance("copy")->snapshots,
              (std::vector<std::string>{"one", "two", "three"}));
    EXPECT_EQ(difference(export_of(*other_, "copy"), export_of(*store_, "web01")), Difference{});
    ASSERT_TRUE(other_->restore_snapshot("copy", "one"));
    EXPECT_EQ(static_cast<char>(export_of(*other_, "copy")[mark_offset]), 'a');
}

TEST_F(StreamTest, WhatTheReceiverHasNotOrHasChangedIsNotBuiltOn) {
    ASSERT_TRUE(store_->snapshot("web01", "one"));
    write_mark("web01", 'b');
    ASSERT_TRUE(store_->snapshot("web01", "two"));
    const std::string step = sent("two", "one");
    EXPECT_EQ(receive(step).error().code, ErrorCode::not_found);
    const std::string whole = sent("one");
    ASSERT_TRUE(take_in(whole));
    EXPECT_EQ(receive(whole).error().code, ErrorCode::exists);
    ASSERT_TRUE(receive(step));
    ASSERT_TRUE(other_->resize_instance("copy", disk_bytes));
    ASSERT_TRUE(other_->snapshot("copy", "mine"));
    EXPECT_NE(message_of(Streams(*other_).finish("copy")).find("copy@one"), std::string::npos);
    ASSERT_TRUE(other_->restore_snapshot("copy", "one"));
    ASSERT_TRUE(Streams(*other_).finish("copy"));
    EXPECT_EQ(receive(step).error().code, ErrorCode::exists);
}

TEST_F(StreamTest, AStreamThatBreaksOffGoesOnWhereItEnded) {
    write_mark("web01", 'a');
    ASSERT_TRUE(store_->snapshot("web01", "one"));
    const std::string whole = sent("one");
    const Content content = snapshot_content("web01", "one");
    for (std::size_t cut = whole.size() - 1; cut > 0; cut -= std::min(cut, whole.size() / 23)) {
        SCOPED_TRACE(cut);
        const auto broken = receive(std::string_view(whole).substr(0, cut));
        ASSERT_FALSE(broken);
        EXPECT_EQ(broken.error().code, ErrorCode::failed) << message_of(broken);
        const auto state = Streams(*other_).state("copy");
        std::uint64_t next = 0;
        if (state) next = state->next_offset;
        const auto made =
            take_in(sent({.instance = "web01", .label = "one", .from = "", .first_offset = next}));
        ASSERT_TRUE(made) << message_of(made);
        EXPECT_EQ(difference(export_of(*other_, "copy"), content), Difference{});
        ASSERT_TRUE(other_->remove_instance("copy"));
    }
}

TEST_F(StreamTest, WhatAnEarlierOneLeftIsOnlyTakenOverAsFarAsItIsWhole) {
    ASSERT_TRUE(store_->snapshot("web01", "one"));
    const std::string whole = sent("one");
    ASSERT_FALSE(receive(std::string_view(whole).substr(0, whole.size() - 1)));
    const std::uint64_t arrived = Streams(*other_).state("copy")->next_offset;
    // As after a power loss: the records are there, the last data is not.
    const std::filesystem::path layer = folder() / "other" / "receiving" / "copy" / "live.cow";
    std::filesystem::resize_file(layer, std::filesystem::file_size(layer) - 8192);
    const auto state = Streams(*other_).state("copy");
    ASSERT_TRUE(state) << message_of(state);
    EXPECT_LT(state->next_offset, arrived);
    ASSERT_TRUE(take_in(sent(
        {.instance = "web01", .label = "one", .from = "", .first_offset = state->next_offset})));
    EXPECT_EQ(difference(export_of(*other_, "copy"), snapshot_content("web01", "one")),
              Difference{});
}

TEST_F(StreamTest, AStreamBeginsAtItsBeginningAndOneAtATimeArrives) {
    ASSERT_TRUE(store_->snapshot("web01", "one"));
    write_mark("web01", 'b');
    ASSERT_TRUE(store_->snapshot("web01", "two"));
    const std::string later =
        sent({.instance = "web01", .label = "one", .from = "", .first_offset = mebibyte});
    EXPECT_EQ(receive(later).error().code, ErrorCode::refused);
    EXPECT_EQ(Streams(*other_).state("copy").error().code, ErrorCode::not_found);
    const std::string whole = sent("one");
    ASSERT_FALSE(receive(std::string_view(whole).substr(0, whole.size() / 2)));
    EXPECT_NE(message_of(receive(sent("two"))).find("--abandon"), std::string::npos);
    ASSERT_TRUE(Streams(*other_).abandon("copy"));
    EXPECT_TRUE(take_in(sent("two")));
    EXPECT_EQ(Streams(*other_).abandon("copy").error().code, ErrorCode::not_found);
}

TEST_F(StreamTest, NoFlippedBitAndNoMissingOrExchangedRecordGetsThrough) {
    constexpr std::uint32_t seed = 4711;
    SCOPED_TRACE(seed);
    std::mt19937 random(seed);
    write_mark("web01", 'a');
    ASSERT_TRUE(store_->snapshot("web01", "one"));
    const std::string whole = sent("one");
    for (int round = 0; round < 300; ++round) {
        std::string damaged = whole;
        const std::size_t at = random() % damaged.size();
        if (round % 3 == 0) {
            damaged.erase(at, 32 + random() % 70000);
        } else if (round % 3 == 1) {
            const std::size_t length = std::min<std::size_t>(65568, damaged.size() - at);
            damaged.insert(random() % damaged.size(), damaged.substr(at, length));
        } else {
            damaged[at] = static_cast<char>(damaged[at] ^ (1 << random() % 8));
        }
        ASSERT_FALSE(receive(damaged)) << round;
        ASSERT_FALSE(Streams(*other_).finish("copy")) << round;
        ASSERT_FALSE(other_->find_instance("copy")) << round;
        (void)Streams(*other_).abandon("copy");
    }
}

TEST_F(StreamTest, WhatIsNotThereIsNotSent) {
    const auto nowhere = [](Bytes) -> Result<void> { return {}; };
    ASSERT_TRUE(store_->snapshot("web01", "one"));
    const auto error_of = [&](const SendOptions& options) {
        return Streams(*store_).send(options, nowhere, {}).error().code;
    };
    EXPECT_EQ(error_of({.instance = "web02", .label = "one", .from = ""}), ErrorCode::not_found);
    EXPECT_EQ(error_of({.instance = "web01", .label = "two", .from = ""}), ErrorCode::not_found);
    EXPECT_EQ(error_of({.instance = "web01", .label = "one", .from = "no"}), ErrorCode::not_found);
    EXPECT_EQ(error_of({.instance = "web01", .label = "one", .from = "", .first_offset = 7}),
              ErrorCode::usage);
    EXPECT_EQ(error_of({.instance = "web01", .label = "one", .from = "", .first_offset = 1U << 30}),
              ErrorCode::usage);
}

}  // namespace
}  // namespace cowtgt::store
