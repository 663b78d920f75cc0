#include <unistd.h>

#include <cerrno>

#include "cow-store/store/file_system.h"
#include "tests/unit/store/store_fixture.h"

namespace cowtgt::store {
namespace {

using Directory = StoreTest;

TEST_F(Directory, ANewStoreIsEmpty) {
    const auto store = make();
    ASSERT_NE(store, nullptr);
    EXPECT_TRUE(store->templates().value().empty());
    EXPECT_TRUE(store->instances().value().empty());
    EXPECT_TRUE(store->cleaned_up().empty());
}

TEST_F(Directory, IsNotMadeTwiceNorAmongOtherThings) {
    ASSERT_TRUE(Store::create(root()));
    const Result<void> again = Store::create(root());
    ASSERT_FALSE(again);
    EXPECT_EQ(again.error().code, ErrorCode::exists);
    EXPECT_EQ(again.error().message, "there is a store in " + root().string() +
                                         " already; use it, or choose another folder");
    write_file("letter.txt", "dear");
    const Result<void> foreign = Store::create(folder());
    ASSERT_FALSE(foreign);
    EXPECT_EQ(foreign.error().code, ErrorCode::refused);
    EXPECT_EQ(foreign.error().message, "the folder " + folder().string() +
                                           " is not empty: it holds letter.txt; choose an empty "
                                           "one for the store");
}

TEST_F(Directory, MayBeAnEmptyFolderOrAFreshFileSystem) {
    std::filesystem::create_directories(root() / "lost+found");
    ASSERT_TRUE(Store::create(root()));
    EXPECT_NE(open(), nullptr);
}

TEST_F(Directory, ThatIsNoneIsNotFound) {
    const Result<std::unique_ptr<Store>> store = Store::open(root(), Locking::exclusive);
    ASSERT_FALSE(store);
    EXPECT_EQ(store.error().code, ErrorCode::not_found);
    EXPECT_EQ(store.error().message,
              "there is no store in " + root().string() + "; `cowtgt init` makes one");
}

TEST_F(Directory, IsUsedByOneAtATimeWhoIsNamed) {
    auto store = make();
    const Result<std::unique_ptr<Store>> second = Store::open(root(), Locking::exclusive);
    ASSERT_FALSE(second);
    EXPECT_EQ(second.error().code, ErrorCode::in_use);
    EXPECT_EQ(second.error().message, "the store " + root().string() + " is in use by " +
                                          program_name() + " (process " +
                                          std::to_string(::getpid()) + "); stop it first");
    EXPECT_NE(open(Locking::none), nullptr);
    store.reset();
    EXPECT_NE(open(), nullptr);
}

TEST_F(Directory, OfANewerFormatIsLeftAlone) {
    ASSERT_TRUE(Store::create(root()));
    std::string text = read_text_file(root() / "store.json").value();
    text.replace(text.find("\"format\": 1"), 11, "\"format\": 7");
    write_file("store/store.json", text);
    for (const Locking locking : {Locking::exclusive, Locking::none}) {
        const Result<std::unique_ptr<Store>> store = Store::open(root(), locking);
        ASSERT_FALSE(store);
        EXPECT_EQ(store.error().code, ErrorCode::unsupported);
        EXPECT_EQ(store.error().message,
                  (root() / "store.json").string() +
                      " has format 7, which is newer than the 1 that this cowtgt knows; use a "
                      "newer cowtgt");
    }
}

TEST_F(Directory, KeepsABallast) {
    auto store = make();
    EXPECT_GE(allocated_bytes_of(root() / "ballast"), 8 * mebibyte);
    store.reset();
    std::filesystem::remove(root() / "ballast");
    store = open();
    EXPECT_GE(allocated_bytes_of(root() / "ballast"), 8 * mebibyte);
}

TEST_F(Directory, OnAFullDiskResetAndRemoveUseTheBallast) {
    ASSERT_TRUE(Store::create(root()));
    bool full = false;
    Environment environment;
    // Nothing can be written while the ballast is there; removing is possible.
    environment.before_step = [&](std::string_view step) {
        const bool takes_space = !step.starts_with("removing") && !step.ends_with("/ballast");
        return full && takes_space && std::filesystem::exists(root() / "ballast") ? ENOSPC : 0;
    };
    const auto store = open(Locking::exclusive, environment);
    ImportOptions import;
    import.image = make_image("image", 4 * mebibyte, 1);
    import.name = "debian12";
    ASSERT_TRUE(store->import_template(import));
    CloneOptions clone;
    clone.source.name = "debian12";
    clone.name = "web01";
    ASSERT_TRUE(store->clone(clone));

    full = true;
    clone.name = "web02";
    const Result<InstanceInfo> refused = store->clone(clone);
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().code, ErrorCode::no_space);
    EXPECT_TRUE(store->reset_instance("web01"));
    EXPECT_TRUE(store->remove_instance("web01"));
    EXPECT_TRUE(store->remove_template({.name = "debian12", .version = 0, .tag = ""}));
    EXPECT_GE(allocated_bytes_of(root() / "ballast"), 8 * mebibyte);
}

}  // namespace
}  // namespace cowtgt::store
