// Snapshots: what they hold, what they share, and what may be done with them.

#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>

#include "cow-store/file_posix.h"
#include "cow-store/store/open_instance.h"
#include "cow-store/volume/layer_file.h"
#include "tests/unit/store/marked_disks.h"

namespace cowtgt::store {
namespace {

using Snapshot = MarkedDisks;

TEST_F(Snapshot, KeepsWhatWasThereAndTheInstanceGoesOn) {
    write_mark("web01", 'a');
    const Content before = export_of(*store_, "web01");
    const auto made = store_->snapshot("web01", "before");
    ASSERT_TRUE(made) << message_of(made);
    EXPECT_EQ(made->label, "before");
    EXPECT_EQ(made->instance, "web01");
    EXPECT_EQ(made->size_bytes, disk_bytes);
    EXPECT_EQ(difference(export_of(*store_, "web01"), before), Difference{});
    write_mark("web01", 'b');
    EXPECT_EQ(mark_of("web01"), 'b');
    EXPECT_EQ(difference(snapshot_content("web01", "before"), before), Difference{});
    EXPECT_EQ(store_->find_instance("web01")->snapshots, std::vector<std::string>{"before"});
    ASSERT_TRUE(store_->restore_snapshot("web01", "before"));
    EXPECT_EQ(difference(export_of(*store_, "web01"), before), Difference{});
    EXPECT_EQ(layer_files("web01"), 2U);
}

TEST_F(Snapshot, TheSealedFileIsReadOnlyAndOfNoMoreSpaceThanItNeeds) {
    const std::filesystem::path file = folder_of("web01") / "live.cow";
    ASSERT_TRUE(store_->snapshot("web01", "s"));
    struct stat status {};
    ASSERT_EQ(::stat(file.c_str(), &status), 0);
    EXPECT_EQ(status.st_mode & 0777U, 0444U);
    EXPECT_LE(status.st_blocks * 512, 256 * 1024);
    const auto sealed = PosixFile::open(file, O_RDONLY);
    EXPECT_EQ(inspect_layer(**sealed)->phase, LayerPhase::sealed);
}

TEST_F(Snapshot, LabelsAreGivenAndChecked) {
    EXPECT_EQ(store_->snapshot("web01", "")->label, "snap-1");
    EXPECT_EQ(store_->snapshot("web01", "")->label, "snap-2");
    EXPECT_EQ(store_->snapshot("web01", "snap-2").error().code, ErrorCode::exists);
    EXPECT_EQ(message_of(store_->snapshot("web01", "12")),
              "'12' cannot be a name: a label of digits alone would look like a version");
    EXPECT_EQ(store_->snapshot("web01", "A").error().code, ErrorCode::usage);
    EXPECT_EQ(store_->snapshot("web02", "a").error().code, ErrorCode::not_found);
    EXPECT_EQ(store_->restore_snapshot("web01", "a").error().code, ErrorCode::not_found);
    EXPECT_EQ(store_->remove_snapshot("web01", "a").error().code, ErrorCode::not_found);
    const auto list = store_->snapshots("web01");
    ASSERT_TRUE(list);
    ASSERT_EQ(list->size(), 2U);
    EXPECT_EQ((*list)[1].label, "snap-2");
}

TEST_F(Snapshot, AnotherMachineIsClonedFromItWithAnIdentityOfItsOwn) {
    write_mark("web01", 'a');
    ASSERT_TRUE(store_->snapshot("web01", "gold"));
    write_mark("web01", 'b');
    const auto made = clone_snapshot("gold", "web02");
    ASSERT_TRUE(made) << message_of(made);
    EXPECT_EQ(made->origin, "web01@gold");
    EXPECT_EQ(made->template_name, "debian12");
    EXPECT_EQ(mark_of("web02"), 'a');
    const Difference changed =
        difference(export_of(*store_, "web02"), snapshot_content("web01", "gold"));
    EXPECT_GE(changed.begin, signature_offset);
    EXPECT_LE(changed.end, signature_offset + signature_length);
    EXPECT_NE(changed, Difference{});
    write_mark("web02", 'c');
    EXPECT_EQ(mark_of("web01"), 'b');
    EXPECT_EQ(clone_snapshot("gold", "web02").error().code, ErrorCode::exists);
    EXPECT_EQ(clone_snapshot("none", "web03").error().code, ErrorCode::not_found);
}

TEST_F(Snapshot, WhatSomebodyWasClonedFromStays) {
    ASSERT_TRUE(store_->snapshot("web01", "gold"));
    ASSERT_TRUE(clone_snapshot("gold", "web02"));
    EXPECT_EQ(message_of(store_->remove_snapshot("web01", "gold")),
              "snapshot web01@gold is what these were cloned from: web02; remove these first");
    EXPECT_EQ(message_of(store_->remove_instance("web01")),
              "snapshots of instance web01 are what these were cloned from: web02; remove these "
              "first");
    EXPECT_EQ(store_->snapshots("web01")->at(0).clones, std::vector<std::string>{"web02"});
    // It is found by what it is, not by its name.
    ASSERT_TRUE(store_->rename_instance("web01", "old01"));
    EXPECT_EQ(store_->remove_instance("old01").error().code, ErrorCode::in_use);
    ASSERT_TRUE(store_->reset_instance("web02"));
    EXPECT_EQ(store_->find_instance("web02")->origin, "");
    EXPECT_TRUE(store_->remove_instance("old01"));
    EXPECT_EQ(layer_files("web02"), 1U);
}

TEST_F(Snapshot, ARemovedOneGoesWhenNothingStandsOnIt) {
    write_mark("web01", 'a');
    ASSERT_TRUE(store_->snapshot("web01", "one"));
    write_mark("web01", 'b');
    ASSERT_TRUE(store_->snapshot("web01", "two"));
    EXPECT_EQ(layer_files("web01"), 3U);
    // The live layer still stands on both.
    ASSERT_TRUE(store_->remove_snapshot("web01", "two"));
    EXPECT_EQ(layer_files("web01"), 3U);
    EXPECT_EQ(mark_of("web01"), 'b');
    ASSERT_TRUE(store_->restore_snapshot("web01", "one"));
    EXPECT_EQ(layer_files("web01"), 2U);
    EXPECT_EQ(mark_of("web01"), 'a');
    ASSERT_TRUE(store_->reset_instance("web01"));
    EXPECT_EQ(layer_files("web01"), 2U);
    ASSERT_TRUE(store_->remove_snapshot("web01", "one"));
    EXPECT_EQ(layer_files("web01"), 1U);
    EXPECT_EQ(store_->find_instance("web01")->snapshots, std::vector<std::string>{});
}

TEST_F(Snapshot, TheNumberOfLayersHasALimit) {
    for (int i = 0; i < 255; ++i)
        ASSERT_TRUE(store_->snapshot("web01", ""));
    write_mark("web01", 'z');
    EXPECT_EQ(mark_of("web01"), 'z');
    const auto refused = store_->snapshot("web01", "");
    EXPECT_EQ(refused.error().code, ErrorCode::refused);
    EXPECT_NE(message_of(refused).find("256 layers"), std::string::npos) << message_of(refused);
}

TEST_F(Snapshot, ASealedLayerThatIsAnotherIsRefused) {
    ASSERT_TRUE(store_->snapshot("web01", "s"));
    const std::filesystem::path file = folder_of("web01") / "live.cow";
    const auto time = std::filesystem::last_write_time(file);
    std::filesystem::last_write_time(file, time + std::chrono::seconds(1));
    const auto opened = store_->open_instance("web01");
    ASSERT_FALSE(opened);
    EXPECT_EQ(opened.error().code, ErrorCode::refused);
    EXPECT_NE(message_of(opened).find("is not the one that was sealed"), std::string::npos);
    std::filesystem::last_write_time(file, time);
    EXPECT_TRUE(store_->open_instance("web01"));
    std::filesystem::remove(file);
    EXPECT_EQ(store_->open_instance("web01").error().code, ErrorCode::refused);
    EXPECT_TRUE(store_->reset_instance("web01"));
}

TEST_F(Snapshot, ADiskGrowsAndItsNewPartIsZeros) {
    write_mark("web01", 'a');
    ASSERT_TRUE(store_->snapshot("web01", "small"));
    const auto grown = store_->resize_instance("web01", 6 * mebibyte + 512);
    ASSERT_TRUE(grown) << message_of(grown);
    EXPECT_EQ(grown->size_bytes, 6 * mebibyte + 512);
    EXPECT_EQ((*store_->open_instance("web01"))->layer.summary().virtual_size, 6 * mebibyte + 512);
    const Content content = export_of(*store_, "web01");
    EXPECT_EQ(static_cast<char>(content[mark_offset]), 'a');
    EXPECT_TRUE(std::all_of(content.begin() + disk_bytes, content.end(),
                            [](std::byte byte) { return byte == std::byte{0}; }));
    ASSERT_TRUE(store_->restore_snapshot("web01", "small"));
    EXPECT_EQ(store_->find_instance("web01")->size_bytes, 6 * mebibyte + 512);
    EXPECT_EQ(export_of(*store_, "web01").size(), 6 * mebibyte + 512);
    EXPECT_EQ(store_->resize_instance("web01", disk_bytes).error().code, ErrorCode::refused);
    EXPECT_EQ(store_->resize_instance("web01", 6 * mebibyte + 513).error().code, ErrorCode::usage);
}

TEST_F(Snapshot, ACommittedDiskIsATemplateOfItsOwn) {
    write_mark("web01", 'a');
    ASSERT_TRUE(store_->snapshot("web01", "s"));
    const auto made = store_->commit({.instance = "web01", .name = "debian12"});
    ASSERT_TRUE(made) << message_of(made);
    EXPECT_EQ(made->version, 2U);
    EXPECT_EQ(made->source, "instance web01");
    EXPECT_EQ(made->content_id, "");
    write_mark("web01", 'b');
    clone("web02");
    EXPECT_EQ(store_->find_instance("web02")->template_version, 2U);
    EXPECT_EQ(mark_of("web02"), 'a');
    EXPECT_EQ(mark_of("web01"), 'b');
    // Nothing of it lies in the folders of others.
    ASSERT_TRUE(store_->remove_instance("web01"));
    ASSERT_TRUE(store_->remove_template({.name = "debian12", .version = 1, .tag = ""}));
    EXPECT_EQ(mark_of("web02"), 'a');
    const TemplateRef second{.name = "debian12", .version = 2, .tag = ""};
    const Difference changed = difference(export_of(*store_, "web02"), export_of(*store_, second));
    EXPECT_GE(changed.begin, signature_offset);
    EXPECT_LE(changed.end, signature_offset + signature_length);
    ASSERT_TRUE(store_->snapshot("web02", "s"));
    ASSERT_TRUE(store_->commit({.instance = "web02", .name = "other", .require_clean = true}));
    EXPECT_EQ(store_->commit({.instance = "web02", .name = "-"}).error().code, ErrorCode::usage);
    EXPECT_EQ(store_->commit({.instance = "no", .name = "x"}).error().code, ErrorCode::not_found);
}

TEST_F(Snapshot, ATagMoves) {
    ASSERT_TRUE(store_->commit({.instance = "web01", .name = "debian12"}));
    const TemplateRef first{.name = "debian12", .version = 1, .tag = ""};
    const TemplateRef second{.name = "debian12", .version = 2, .tag = ""};
    EXPECT_EQ(store_->tag_template(first, "stable")->tags, std::vector<std::string>{"stable"});
    clone("web02");
    EXPECT_EQ(store_->find_instance("web02")->template_version, 1U);
    EXPECT_EQ(store_->tag_template(second, "stable")->tags, std::vector<std::string>{"stable"});
    EXPECT_EQ(store_->find_template(first)->tags, std::vector<std::string>{});
    EXPECT_EQ(store_->tag_template(second, "3").error().code, ErrorCode::usage);
    EXPECT_EQ(store_->tag_template({.name = "no", .version = 0, .tag = ""}, "a").error().code,
              ErrorCode::not_found);
}

TEST_F(Snapshot, NeedsTheInstanceForItself) {
    const auto opened = store_->open_instance("web01");
    EXPECT_EQ(store_->snapshot("web01", "s").error().code, ErrorCode::in_use);
    EXPECT_EQ(store_->resize_instance("web01", 8 * mebibyte).error().code, ErrorCode::in_use);
    EXPECT_EQ(store_->snapshots("web01")->size(), 0U);
}

}  // namespace
}  // namespace cowtgt::store
