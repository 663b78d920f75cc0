// Sealed layers: hashed after they were sealed, verified at read while they are in doubt.

#include "cow-store/store/verification.h"

#include <fstream>

#include "cow-store/store/catalogue.h"
#include "cow-store/store/chain.h"
#include "cow-store/store/file_system.h"
#include "cow-store/store/open_instance.h"
#include "tests/unit/store/store_fixture.h"

namespace cowtgt::store {
namespace {

class SealedLayers : public StoreTest {
protected:
    void SetUp() override {
        StoreTest::SetUp();
        store_ = make();
        ImportOptions import;
        import.image = make_image("image", 8 * mebibyte, 1);
        import.name = "debian12";
        ASSERT_TRUE(store_->import_template(import));
        CloneOptions options;
        options.source.name = "debian12";
        options.name = "web01";
        ASSERT_TRUE(store_->clone(options));
        ASSERT_TRUE(store_->snapshot("web01", "before"));
    }

    std::vector<Verification> pending() const {
        return pending_verifications(store_->context()).value();
    }
    /// What the daemon does in the background.
    void verify_all() const {
        for (Verification& work : pending()) {
            const Result<void> verified = verify(store_->context(), work, {});
            ASSERT_TRUE(verified) << message_of(verified);
            for (const Owner& owner : work.owners)
                ASSERT_TRUE(settle(store_->context(), work, owner));
        }
    }
    InstanceDocument document(const std::string& name = "web01") const {
        return load_instance(store_->context(), name).value();
    }
    std::filesystem::path layer() const {
        return root() / "instances/web01" / document().sealed.front().file;
    }
    std::vector<std::string> sums() const { return list_directory(root() / "sums").value(); }

    enum class Stamp { kept, fresh };
    /// Flips one bit of the file, as a failing disk would (kept) or whoever writes to it (fresh).
    static void flip_bit(const std::filesystem::path& path, std::uint64_t offset, Stamp stamp) {
        const auto before = std::filesystem::last_write_time(path);
        std::filesystem::permissions(path, std::filesystem::perms::owner_write,
                                     std::filesystem::perm_options::add);
        std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
        file.seekg(static_cast<std::streamoff>(offset));
        const int byte = file.get();
        file.seekp(static_cast<std::streamoff>(offset));
        file.put(static_cast<char>(byte ^ 4));
        file.close();
        if (stamp == Stamp::kept) std::filesystem::last_write_time(path, before);
    }
    /// Where the layer keeps the first cluster that it has.
    std::uint64_t data_offset() const {
        const auto chain = open_chain(store_->context(), "web01", document(),
                                      template_of(store_->context(), "web01", document()).value(),
                                      document().live_parent);
        return std::get<InLayer>(
                   chain->layers.front().map->find(ClusterIndex{0}, ClusterCount{1}).place)
                   .unit *
               std::uint64_t{unit_size};
    }

