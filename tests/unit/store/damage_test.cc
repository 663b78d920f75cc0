#include <sys/stat.h>

#include <fstream>

#include "cow-store/store/file_system.h"
#include "cow-store/store/open_instance.h"
#include "cow-store/store/verification.h"
#include "tests/unit/store/store_fixture.h"

namespace cowtgt::store {
namespace {

/// A store with one template and one instance, which something happens to.
class Damage : public StoreTest {
protected:
    void SetUp() override {
        StoreTest::SetUp();
        store_ = make();
        ImportOptions import;
        import.image = make_image("image", 8 * mebibyte, 1);
        import.name = "debian12";
        ASSERT_TRUE(store_->import_template(import));
        ASSERT_TRUE(clone("web01"));
    }

    Result<InstanceInfo> clone(const std::string& name) {
        CloneOptions options;
        options.source.name = "debian12";
        options.name = name;
        return store_->clone(options);
    }

    std::filesystem::path template_file(const std::string& name) const {
        return root() / "templates/debian12/1" / name;
    }
    std::filesystem::path image() const { return template_file("image.raw"); }

    void overwrite(std::uint64_t offset, char byte) const {
        std::filesystem::permissions(image(), std::filesystem::perms::owner_write,
                                     std::filesystem::perm_options::add);
        std::fstream file(image(), std::ios::in | std::ios::out | std::ios::binary);
        file.seekp(static_cast<std::streamoff>(offset));
        file.put(byte);
    }

    /// As a restore from a backup does: the same content, another inode and time.
    void restore_image() const {
        std::filesystem::copy_file(image(), folder() / "backup");
        std::filesystem::rename(folder() / "backup", image());
    }

    /// Nothing is made of the template and nothing served over it, and the sentence says why.
    void expect_refused(const std::string& sentence) {
        for (const std::string& message :
             {message_of(clone("web02")), message_of(store_->open_instance("web01")),
              message_of(store_->reset_instance("web01")), message_of(read_template())}) {
            EXPECT_EQ(message, sentence);
        }
        EXPECT_EQ(clone("web02").error().code, ErrorCode::refused);
        EXPECT_EQ(store_->instances().value().size(), 1U);
        EXPECT_TRUE(leftovers().empty());
    }

    /// What is still there can be read; whoever reads the chunk at `offset` is told.
    void expect_found_when_read(std::uint64_t offset) {
        const std::string sentence =
            "the image " + image().string() +
            " is not what it was: it differs within the 64 KiB from byte " +
            std::to_string(offset) + "; restore it from a backup";
        EXPECT_EQ(message_of(read_template()), sentence);
        EXPECT_EQ(message_of(store_->export_instance("web01", ignore, {})), sentence);
        std::vector<Verification> pending = pending_verifications(store_->context()).value();
        ASSERT_EQ(pending.size(), 1U);
        EXPECT_TRUE(pending.front().is_in_doubt);
        EXPECT_EQ(message_of(verify(store_->context(), pending.front(), {})), sentence);
        EXPECT_EQ(message_of(read_template()), sentence);
    }

    Result<void> read_template() const {
        return store_->export_template({.name = "debian12", .version = 1, .tag = ""}, ignore, {});
    }
    static Result<void> ignore(std::uint64_t, std::span<const std::byte>) { return {}; }

    std::string remedy() const {
        return "; restore it from a backup, or import the image again as a new version";
    }

