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

TEST_F(ReshapeTest, FlattenedWithoutADaemonItReadsTheSameAndNeedsNoTemplate) {
    write_mark("web01", 'a');
    const Content content = export_of(*store_, "web01");
    const auto done = Reshape(*store_).flatten_now("web01");
    ASSERT_TRUE(done) << message_of(done);
    EXPECT_EQ(difference(export_of(*store_, "web01"), content), Difference{});
    EXPECT_EQ(store_->find_instance("web01")->template_name, "");
    EXPECT_EQ(store_->space_of("web01")->shared_bytes, 0U);
    EXPECT_EQ(layer_files("web01"), 1U);
    EXPECT_TRUE(store_->remove_template({.name = "debian12", .version = 0, .tag = ""}));
    EXPECT_EQ(difference(export_of(*store_, "web01"), content), Difference{});
    EXPECT_EQ(store_->reset_instance("web01").error().code, ErrorCode::refused);
    EXPECT_EQ(message_of(Reshape(*store_).flatten_now("web01")),
              "instance web01 stands on no template already");
    ASSERT_TRUE(store_->snapshot("web01", "s"));
    EXPECT_EQ(difference(export_of(*store_, "web01"), content), Difference{});
}

/// Whoever serves it has filled in what the layer inherited; here, everything.
TEST_F(ReshapeTest, TheMomentOfFlatteningIsTheDocumentAndTheLayerFollows) {
    std::filesystem::create_directory(store_->boot_folder("debian12", 1));
    write_file("kernel", "a kernel");
    std::filesystem::rename(folder() / "kernel", store_->boot_folder("debian12", 1) / "kernel");
    const Uuid parent = store_->open_instance("web01").value()->layer.summary().parent.uuid;
    EXPECT_FALSE(parent.is_nil());
    ASSERT_TRUE(Reshape(*store_).note_flattening("web01"));
    EXPECT_TRUE(store_->find_instance("web01")->is_flattening);
    {
        const auto opened = store_->open_instance("web01");
        EXPECT_EQ(Reshape(*store_).finish_flatten("web01").error().code, ErrorCode::in_use);
    }
    const auto done = Reshape(*store_).finish_flatten("web01");
    ASSERT_TRUE(done) << message_of(done);
    const InstanceInfo info = store_->find_instance("web01").value();
    EXPECT_EQ(info.template_name, "");
    EXPECT_FALSE(info.is_flattening);
    EXPECT_EQ(read_all(store_->boot_folder(info) / "kernel").size(), 8U);
    ASSERT_TRUE(store_->remove_template({.name = "debian12", .version = 0, .tag = ""}));
    EXPECT_EQ(read_all(store_->boot_folder(info) / "kernel").size(), 8U);
    for (int i = 0; i < 2; ++i) {
        const auto opened = store_->open_instance("web01");
        ASSERT_TRUE(opened) << message_of(opened);
        EXPECT_TRUE((*opened)->layer.summary().parent.uuid.is_nil());
        EXPECT_EQ((*opened)->layer.summary().parent.overlap_limit, 0U);
    }
    EXPECT_TRUE(store_->remove_instance("web01"));
}

TEST_F(ReshapeTest, FlattenedAgainItBootsWithWhatItStoodOnLast) {
    for (const std::uint32_t version : {1U, 2U}) {
        const auto boot = store_->boot_folder("debian12", version);
        std::filesystem::create_directory(boot);
        write_file("kernel", std::string(version, 'k'));
        std::filesystem::rename(folder() / "kernel", boot / "kernel");
    }
    ASSERT_TRUE(Reshape(*store_).flatten_now("web01"));
    const auto moved = Reshape(*store_).rebase("web01", second_);
    ASSERT_TRUE(moved) << message_of(moved);
    const auto done = Reshape(*store_).flatten_now("web01");
    ASSERT_TRUE(done) << message_of(done);
    const InstanceInfo info = store_->find_instance("web01").value();
    EXPECT_EQ(read_all(store_->boot_folder(info) / "kernel").size(), 2U);
}

TEST_F(ReshapeTest, SnapshotsAreInTheWayOfFlattening) {
    ASSERT_TRUE(store_->snapshot("web01", "s"));
    EXPECT_EQ(message_of(Reshape(*store_).try_flatten("web01")),
              "the snapshots of instance web01 stand on what is below it: s; remove these first");
    EXPECT_FALSE(Reshape(*store_).note_flattening("web01"));
    ASSERT_TRUE(store_->remove_snapshot("web01", "s"));
    EXPECT_TRUE(Reshape(*store_).try_flatten("web01"));
    ASSERT_TRUE(Reshape(*store_).note_flattening("web01"));
    ASSERT_TRUE(Reshape(*store_).forget_flattening("web01"));
    EXPECT_FALSE(store_->find_instance("web01")->is_flattening);
}

}  // namespace
}  // namespace cowtgt::store
