#include <algorithm>
#include <fstream>
#include <set>

#include "cow-store/store/documents.h"
#include "cow-store/store/file_system.h"
#include "cow-store/store/open_instance.h"
#include "tests/unit/store/store_fixture.h"

namespace cowtgt::store {
namespace {

class Clone : public StoreTest {
protected:
    std::unique_ptr<Store> store_with_template(std::uint64_t size = 8 * mebibyte) const {
        auto store = make();
        import(*store, size, 1);
        return store;
    }

    void import(Store& store, std::uint64_t size, std::uint32_t number) const {
        ImportOptions options;
        options.image = make_image("image", size, number);
        options.name = "debian12";
        const Result<ImportResult> imported = store.import_template(options);
        ASSERT_TRUE(imported) << message_of(imported);
    }

    static Result<InstanceInfo> clone(Store& store, const std::string& name,
                                      const std::string& from = "debian12",
                                      std::uint64_t size = 0) {
        CloneOptions options;
        options.source = parse_template_ref(from).value();
        options.name = name;
        options.size_bytes = size;
        return store.clone(options);
    }
};

TEST_F(Clone, DiffersFromTheTemplateInItsIdentityOnly) {
    const auto store = store_with_template();
    const Result<InstanceInfo> info = clone(*store, "web01");
    ASSERT_TRUE(info) << message_of(info);
    EXPECT_EQ(info->name, "web01");
    EXPECT_EQ(info->template_name, "debian12");
    EXPECT_EQ(info->template_version, 1U);
    EXPECT_EQ(info->size_bytes, 8 * mebibyte);
    const Difference changed =
        difference(export_of(*store, "web01"),
                   export_of(*store, {.name = "debian12", .version = 1, .tag = ""}));
    EXPECT_GE(changed.begin, signature_offset);
    EXPECT_LE(changed.end, signature_offset + signature_length);
    EXPECT_LT(changed.begin, changed.end);
    const auto item = std::ranges::find(info->identity, "disk-signature", &IdentityItem::kind);
    ASSERT_NE(item, info->identity.end());
    EXPECT_NE(item->new_value, "");
    EXPECT_NE(item->new_value, item->old_value);
}

TEST_F(Clone, SameSeedIsTheSameIdentity) {
    const auto store = store_with_template();
    const auto signature_of = [&](const std::string& name, std::uint8_t seed) {
        CloneOptions options;
        options.source.name = "debian12";
        options.name = name;
        options.identity_seed.bytes.fill(seed);
        const Result<InstanceInfo> info = store->clone(options);
        EXPECT_TRUE(info) << message_of(info);
        return info ? info->identity.at(0).new_value : "";
    };
    const std::string first = signature_of("a", 1);
    EXPECT_NE(first, "");
    EXPECT_EQ(signature_of("b", 1), first);
    EXPECT_NE(signature_of("c", 2), first);
}

TEST_F(Clone, KeptIdentityIsTheTemplatesAlsoAfterAReset) {
    const auto store = store_with_template();
    CloneOptions options;
    options.source.name = "debian12";
    options.name = "web01";
    options.identity.mode = IdentityMode::keep;
    const Result<InstanceInfo> info = store->clone(options);
    ASSERT_TRUE(info) << message_of(info);
    for (const IdentityItem& item : info->identity) {
        EXPECT_EQ(item.new_value, "");
        EXPECT_NE(item.kept_because, "");
    }
    const auto original = export_of(*store, {.name = "debian12", .version = 1, .tag = ""});
    EXPECT_EQ(export_of(*store, "web01"), original);
    ASSERT_TRUE(store->reset_instance("web01"));
    EXPECT_EQ(export_of(*store, "web01"), original);
}

TEST_F(Clone, RequiredIdentityThatCannotBeIsNoClone) {
    const auto store = make();
    ImportOptions import_options;
    import_options.image = make_image("image", 8 * mebibyte, 1);
    import_options.name = "squash";
    {
        // A file system that is known, but whose identity is not changed.
        const std::string magic = "hsqs";
        std::fstream image(import_options.image, std::ios::in | std::ios::out | std::ios::binary);
        image.seekp(0);
        image.write(std::string(512, '\0').data(), 512);
        image.seekp(0);
        image.write(magic.data(), static_cast<std::streamsize>(magic.size()));
    }
    ASSERT_TRUE(store->import_template(import_options));
    CloneOptions options;
    options.source.name = "squash";
    options.name = "web01";
    options.identity.mode = IdentityMode::require;
    const Result<InstanceInfo> info = store->clone(options);
    ASSERT_FALSE(info);
    EXPECT_EQ(info.error().code, ErrorCode::refused);
    EXPECT_NE(info.error().message.find("squashfs is not supported"), std::string::npos)
        << info.error().message;
    EXPECT_FALSE(store->find_instance("web01"));
    options.identity.mode = IdentityMode::automatic;
    EXPECT_TRUE(store->clone(options));
}

TEST_F(Clone, TwoHundredClonesAreTwoHundredMachines) {
    const auto store = store_with_template();
    std::set<std::string> signatures, uuids;
    for (int i = 0; i < 200; ++i) {
        const Result<InstanceInfo> info = clone(*store, "m" + std::to_string(i));
        ASSERT_TRUE(info) << message_of(info);
        const auto item = std::ranges::find(info->identity, "disk-signature", &IdentityItem::kind);
        ASSERT_NE(item, info->identity.end());
        signatures.insert(item->new_value);
        uuids.insert(to_string(info->uuid));
    }
    EXPECT_EQ(signatures.size(), 200U);
    EXPECT_EQ(uuids.size(), 200U);
    EXPECT_EQ(store->instances().value().size(), 200U);
    EXPECT_TRUE(leftovers().empty());
}

TEST_F(Clone, TakesTheSameLittleSpaceWhateverTheSize) {
    std::set<std::uint64_t> spaces;
    for (const std::uint64_t size : {gibibyte, 100 * gibibyte, 1024 * gibibyte}) {
        std::filesystem::remove_all(root());
        const auto store = store_with_template(size);
        ASSERT_TRUE(clone(*store, "web01"));
        spaces.insert(allocated_in(root() / "instances/web01"));
    }
    EXPECT_EQ(spaces.size(), 1U);
    EXPECT_LE(*spaces.rbegin(), 256U * 1024);
}

TEST_F(Clone, ALargerOneReadsAsZerosBehindTheTemplate) {
    const auto store = store_with_template();
    const Result<InstanceInfo> info = clone(*store, "web01", "debian12", 9 * mebibyte + 512);
    ASSERT_TRUE(info) << message_of(info);
    EXPECT_EQ(info->size_bytes, 9 * mebibyte + 512);
    Content content = export_of(*store, "web01");
    ASSERT_EQ(content.size(), 9 * mebibyte + 512);
    const auto end = content.begin() + static_cast<std::ptrdiff_t>(8 * mebibyte);
    EXPECT_TRUE(std::all_of(end, content.end(), [](std::byte b) { return b == std::byte{0}; }));
    content.resize(8 * mebibyte);
    const Difference changed =
        difference(content, export_of(*store, {.name = "debian12", .version = 1, .tag = ""}));
    EXPECT_LE(changed.end, signature_offset + signature_length);
}

TEST_F(Clone, WhatIsNotPossibleIsSaid) {
    const auto store = store_with_template();
    ASSERT_TRUE(clone(*store, "web01"));
    const struct {
        std::string name, from;
        std::uint64_t size;
        ErrorCode code;
        std::string sentence;
    } cases[] = {
        {"web01", "debian12", 0, ErrorCode::exists,
         "there is an instance web01 already; choose another name, or remove it first"},
        {"Web02", "debian12", 0, ErrorCode::usage,
         "'Web02' cannot be a name: only a-z, 0-9 and - may stand in it"},
        {"web02", "ubuntu", 0, ErrorCode::not_found,
         "there is no template ubuntu; `cowtgt template ls` lists those that are there"},
        {"web02", "debian12@2", 0, ErrorCode::not_found,
         "template debian12 has no version 2; its versions are: 1"},
        {"web02", "debian12@beta", 0, ErrorCode::not_found,
         "template debian12 has no tag beta; its versions are: 1"},
        {"web02", "debian12", 8 * mebibyte + 100, ErrorCode::usage,
         "a size of 8388708 bytes is not possible: it must be a multiple of 512"},
        {"web02", "debian12", 4 * mebibyte, ErrorCode::usage,
         "a size of 4194304 bytes is too small: template debian12@1 needs 8388608"},
        {"web02", "debian12", std::uint64_t{1} << 45, ErrorCode::usage,
         "a size of 35184372088832 bytes is more than the 16 TiB that a disk may have"},
    };
    for (const auto& c : cases) {
        const Result<InstanceInfo> info = clone(*store, c.name, c.from, c.size);
        ASSERT_FALSE(info) << c.sentence;
        EXPECT_EQ(info.error().message, c.sentence);
        EXPECT_EQ(info.error().code, c.code) << c.sentence;
    }
    EXPECT_EQ(store->instances().value().size(), 1U);
    EXPECT_TRUE(leftovers().empty());
}

TEST_F(Clone, NoVersionMeansStableOrElseTheNewest) {
    const auto store = store_with_template();
    import(*store, 4 * mebibyte, 2);
    import(*store, 4 * mebibyte, 3);
    EXPECT_EQ(clone(*store, "a")->template_version, 3U);
    const std::filesystem::path tags = root() / "templates/debian12/tags.json";
    write_file("store/templates/debian12/tags.json",
               encode(TagsDocument{.versions = {{"stable", 2}, {"old", 1}, {"gone", 9}}}));
    EXPECT_EQ(clone(*store, "b")->template_version, 2U);
    EXPECT_EQ(clone(*store, "c", "debian12@old")->template_version, 1U);
    EXPECT_EQ(clone(*store, "d", "debian12@3")->template_version, 3U);
    EXPECT_EQ(message_of(clone(*store, "e", "debian12@gone")),
              "template debian12 has no tag gone; its versions are: 1, 2, 3");
    EXPECT_EQ(store->find_template({.name = "debian12", .version = 2, .tag = ""})->tags,
              std::vector<std::string>{"stable"});
}

TEST_F(Clone, OpenedForTheDataPathItIsLocked) {
    const auto store = store_with_template();
    ASSERT_TRUE(clone(*store, "web01"));
    {
        const auto opened = store->open_instance("web01");
        ASSERT_TRUE(opened) << message_of(opened);
        EXPECT_EQ((*opened)->below.base_size, 8 * mebibyte);
        EXPECT_EQ((*opened)->layer.summary().virtual_size, 8 * mebibyte);
        EXPECT_TRUE((*opened)->live_direct.is_open());
        EXPECT_TRUE((*opened)->live_buffered.is_open());
        EXPECT_TRUE((*opened)->below.base.file.is_open());
        const std::string sentence =
            "instance web01 is in use: another process is serving or reading it; stop that first";
        EXPECT_EQ(message_of(store->open_instance("web01")), sentence);
        EXPECT_EQ(message_of(store->reset_instance("web01")), sentence);
        EXPECT_EQ(message_of(store->rename_instance("web01", "web02")), sentence);
        EXPECT_EQ(message_of(store->remove_instance("web01")), sentence);
    }
    EXPECT_TRUE(store->open_instance("web01"));
}

TEST_F(Clone, EitherDescriptorAloneKeepsItLocked) {
    const auto store = store_with_template();
    ASSERT_TRUE(clone(*store, "web01"));
    for (Descriptor OpenedInstance::*kept :
         {&OpenedInstance::live_direct, &OpenedInstance::live_buffered}) {
        Descriptor left;
        {
            auto opened = store->open_instance("web01");
            ASSERT_TRUE(opened) << message_of(opened);
            left = std::move((**opened).*kept);
        }
        EXPECT_FALSE(store->open_instance("web01"));
    }
    EXPECT_TRUE(store->open_instance("web01"));
}

TEST_F(Clone, ResetGivesTheSameMachineBack) {
    const auto store = store_with_template();
    ASSERT_TRUE(clone(*store, "web01", "debian12", 9 * mebibyte));
    const Content before = export_of(*store, "web01");
    const Uuid layer_before = store->open_instance("web01").value()->layer.summary().uuid;
    ASSERT_TRUE(store->reset_instance("web01"));
    EXPECT_EQ(export_of(*store, "web01"), before);
    EXPECT_NE(store->open_instance("web01").value()->layer.summary().uuid, layer_before);
    EXPECT_TRUE(leftovers().empty());
}

TEST_F(Clone, RenameKeepsEverythingButTheName) {
    const auto store = store_with_template();
    const Result<InstanceInfo> before = clone(*store, "web01");
    ASSERT_TRUE(before && clone(*store, "web02"));
    const Content content = export_of(*store, "web01");
    ASSERT_TRUE(store->rename_instance("web01", "db1"));
    EXPECT_EQ(export_of(*store, "db1"), content);
    EXPECT_EQ(store->find_instance("db1")->uuid, before->uuid);
    const Result<InstanceInfo> old = store->find_instance("web01");
    ASSERT_FALSE(old);
    EXPECT_EQ(old.error().code, ErrorCode::not_found);

    const Result<void> onto = store->rename_instance("db1", "web02");
    ASSERT_FALSE(onto);
    EXPECT_EQ(onto.error().code, ErrorCode::exists);
    const Result<void> missing = store->rename_instance("web01", "web03");
    ASSERT_FALSE(missing);
    EXPECT_EQ(missing.error().code, ErrorCode::not_found);
    EXPECT_EQ(missing.error().message,
              "there is no instance web01; `cowtgt ls` lists those that are there");
    EXPECT_EQ(store->rename_instance("db1", "tpl").error().code, ErrorCode::usage);
}

TEST_F(Clone, RemoveGivesTheSpaceBackAndUnknownOnesAreNamed) {
    const auto store = store_with_template();
    ASSERT_TRUE(clone(*store, "web01"));
    ASSERT_TRUE(store->remove_instance("web01"));
    EXPECT_TRUE(store->instances().value().empty());
    EXPECT_TRUE(leftovers().empty());
    for (const Result<void>& done :
         {store->remove_instance("web01"), store->reset_instance("web01")}) {
        ASSERT_FALSE(done);
        EXPECT_EQ(done.error().code, ErrorCode::not_found);
        EXPECT_EQ(done.error().message,
                  "there is no instance web01; `cowtgt ls` lists those that are there");
    }
}

TEST_F(Clone, ATemplateInUseStays) {
    const auto store = store_with_template();
    import(*store, 4 * mebibyte, 2);
    ASSERT_TRUE(clone(*store, "web01", "debian12@1"));
    ASSERT_TRUE(clone(*store, "web02", "debian12@1"));
    for (const std::uint32_t version : {1U, 0U}) {
        const Result<void> removed =
            store->remove_template({.name = "debian12", .version = version, .tag = ""});
        ASSERT_FALSE(removed);
        EXPECT_EQ(removed.error().code, ErrorCode::in_use);
        EXPECT_EQ(removed.error().message,
                  "template debian12 is in use by: web01, web02; remove these first");
    }
    EXPECT_EQ(store->find_template({.name = "debian12", .version = 1, .tag = ""})->instances,
              (std::vector<std::string>{"web01", "web02"}));
    EXPECT_TRUE(store->remove_template({.name = "debian12", .version = 2, .tag = ""}));
    ASSERT_TRUE(store->remove_instance("web01"));
    ASSERT_TRUE(store->remove_instance("web02"));
    EXPECT_TRUE(store->remove_template({.name = "debian12", .version = 0, .tag = ""}));
    EXPECT_TRUE(store->templates().value().empty());
    EXPECT_TRUE(list_directory(root() / "templates").value().empty());
    const Result<void> gone = store->remove_template({.name = "debian12", .version = 0, .tag = ""});
    ASSERT_FALSE(gone);
    EXPECT_EQ(gone.error().code, ErrorCode::not_found);
}

}  // namespace
}  // namespace cowtgt::store