    std::unique_ptr<Store> store_;
};

TEST_F(Damage, AnImageThatWasWrittenToIsNeverServedUnseen) {
    overwrite(3 * mebibyte, 'x');
    expect_found_when_read(3 * mebibyte);
}

TEST_F(Damage, AnImageOfAnotherSizeIsRefused) {
    std::filesystem::resize_file(image(), 9 * mebibyte);
    expect_refused("the image " + image().string() +
                   " is not the one that was imported: it has 9437184 bytes instead of 8388608" +
                   remedy());
}

TEST_F(Damage, AnImageWithAHoleInItsDataIsNeverServedUnseen) {
    std::filesystem::resize_file(image(), 0);
    std::filesystem::resize_file(image(), 8 * mebibyte);
    expect_found_when_read(0);
}

TEST_F(Damage, AnImageThatIsGoneIsNamed) {
    std::filesystem::remove(image());
    expect_refused("the image " + image().string() + " is gone; restore it from a backup");
}

TEST_F(Damage, ARestoredImageIsVerifiedAtReadUntilAllOfItWas) {
    restore_image();
    const std::string before = read_text_file(template_file("template.json")).value();
    const auto opened = store_->open_instance("web01").value();
    ASSERT_NE(opened->below.base.sums, nullptr);
    EXPECT_FALSE(opened->below.base.sums->believed());
    EXPECT_TRUE(clone("web02"));
    EXPECT_EQ(read_text_file(template_file("template.json")).value(), before);

    std::vector<Verification> pending = pending_verifications(store_->context()).value();
    ASSERT_EQ(pending.size(), 1U);
    ASSERT_TRUE(verify(store_->context(), pending.front(), {}));
    ASSERT_EQ(pending.front().owners, (std::vector<Owner>{{"debian12", 1}}));
    ASSERT_TRUE(settle(store_->context(), pending.front(), pending.front().owners.front()));
    EXPECT_TRUE(opened->below.base.sums->believed());
    EXPECT_TRUE(pending_verifications(store_->context()).value().empty());
    EXPECT_EQ(store_->open_instance("web02").value()->below.base.sums, nullptr);
}

TEST_F(Damage, ATrustedImageIsVerifiedAtReadIfThatIsWanted) {
    store_.reset();
    Environment careful;
    careful.verify_reads = VerifyReads::always;
    store_ = open(Locking::exclusive, careful);
    EXPECT_TRUE(read_template());
    const auto stamp = std::filesystem::last_write_time(image());
    overwrite(3 * mebibyte, 'x');
    std::filesystem::last_write_time(image(), stamp);
    EXPECT_EQ(read_template().error().code, ErrorCode::corrupt);
    const auto opened = store_->open_instance("web01").value();
    opened->below.base.sums->believe();
    EXPECT_FALSE(opened->below.base.sums->believed());
}

TEST_F(Damage, AnotherTemplateInItsPlaceIsRefused) {
    ImportOptions import;
    import.image = make_image("other", 8 * mebibyte, 2);
    import.name = "debian12";
    ASSERT_TRUE(store_->import_template(import));
    std::filesystem::rename(root() / "templates/debian12/1", folder() / "away");
    std::filesystem::rename(root() / "templates/debian12/2", root() / "templates/debian12/1");
    const std::string sentence =
        "template debian12@1 is not the one that instance web01 was made on; restore the folder " +
        (root() / "templates/debian12/1").string() + " from a backup";
    EXPECT_EQ(message_of(store_->open_instance("web01")), sentence);
    EXPECT_EQ(message_of(store_->reset_instance("web01")), sentence);
}

TEST_F(Damage, TheLayerOfAnotherTemplatesInstanceIsRefused) {
    ImportOptions import;
    import.image = make_image("other", 8 * mebibyte, 2);
    import.name = "other";
    ASSERT_TRUE(store_->import_template(import));
    CloneOptions options;
    options.source.name = "other";
    options.name = "web02";
    ASSERT_TRUE(store_->clone(options));
    std::filesystem::rename(root() / "instances/web02/live.cow",
                            root() / "instances/web01/live.cow");
    EXPECT_EQ(message_of(store_->open_instance("web01")),
              "the layer of instance web01 belongs to another template; restore the instance's "
              "folder from a backup");
}

TEST_F(Damage, ADamagedTemplateIsListedBesideTheOthers) {
    write_file("store/templates/debian12/1/template.json", "{");
    ImportOptions import;
    import.image = make_image("other", 8 * mebibyte, 2);
    import.name = "debian12";
    ASSERT_TRUE(store_->import_template(import));
    const std::vector<TemplateInfo> list = store_->templates().value();
    ASSERT_EQ(list.size(), 2U);
    EXPECT_EQ(list[0].damage,
              template_file("template.json").string() +
                  " is damaged (it is not the JSON that was written); restore it from a backup");
    EXPECT_EQ(list[1].damage, "");
    EXPECT_FALSE(store_->open_instance("web01"));
}

TEST_F(Damage, ADamagedInstanceIsListedKeepsItsTemplateAndCanBeRemoved) {
    ASSERT_TRUE(clone("web02"));
    ASSERT_TRUE(store_->remove_instance("web02"));
    write_file("store/instances/web01/instance.json", "{");
    ASSERT_TRUE(clone("web02"));
    const std::vector<InstanceInfo> list = store_->instances().value();
    ASSERT_EQ(list.size(), 2U);
    EXPECT_EQ(list[0].name, "web01");
    EXPECT_NE(list[0].damage, "");
    EXPECT_EQ(list[1].damage, "");
    EXPECT_EQ(store_->open_instance("web01").error().code, ErrorCode::corrupt);

    ASSERT_TRUE(store_->remove_instance("web02"));
    const TemplateRef all{.name = "debian12", .version = 0, .tag = ""};
    const Result<void> kept = store_->remove_template(all);
    ASSERT_FALSE(kept);
    EXPECT_EQ(kept.error().code, ErrorCode::in_use);
    EXPECT_EQ(kept.error().message,
              "template debian12 may be in use by instances that cannot be read: web01; restore "
              "or remove these first");
    ASSERT_TRUE(store_->remove_instance("web01"));
    EXPECT_TRUE(store_->remove_template(all));
}

TEST_F(Damage, AnInstanceWithoutItsLayerCanStillBeRemovedAndReset) {
    std::filesystem::remove(root() / "instances/web01/live.cow");
    EXPECT_EQ(message_of(store_->open_instance("web01")),
              "the layer " + (root() / "instances/web01/live.cow").string() +
                  " of instance web01 is gone; restore it from a backup, or remove the instance");
    ASSERT_TRUE(store_->reset_instance("web01"));
    EXPECT_TRUE(store_->open_instance("web01"));
    std::filesystem::remove(root() / "instances/web01/live.cow");
    EXPECT_TRUE(store_->remove_instance("web01"));
}

}  // namespace
}  // namespace cowtgt::store
