// An instance on another template: what stays and what does not.

#include "cow-store/store/reshape.h"

#include "tests/unit/store/marked_disks.h"

namespace cowtgt::store {
namespace {

class ReshapeTest : public MarkedDisks {
protected:
    void SetUp() override {
        MarkedDisks::SetUp();
        ImportOptions options;
        options.image = make_image("second", disk_bytes + mebibyte, 2);
        options.name = "debian12";
        ASSERT_TRUE(store_->import_template(options));
    }

    const TemplateRef second_{.name = "debian12", .version = 2, .tag = ""};
};

TEST_F(ReshapeTest, TheOverlayIsFreshAndTheIdentityFollowsFromTheSameSeed) {
    const Uuid uuid = store_->find_instance("web01")->uuid;
    write_mark("web01", 'a');
    const auto moved = Reshape(*store_).rebase("web01", second_);
    ASSERT_TRUE(moved) << message_of(moved);
    EXPECT_EQ(moved->uuid, uuid);
    EXPECT_EQ(moved->template_version, 2U);
    EXPECT_EQ(moved->size_bytes, disk_bytes + mebibyte);
    const Content content = export_of(*store_, "web01");
    const Difference changed = difference(content, export_of(*store_, second_));
    EXPECT_NE(changed, Difference{});
    EXPECT_GE(changed.begin, signature_offset);
    EXPECT_LE(changed.end, signature_offset + signature_length);
    EXPECT_EQ(layer_files("web01"), 1U);
    ASSERT_TRUE(store_->reset_instance("web01"));
    EXPECT_EQ(difference(export_of(*store_, "web01"), content), Difference{});
    EXPECT_TRUE(store_->remove_template({.name = "debian12", .version = 1, .tag = ""}));
}

TEST_F(ReshapeTest, IsRefusedWithSnapshotsAndWithoutATemplate) {
    ASSERT_TRUE(store_->snapshot("web01", "s"));
    const auto refused = Reshape(*store_).rebase("web01", second_);
    EXPECT_EQ(message_of(refused),
              "the snapshots of instance web01 stand on its template: s; remove these first");
    EXPECT_FALSE(Reshape(*store_).try_rebase("web01", second_));
    ASSERT_TRUE(store_->remove_snapshot("web01", "s"));
    EXPECT_EQ(Reshape(*store_).try_rebase("web01", second_)->version, 2U);
    EXPECT_EQ(store_->find_instance("web01")->template_version, 1U);
    EXPECT_EQ(
        Reshape(*store_).rebase("web01", {.name = "no", .version = 0, .tag = ""}).error().code,
        ErrorCode::not_found);
    const auto opened = store_->open_instance("web01");
    EXPECT_EQ(Reshape(*store_).rebase("web01", second_).error().code, ErrorCode::in_use);
}

}  // namespace
}  // namespace cowtgt::store
