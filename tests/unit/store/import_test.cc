#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <fstream>

#include "cow-store/descriptor.h"
#include "tests/unit/store/store_fixture.h"

namespace cowtgt::store {
namespace {

class Import : public StoreTest {
protected:
    static Result<ImportResult> import(Store& store, const std::filesystem::path& image,
                                       const std::string& name = "debian12") {
        ImportOptions options;
        options.image = image;
        options.name = name;
        return store.import_template(options);
    }

    /// The import fails with this sentence and code and leaves nothing.
    void expect_refused(Store& store, const std::filesystem::path& image, ErrorCode code,
                        const std::string& sentence) const {
        const Result<ImportResult> imported = import(store, image);
        ASSERT_FALSE(imported);
        EXPECT_EQ(imported.error().message, sentence);
        EXPECT_EQ(imported.error().code, code);
        expect_nothing(store);
    }

    void expect_nothing(const Store& store) const {
        EXPECT_TRUE(store.templates().value().empty());
        EXPECT_TRUE(leftovers().empty());
    }
};

/// Makes a file this process's standard input for a while.
class StandardInput {
public:
    explicit StandardInput(const std::filesystem::path& path) : saved_(::dup(STDIN_FILENO)) {
        const Descriptor file(::open(path.c_str(), O_RDONLY));
        ::dup2(file.get(), STDIN_FILENO);
    }
    ~StandardInput() { ::dup2(saved_.get(), STDIN_FILENO); }

private:
    Descriptor saved_;
};

bool run(const std::string& command) {
    return std::system((command + " >/dev/null 2>&1").c_str()) == 0;
}

TEST_F(Import, ARawImageComesBackByteForByte) {
    const auto image = make_image("a.raw", 8 * mebibyte + 512, 1);
    const auto store = make();
    const Result<ImportResult> imported = import(*store, image);
    ASSERT_TRUE(imported) << message_of(imported);
    EXPECT_EQ(imported->info.name, "debian12");
    EXPECT_EQ(imported->info.version, 1U);
    EXPECT_EQ(imported->info.size_bytes, 8 * mebibyte + 512);
    EXPECT_EQ(imported->info.block_size, 512U);
    EXPECT_EQ(imported->info.source, image.string());
    EXPECT_EQ(imported->info.content_id.size(), 16U);
    EXPECT_FALSE(imported->info.uuid.is_nil());
    EXPECT_EQ(imported->twin, "");
    EXPECT_EQ(export_of(*store, {.name = "debian12", .version = 0, .tag = ""}), read_all(image));
    EXPECT_TRUE(leftovers().empty());
}

TEST_F(Import, TheIdentityIsShown) {
    const auto store = make();
    const Result<ImportResult> imported = import(*store, make_image("a.raw", 4 * mebibyte, 1));
    ASSERT_TRUE(imported);
    const auto& items = imported->info.identity;
    const auto item = std::find_if(items.begin(), items.end(), [](const IdentityItem& i) {
        return i.kind == "disk-signature";
    });
    ASSERT_NE(item, items.end());
    EXPECT_NE(item->old_value.find("c0de0001"), std::string::npos) << item->old_value;
    EXPECT_EQ(item->kept_because, "");
}

TEST_F(Import, TheImageIsSealedAndSparse) {
    const auto store = make();
    ASSERT_TRUE(import(*store, make_image("a.raw", 64 * mebibyte, 1)));
    const auto path = root() / "templates/debian12/1/image.raw";
    struct stat status {};
    ASSERT_EQ(::stat(path.c_str(), &status), 0);
    EXPECT_EQ(status.st_mode & 07777U, 0444U);
    EXPECT_EQ(status.st_size, static_cast<off_t>(64 * mebibyte));
    EXPECT_LT(status.st_blocks * 512, static_cast<blkcnt_t>(mebibyte));
}

TEST_F(Import, ZerosInTheImageTakeNoSpace) {
    const auto image = write_file("a.raw", std::string(4 * mebibyte, '\0'));
    const auto store = make();
    const Result<ImportResult> imported = import(*store, image);
    ASSERT_TRUE(imported) << message_of(imported);
    EXPECT_EQ(imported->info.allocated_bytes, 0U);
    EXPECT_EQ(export_of(*store, {.name = "debian12", .version = 1, .tag = ""}), read_all(image));
}

TEST_F(Import, TheSameContentSparseOrNotHasTheSameIdAndNamesItsTwin) {
    const auto sparse = make_image("a.raw", 8 * mebibyte, 1);
    ASSERT_TRUE(run("cp --sparse=never " + sparse.string() + " " + (folder() / "b.raw").string()));
    const auto store = make();
    const Result<ImportResult> first = import(*store, sparse, "one");
    const Result<ImportResult> second = import(*store, folder() / "b.raw", "two");
    const Result<ImportResult> other = import(*store, make_image("c.raw", 8 * mebibyte, 2), "two");
    ASSERT_TRUE(first && second && other);
    EXPECT_EQ(first->info.content_id, second->info.content_id);
    EXPECT_NE(first->info.content_id, other->info.content_id);
    EXPECT_NE(first->info.uuid, second->info.uuid);
    EXPECT_EQ(second->twin, "one@1");
    EXPECT_EQ(other->twin, "");
    EXPECT_EQ(other->info.version, 2U);
}

TEST_F(Import, ZerosAtTheEndAreContent) {
    const auto image = make_image("a.raw", 8 * mebibyte, 1);
    const auto store = make();
    const Result<ImportResult> first = import(*store, image);
    std::filesystem::resize_file(image, 9 * mebibyte);
    const Result<ImportResult> longer = import(*store, image);
    ASSERT_TRUE(first && longer);
    EXPECT_NE(first->info.content_id, longer->info.content_id);
    EXPECT_EQ(longer->twin, "");
}

TEST_F(Import, ImportingOverADaemonNeedsNoLock) {
    const auto store = make();
    const auto beside = open(Locking::none);
    ASSERT_TRUE(import(*beside, make_image("a.raw", 4 * mebibyte, 1)));
    EXPECT_EQ(store->templates().value().size(), 1U);
}

TEST_F(Import, StandardInput) {
    const auto image = make_image("a.raw", 4 * mebibyte, 1);
    const auto store = make();
    const StandardInput input(image);
    const Result<ImportResult> imported = import(*store, "-");
    ASSERT_TRUE(imported) << message_of(imported);
    EXPECT_EQ(imported->info.source, "-");
    EXPECT_EQ(export_of(*store, {.name = "debian12", .version = 1, .tag = ""}), read_all(image));
}

TEST_F(Import, StandardInputThatIsNoDisk) {
    const auto store = make();
    {
        const StandardInput input(write_file("empty", ""));
        expect_refused(*store, "-", ErrorCode::failed,
                       "standard input cannot be imported: it is empty");
    }
    {
        const StandardInput input(write_file("odd", std::string(700, 'x')));
        expect_refused(*store, "-", ErrorCode::failed,
                       "standard input cannot be imported: its size, 700 bytes, is not a multiple "
                       "of 512, so it is no image of a disk");
    }
    {
        const StandardInput input(write_file("qcow2", "QFI\xfb" + std::string(508, 'x')));
        const Result<ImportResult> imported = import(*store, "-");
        ASSERT_FALSE(imported);
        EXPECT_TRUE(imported.error().message.starts_with("standard input cannot be imported: "));
        expect_nothing(*store);
    }
}

TEST_F(Import, ImagesThatAreNoDisk) {
    const auto store = make();
    const std::string missing = (folder() / "missing").string();
    expect_refused(*store, missing, ErrorCode::not_found, "there is no image " + missing);
    const std::string empty = write_file("empty", "").string();
    expect_refused(*store, empty, ErrorCode::failed, empty + " cannot be imported: it is empty");
    const std::string odd = write_file("odd", std::string(1000, 'x')).string();
    expect_refused(*store, odd, ErrorCode::failed,
                   odd +
                       " cannot be imported: its size, 1000 bytes, is not a multiple of 512, so "
                       "it is no image of a disk");
    expect_refused(*store, folder(), ErrorCode::failed,
                   folder().string() + " cannot be imported: it is a folder");
    expect_refused(*store, "/dev/null", ErrorCode::failed,
                   "/dev/null cannot be imported: it is neither a file nor a disk (standard input "
                   "is named -)");
}

TEST_F(Import, AnIllegalName) {
    const auto store = make();
    const Result<ImportResult> imported =
        import(*store, make_image("a.raw", 4 * mebibyte, 1), "../x");
    ASSERT_FALSE(imported);
    EXPECT_EQ(imported.error().code, ErrorCode::usage);
    expect_nothing(*store);
}

TEST_F(Import, WhatDoesNotFitIsNoticedBeforeTheDiskIsFull) {
    ASSERT_TRUE(Store::create(root()));
    Environment environment;
    environment.free_bytes = [] { return 40 * mebibyte; };
    const auto store = open(Locking::exclusive, environment);
    const std::string image = make_image("a.raw", 4 * mebibyte, 1).string();
    expect_refused(*store, image, ErrorCode::no_space,
                   image + " does not fit into the store " + root().string() +
                       ": its data needs more than the space that is free there; free some, or "
                       "make the file system larger");
}

TEST_F(Import, WhatDoesNotFitIsNoticedWhileReading) {
    ASSERT_TRUE(Store::create(root()));
    Environment environment;
    int looks = 0;
    environment.free_bytes = [&looks] { return ++looks < 3 ? gibibyte : mebibyte; };
    const auto store = open(Locking::exclusive, environment);
    const auto image = write_file("a.raw", std::string(96 * mebibyte, 'x'));
    const Result<ImportResult> imported = import(*store, image);
    ASSERT_FALSE(imported);
    EXPECT_EQ(imported.error().code, ErrorCode::no_space);
    EXPECT_EQ(looks, 3);
    expect_nothing(*store);
}

TEST_F(Import, AnImageThatIsWrittenToMeanwhile) {
    const auto store = make();
    const auto image = make_image("a.raw", 4 * mebibyte, 1);
    ImportOptions options;
    options.image = image;
    options.name = "debian12";
    options.progress = [&image](std::uint64_t, std::uint64_t) {
        std::ofstream(image, std::ios::app) << std::string(512, 'x');
    };
    const Result<ImportResult> imported = store->import_template(options);
    ASSERT_FALSE(imported);
    EXPECT_EQ(imported.error().message,
              image.string() +
                  " was written to while it was being imported; stop whatever uses "
                  "it and import it again");
    expect_nothing(*store);
}

TEST_F(Import, OtherFormatsThroughQemuImg) {
    const auto raw = make_image("a.raw", 8 * mebibyte, 1);
    const auto store = make();
    const auto wanted = import(*store, raw, "raw");
    ASSERT_TRUE(wanted);
    for (const std::string format : {"qcow2", "vmdk", "vhdx", "vdi"}) {
        const auto image = folder() / ("image-without-a-telling-name-" + format);
        ASSERT_TRUE(run("qemu-img convert -f raw -O " + format + " " + raw.string() + " " +
                        image.string()));
        const Result<ImportResult> imported = import(*store, image, format);
        ASSERT_TRUE(imported) << message_of(imported);
        EXPECT_EQ(imported->info.content_id, wanted->info.content_id) << format;
        EXPECT_EQ(imported->twin, "raw@1") << format;
        ASSERT_TRUE(store->remove_template({.name = format, .version = 0, .tag = ""}));
    }
}

TEST_F(Import, AQcow2WithoutItsBackingFile) {
    const auto base = make_image("base.raw", 4 * mebibyte, 1);
    const auto image = folder() / "top.qcow2";
    ASSERT_TRUE(run("qemu-img create -f qcow2 -F raw -b " + base.string() + " " + image.string()));
    std::filesystem::remove(base);
    const auto store = make();
    const Result<ImportResult> imported = import(*store, image);
    ASSERT_FALSE(imported);
    EXPECT_EQ(imported.error().code, ErrorCode::failed);
    const std::string& message = imported.error().message;
    EXPECT_TRUE(message.starts_with(image.string() + " cannot be imported: ")) << message;
    EXPECT_NE(message.find("Could not open '" + base.string() + "'"), std::string::npos) << message;
    EXPECT_EQ(message.find('\n'), std::string::npos) << message;
    expect_nothing(*store);
}

TEST_F(Import, ASparseImageOfAnySizeIsQuickAndSmall) {
    const auto store = make();
    const Result<ImportResult> imported = import(*store, make_image("a.raw", 1024 * gibibyte, 1));
    ASSERT_TRUE(imported) << message_of(imported);
    EXPECT_EQ(imported->info.size_bytes, 1024 * gibibyte);
    EXPECT_LT(imported->info.allocated_bytes, mebibyte);
}

}  // namespace
}  // namespace cowtgt::store
