// What takes how much space, and what was written since.

#include "tests/unit/store/marked_disks.h"

namespace cowtgt::store {
namespace {

using Space = MarkedDisks;

std::uint64_t bytes_of_content(const Changes& changes, RangeContent content) {
    std::uint64_t bytes = 0;
    for (const ChangedRange& range : changes.ranges)
        bytes += range.content == content ? range.length : 0;
    return bytes;
}

/// Where two disks differ must be in the ranges.
void expect_covered(const Changes& changes, const Content& now, const Content& before) {
    Content outside = now;
    for (const ChangedRange& range : changes.ranges) {
        const auto at = static_cast<std::ptrdiff_t>(range.offset);
        std::copy_n(before.begin() + at, range.length, outside.begin() + at);
    }
    EXPECT_EQ(difference(outside, before), Difference{});
}

TEST_F(Space, AnInstanceHasItsOwnAndSharesItsTemplate) {
    const SpaceInfo info = store_->space_of("web01").value();
    EXPECT_EQ(info.name, "web01");
    EXPECT_GT(info.own_bytes, 0U);
    EXPECT_GT(info.shared_bytes, 0U);
    EXPECT_LE(info.shared_bytes, allocated_in(root() / "templates" / "debian12" / "1"));
    // Its document goes, too; the folder itself is not counted.
    EXPECT_GT(info.freed_bytes, info.own_bytes);
    EXPECT_LE(info.freed_bytes, allocated_in(folder_of("web01")));
    EXPECT_EQ(store_->try_remove_instance("web01").value(), info.freed_bytes);
    EXPECT_EQ(store_->space_of("web02").error().code, ErrorCode::not_found);
}

TEST_F(Space, WhatOthersStandOnIsCountedOnceAndNotGivenBack) {
    write_mark("web01", 'a');
    ASSERT_TRUE(store_->snapshot("web01", "s"));
    ASSERT_TRUE(clone_snapshot("s", "web02"));
    const SpaceInfo maker = store_->space_of("web01").value();
    const SpaceInfo user = store_->space_of("web02").value();
    EXPECT_LT(maker.freed_bytes, maker.own_bytes);
    EXPECT_GT(user.shared_bytes, store_->space_of("web01")->shared_bytes);
    EXPECT_GT(maker.sealed_bytes, 0U);
    EXPECT_LT(maker.sealed_bytes, maker.own_bytes);
    EXPECT_EQ(user.sealed_bytes, 0U);  // it did not make that layer
    EXPECT_GT(store_->pool()->total_bytes, store_->pool()->free_bytes);
    const StoreSpace space = store_->space().value();
    ASSERT_EQ(space.instances.size(), 2U);
    ASSERT_EQ(space.templates.size(), 1U);
    EXPECT_EQ(space.templates[0].name, "debian12@1");
    EXPECT_LT(space.total_bytes, allocated_in(folder_of("web01")) +
                                     allocated_in(folder_of("web02")) +
                                     allocated_in(root() / "templates" / "debian12" / "1"));
    EXPECT_GT(space.free_bytes, 0U);
}

TEST_F(Space, TheTryOfARemovalSaysWhoIsInTheWay) {
    EXPECT_EQ(
        message_of(store_->try_remove_template({.name = "debian12", .version = 0, .tag = ""})),
        "template debian12 is in use by: web01; remove these first");
    ASSERT_TRUE(store_->snapshot("web01", "s"));
    EXPECT_TRUE(store_->try_remove_snapshot("web01", "s"));
    ASSERT_TRUE(clone_snapshot("s", "web02"));
    EXPECT_EQ(store_->try_remove_snapshot("web01", "s").error().code, ErrorCode::in_use);
    EXPECT_EQ(store_->try_remove_instance("web01").error().code, ErrorCode::in_use);
    ASSERT_TRUE(store_->remove_instance("web02"));
    ASSERT_TRUE(store_->remove_instance("web01"));
    EXPECT_EQ(store_->try_remove_template({.name = "debian12", .version = 0, .tag = ""}).value(),
              store_->space()->templates.at(0).own_bytes);
    EXPECT_TRUE(store_->find_template({.name = "debian12", .version = 0, .tag = ""}));
}

TEST_F(Space, ChangesAreWhatWasWrittenSinceTheTemplateOrASnapshot) {
    const Content template_content =
        export_of(*store_, TemplateRef{.name = "debian12", .version = 1, .tag = ""});
    // The identity of the clone.
    EXPECT_EQ(store_->changes("web01", "", "")->ranges.size(), 1U);
    write_mark("web01", 'a');
    const Changes all = store_->changes("web01", "", "").value();
    EXPECT_EQ(all.from, "debian12@1");
    EXPECT_EQ(bytes_of_content(all, RangeContent::data), 4096U);
    expect_covered(all, export_of(*store_, "web01"), template_content);
    ASSERT_TRUE(store_->snapshot("web01", "one"));
    EXPECT_TRUE(store_->changes("web01", "", "one")->ranges.empty());
    EXPECT_EQ(store_->changes("web01", "one", "")->ranges, all.ranges);
    ASSERT_TRUE(store_->resize_instance("web01", 2 * disk_bytes));
    write_mark("web01", 'b');
    const Changes since = store_->changes("web01", "", "one").value();
    EXPECT_EQ(since.ranges, (std::vector<ChangedRange>{{mark_offset, 4096, RangeContent::data}}));
    EXPECT_EQ(since.from_size_bytes, disk_bytes);
    EXPECT_EQ(since.size_bytes, 2 * disk_bytes);
    EXPECT_EQ(store_->changes("web01", "none", "").error().code, ErrorCode::not_found);
    EXPECT_EQ(store_->changes("web01", "", "none").error().code, ErrorCode::not_found);
}

TEST_F(Space, AStateThatIsNoAncestorIsComparedToo) {
    const Content fresh = export_of(*store_, "web01");
    write_mark("web01", 'a');
    ASSERT_TRUE(store_->snapshot("web01", "marked"));
    ASSERT_TRUE(store_->reset_instance("web01"));
    const Changes changes = store_->changes("web01", "", "marked").value();
    expect_covered(changes, fresh, snapshot_content("web01", "marked"));
    EXPECT_EQ(bytes_of_content(changes, RangeContent::zeros), 0U);
}

}  // namespace
}  // namespace cowtgt::store
