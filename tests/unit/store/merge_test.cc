// rebase --keep: what an instance wrote, block by block, on another version of its template.

#include "cow-store/store/merge.h"

#include <fstream>

#include "tests/unit/store/marked_disks.h"

namespace cowtgt::store {
namespace {

constexpr std::uint64_t other_offset = 3 * mebibyte;

class MergeTest : public MarkedDisks {
protected:
    /// The next version of the template: the first one, but for a cluster of one letter.
    void import_with(std::uint64_t offset, char letter) {
        ImportOptions options;
        options.image = make_image("next", disk_bytes, 1);
        options.name = "debian12";
        std::fstream file(options.image, std::ios::in | std::ios::out | std::ios::binary);
        file.seekp(static_cast<std::streamoff>(offset));
        file << std::string(4096, letter);
        file.close();
        ASSERT_TRUE(store_->import_template(options));
    }
    Result<Merge> look() const {
        return Merge::look(store_->context(), "web01",
                           {.name = "debian12", .version = 2, .tag = ""}, {});
    }
    Result<InstanceInfo> install(Merge& merge) {
        if (auto written = merge.write(store_->context(), {}); !written) return written.error();
        return merge.install(store_->context());
    }
    static char letter_at(const Content& content, std::uint64_t offset) {
        return static_cast<char>(content[offset + 100]);
    }
};

TEST_F(MergeTest, WhatOnlyOneSideChangedComesTogether) {
    const Content before = export_of(*store_, "web01");
    import_with(other_offset, 'n');
    write_mark("web01", 'a');
    auto merge = look();
    ASSERT_TRUE(merge) << message_of(merge);
    EXPECT_EQ(merge->from(), "debian12@1");
    EXPECT_EQ(merge->to(), "debian12@2");
    EXPECT_EQ(merge->unclean(), "");
    EXPECT_TRUE(merge->conflicts().empty());
    EXPECT_EQ(merge->kept_bytes(), 4096U);
    const auto info = install(*merge);
    ASSERT_TRUE(info) << message_of(info);
    EXPECT_EQ(info->template_version, 2U);
    const Content content = export_of(*store_, "web01");
    EXPECT_EQ(letter_at(content, mark_offset), 'a');
    EXPECT_EQ(letter_at(content, other_offset), 'n');
    // The identity is the one of its seed.
    EXPECT_TRUE(std::equal(content.begin(), content.begin() + 4096, before.begin()));
    EXPECT_EQ(layer_files("web01"), 1U);
    EXPECT_TRUE(leftovers().empty());
    EXPECT_TRUE(store_->remove_template({.name = "debian12", .version = 1, .tag = ""}));
    EXPECT_EQ(difference(export_of(*store_, "web01"), content), Difference{});
}

TEST_F(MergeTest, WhatBothChangedIsAConflictThatTheInstanceMayWin) {
    import_with(mark_offset, 'n');
    write_mark("web01", 'a');
    {
        const auto merge = look();
        ASSERT_TRUE(merge) << message_of(merge);
        EXPECT_EQ(merge->conflicts(), (std::vector<MergeConflict>{{mark_offset, 4096}}));
        EXPECT_EQ(merge->conflict_bytes(), 4096U);
    }
    EXPECT_EQ(mark_of("web01"), 'a');
    EXPECT_EQ(store_->find_instance("web01")->template_version, 1U);
    auto merge = look();
    ASSERT_TRUE(install(*merge));
    EXPECT_EQ(mark_of("web01"), 'a');
    ASSERT_TRUE(store_->reset_instance("web01"));
    EXPECT_EQ(mark_of("web01"), 'n');
}

TEST_F(MergeTest, TheSameChangeOnBothSidesIsNone) {
    import_with(mark_offset, 'a');
    write_mark("web01", 'a');
    auto merge = look();
    ASSERT_TRUE(merge) << message_of(merge);
    EXPECT_TRUE(merge->conflicts().empty());
    EXPECT_EQ(merge->kept_bytes(), 0U);
    ASSERT_TRUE(install(*merge));
    EXPECT_EQ(mark_of("web01"), 'a');
}

TEST_F(MergeTest, NobodyMayHaveTheInstanceMeanwhile) {
    import_with(other_offset, 'n');
    write_mark("web01", 'a');
    auto merge = look();
    EXPECT_EQ(store_->open_instance("web01").error().code, ErrorCode::in_use);
    ASSERT_TRUE(merge->write(store_->context(), {}));
    ASSERT_TRUE(store_->reset_instance("web01"));
    const auto installed = merge->install(store_->context());
    EXPECT_EQ(message_of(installed),
              "instance web01 was written to while it was merged; try again");
    EXPECT_EQ(store_->find_instance("web01")->template_version, 1U);
    EXPECT_NE(mark_of("web01"), 'a');
}

TEST_F(MergeTest, SnapshotsAreInTheWay) {
    import_with(other_offset, 'n');
    ASSERT_TRUE(store_->snapshot("web01", "s"));
    EXPECT_EQ(look().error().code, ErrorCode::refused);
}

}  // namespace
}  // namespace cowtgt::store