    std::unique_ptr<Store> store_;
};

TEST_F(SealedLayers, AreHashedOnceAfterTheyWereSealed) {
    EXPECT_FALSE(store_->snapshots("web01")->front().verified);
    ASSERT_EQ(pending().size(), 1U);
    EXPECT_FALSE(pending().front().is_in_doubt);
    verify_all();
    EXPECT_TRUE(store_->snapshots("web01")->front().verified);
    EXPECT_TRUE(pending().empty());
    EXPECT_EQ(sums().size(), 2U);
    EXPECT_NE(document().sealed.front().content_id, 0U);
}

TEST_F(SealedLayers, TellTheirContentIdToWhatIsMadeOnThemLater) {
    verify_all();
    CloneOptions options;
    options.name = "web02";
    ASSERT_TRUE(store_->clone_snapshot("web01", "before", options));
    const auto clone = store_->open_instance("web02").value();
    EXPECT_EQ(clone->layer.summary().parent.content_id, document().sealed.front().content_id);
    const auto first = store_->open_instance("web01").value();
    EXPECT_EQ(first->layer.summary().parent.content_id, 0U);
}

TEST_F(SealedLayers, ACloneThatWasMadeMeanwhileLearnsItTheNextTime) {
    std::vector<Verification> work = pending();
    CloneOptions options;
    options.name = "web02";
    ASSERT_TRUE(store_->clone_snapshot("web01", "before", options));
    ASSERT_TRUE(verify(store_->context(), work.front(), {}));
    ASSERT_TRUE(settle(store_->context(), work.front(), {"web01", 0}));
    EXPECT_EQ(document("web02").sealed.front().content_id, 0U);
    verify_all();
    EXPECT_EQ(document("web02").sealed.front().content_id, document().sealed.front().content_id);
    EXPECT_TRUE(pending().empty());
}

TEST_F(SealedLayers, ACopyIsVerifiedAtReadUntilAllOfItWas) {
    verify_all();
    const Content before = export_of(*store_, "web01");
    std::filesystem::copy_file(layer(), folder() / "copy");
    std::filesystem::rename(folder() / "copy", layer());
    {
        const auto opened = store_->open_instance("web01").value();
        ASSERT_NE(opened->below.layers.front().file.sums, nullptr);
    }
    EXPECT_EQ(difference(export_of(*store_, "web01"), before), Difference{});
    ASSERT_EQ(pending().size(), 1U);
    EXPECT_TRUE(pending().front().is_in_doubt);
    verify_all();
    EXPECT_EQ(store_->open_instance("web01").value()->below.layers.front().file.sums, nullptr);
}

TEST_F(SealedLayers, OneThatWasWrittenToIsNeverServedUnseen) {
    verify_all();
    const std::uint64_t offset = data_offset();
    flip_bit(layer(), offset, Stamp::fresh);
    const auto ignore = [](std::uint64_t, std::span<const std::byte>) { return Result<void>{}; };
    EXPECT_EQ(message_of(store_->export_instance("web01", ignore, {})),
              "the sealed layer " + layer().string() +
                  " is not what it was: it differs within the 64 KiB from byte " +
                  std::to_string(offset / chunk_size * chunk_size) + "; restore it from a backup");
    EXPECT_EQ(verify(store_->context(), pending().front(), {}).error().code, ErrorCode::corrupt);
}

TEST_F(SealedLayers, OneThatWasWrittenToBeforeItWasHashedIsRefused) {
    flip_bit(layer(), data_offset(), Stamp::fresh);
    EXPECT_EQ(store_->open_instance("web01").error().code, ErrorCode::refused);
}

TEST_F(SealedLayers, LostHashesAreMadeAgainAndMustBeTheSame) {
    verify_all();
    std::filesystem::remove_all(root() / "sums");
    std::vector<Verification> work = pending();
    EXPECT_TRUE(work.empty());  // the documents know the content id
    InstanceDocument known = document();
    SealedFile file = sealed_file(store_->context(), known.sealed.front(), layer().parent_path());
    Verification again{file, {{"web01", 0}}, false};
    ASSERT_TRUE(verify(store_->context(), again, {}));
    EXPECT_EQ(sums().size(), 2U);

    std::filesystem::remove_all(root() / "sums");
    flip_bit(layer(), data_offset(), Stamp::kept);
    EXPECT_EQ(verify(store_->context(), again, {}).error().code, ErrorCode::corrupt);
    EXPECT_TRUE(sums().empty());
}

TEST_F(SealedLayers, HashesGoWithTheLayer) {
    verify_all();
    ASSERT_TRUE(remove_unused_sums(store_->context()));
    EXPECT_EQ(sums().size(), 2U);
    ASSERT_TRUE(store_->reset_instance("web01"));
    ASSERT_TRUE(store_->remove_snapshot("web01", "before"));
    ASSERT_TRUE(remove_unused_sums(store_->context()));
    EXPECT_TRUE(sums().empty());
}

TEST_F(SealedLayers, AnEndedVerificationBeginsAgain) {
    const Pace stop = [](std::uint64_t) -> Result<void> {
        return Error{ErrorCode::failed, "the daemon stops"};
    };
    ASSERT_FALSE(verify(store_->context(), pending().front(), stop));
    EXPECT_TRUE(leftovers().empty());
    verify_all();
    EXPECT_TRUE(store_->snapshots("web01")->front().verified);
}

}  // namespace
}  // namespace cowtgt::store
