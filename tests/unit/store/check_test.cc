// What a check finds in a store, and what it puts right. Flipped bits: e2e_check, corruption_test.

#include "cow-store/store/check.h"

#include <fcntl.h>

#include <fstream>

#include "cow-store/file_posix.h"
#include "cow-store/store/open_instance.h"
#include "cow-store/volume/layer_pages.h"
#include "cow-store/volume/layer_state.h"
#include "tests/unit/store/store_fixture.h"

namespace cowtgt::store {
namespace {

class Check : public StoreTest {
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
    }

    CheckReport check(const CheckOptions& options = {}) const {
        CheckHost host;
        host.at_rest = [](std::string_view, const std::function<Result<void>()>& work) {
            return work();
        };
        const Result<CheckReport> report = check_store(store_->context(), options, host);
        EXPECT_TRUE(report) << message_of(report);
        return report ? *report : CheckReport{};
    }
    static CheckOptions repair() { return {.name = "", .repair = true, .accept_copy = false}; }

    std::filesystem::path live() const { return root() / "instances/web01/live.cow"; }
    std::filesystem::path image() const { return root() / "templates/debian12/1/image.raw"; }

    std::unique_ptr<Store> store_;
};

TEST_F(Check, AFreshStoreIsClean) {
    const CheckReport report = check();
    EXPECT_TRUE(report.is_clean());
    EXPECT_TRUE(report.findings.empty());
    EXPECT_GT(report.bytes, 0U);
}

TEST_F(Check, ALayerThatIsNotHashedYetIsNoDamage) {
    ASSERT_TRUE(store_->snapshot("web01", "before"));
    const CheckReport report = check();
    EXPECT_TRUE(report.is_clean());
    ASSERT_EQ(report.findings.size(), 1U);
    EXPECT_EQ(report.findings.front().kind, CheckFinding::Kind::notice);
}

TEST_F(Check, AFencedLayerIsOpenedAgainWhenThatIsAsked) {
    {
        const auto file = PosixFile::open(live(), O_RDWR);
        Superblock superblock = read_superblocks(**file)->chosen;
        superblock.phase = LayerPhase::fenced;
        ASSERT_TRUE(write_superblocks(**file, superblock));
    }
    EXPECT_EQ(store_->open_instance("web01").error().code, ErrorCode::refused);
    const CheckReport found = check();
    ASSERT_EQ(found.findings.size(), 1U);
    EXPECT_EQ(found.findings.front().kind, CheckFinding::Kind::refused);
    EXPECT_EQ(found.findings.front().objects, std::vector<std::string>{"instance web01"});
    EXPECT_FALSE(found.is_clean());
    EXPECT_EQ(store_->open_instance("web01").error().code, ErrorCode::refused);

    EXPECT_TRUE(check(repair()).is_clean());
    EXPECT_TRUE(store_->open_instance("web01"));
}

TEST_F(Check, MoreThanOneBitIsLocatedButNotMadeUp) {
    const Content before = read_all(image());
    std::filesystem::permissions(image(), std::filesystem::perms::owner_write,
                                 std::filesystem::perm_options::add);
    {
        std::fstream file(image(), std::ios::in | std::ios::out | std::ios::binary);
        file.seekp(3 * mebibyte + 5);
        file << "something else";
    }
    const CheckReport report = check(repair());
    EXPECT_FALSE(report.is_clean());
    ASSERT_EQ(report.findings.size(), 1U);
    const CheckFinding& finding = report.findings.front();
    EXPECT_EQ(finding.kind, CheckFinding::Kind::damage);
    EXPECT_EQ(finding.place, (ByteRange{3 * mebibyte, 3 * mebibyte + chunk_size}));
    EXPECT_EQ(finding.guest, std::vector<ByteRange>{finding.place});
    EXPECT_EQ(finding.objects, (std::vector<std::string>{"template debian12@1", "instance web01"}));
    EXPECT_NE(difference(read_all(image()), before), Difference{});
}

TEST_F(Check, AFileThatIsGoneIsNamed) {
    std::filesystem::remove(image());
    const CheckReport report = check();
    ASSERT_EQ(report.findings.size(), 1U);
    EXPECT_EQ(report.findings.front().sentence,
              "the image " + image().string() + " is gone; restore it from a backup");
}

TEST_F(Check, OnlyWhatTheNameMeansIsRead) {
    std::filesystem::remove(live());
    EXPECT_TRUE(check({.name = "debian12"}).is_clean());
    EXPECT_FALSE(check({.name = "web01"}).is_clean());
    const Result<CheckReport> unknown = check_store(store_->context(), {.name = "web02"}, {});
    EXPECT_EQ(unknown.error().code, ErrorCode::not_found);
}

}  // namespace
}  // namespace cowtgt::store
