#include "cow-store/store/documents.h"

#include <gtest/gtest.h>

#include <string>

namespace cowtgt::store {
namespace {

identity::Recipe recipe() {
    identity::Finding finding{.where = "ext4 on partition 2",
                              .kind = "fs-uuid",
                              .label = "root \"quoted\" \xc3\xa4",
                              .old_value = "old",
                              .new_value = "",
                              .kept_because = "reason",
                              .note = "note"};
    identity::Structure structure{.format = "ext",
                                  .where = "ext4 on partition 2",
                                  .begin = 1048576,
                                  .length = 4096,
                                  .places = {{"superblock", 1024, 1024, 7}},
                                  .findings = {finding},
                                  .kept_because = "why"};
    identity::Reference reference{.text = "0C0F-FEE0",
                                  .kind = identity::ReferenceKind::history,
                                  .offset = 12345,
                                  .where = "ext4 on partition 2",
                                  .file = "/var/log/syslog",
                                  .reason = "why"};
    return {.version = identity::recipe_version,
            .block_size = 4096,
            .disk_size = 1U << 30,
            .structures = {structure},
            .references = {reference},
            .unsearchable = {{"LUKS2 on partition 3", "it is encrypted", true}}};
}

TemplateDocument template_document() {
    TemplateDocument document;
    document.uuid.bytes = {1, 2, 3};
    document.content_id = 0xfedcba9876543210U;
    document.size_bytes = std::uint64_t{1} << 44;
    document.imported_at = "2026-01-01T00:00:00Z";
    document.source = "/images/a.raw";
    document.fingerprint = {.size = std::uint64_t{1} << 44, .mtime_ns = -5, .inode = 99};
    document.recipe = recipe();
    return document;
}

TEST(Documents, TemplateComesBackAsItWas) {
    const TemplateDocument before = template_document();
    const Result<TemplateDocument> after = decode_template(encode(before), "x");
    ASSERT_TRUE(after);
    EXPECT_EQ(after->uuid, before.uuid);
    EXPECT_EQ(after->content_id, before.content_id);
    EXPECT_EQ(after->size_bytes, before.size_bytes);
    EXPECT_EQ(after->imported_at, before.imported_at);
    EXPECT_EQ(after->source, before.source);
    EXPECT_EQ(after->fingerprint, before.fingerprint);
    EXPECT_EQ(after->recipe, before.recipe);
}

TEST(Documents, InstanceComesBackAsItWas) {
    InstanceDocument before;
    before.uuid.bytes = {1};
    before.template_name = "debian12";
    before.template_version = 3;
    before.template_uuid.bytes = {2};
    before.template_content_id = 1;
    before.size_bytes = 4096;
    before.block_size = 4096;
    before.created_at = "2026-01-01T00:00:00Z";
    before.identity_seed.bytes = {3};
    before.identity_wishes = {.mode = IdentityMode::require,
                              .references = ReferenceMode::ignore,
                              .labels = {{"ROOT", "web01-root"}},
                              .uuids = {{"ESP", "1234-ABCD"}},
                              .grow_last_partition = true};
    before.identity = {{"gpt", "disk-guid", "", "old", "new", "", "note"}};
    const Result<InstanceDocument> after = decode_instance(encode(before), "x");
    ASSERT_TRUE(after);
    EXPECT_EQ(encode(*after), encode(before));
    EXPECT_EQ(after->template_uuid, before.template_uuid);
    EXPECT_EQ(after->identity_seed, before.identity_seed);
    EXPECT_EQ(after->identity_wishes, before.identity_wishes);
    ASSERT_EQ(after->identity.size(), 1U);
    EXPECT_EQ(after->identity[0].new_value, "new");
}

TEST(Documents, TagsComeBackAsTheyWere) {
    const TagsDocument before{.versions = {{"stable", 3}, {"beta", 7}}};
    const Result<TagsDocument> after = decode_tags(encode(before), "x");
    ASSERT_TRUE(after);
    EXPECT_EQ(after->versions, before.versions);
}

TEST(Documents, TextThatIsNoUtf8DoesNotPreventAnything) {
    TemplateDocument document = template_document();
    document.recipe.structures[0].findings[0].label = "caf\xe9";
    const Result<TemplateDocument> after = decode_template(encode(document), "x");
    ASSERT_TRUE(after);
    EXPECT_EQ(after->recipe.structures[0].findings[0].label, "caf\xef\xbf\xbd");
}

TEST(Documents, EveryFlippedBitIsFoundOrMeansNothing) {
    const std::string text = encode(template_document());
    std::size_t refused = 0;
    for (std::size_t bit = 0; bit < text.size() * 8; ++bit) {
        std::string damaged = text;
        damaged[bit / 8] = static_cast<char>(damaged[bit / 8] ^ (1 << bit % 8));
        const Result<TemplateDocument> after = decode_template(damaged, "x");
        if (!after) {
            ++refused;
            continue;
        }
        // White space, or a hexadecimal digit of the same value.
        ASSERT_EQ(encode(*after), text) << "bit " << bit;
    }
    EXPECT_GT(refused, text.size() * 4);
}

TEST(Documents, ANewerFormatIsNamedAndNotCalledDamage) {
    std::string text = encode(StoreDocument{.uuid = {}, .created_at = "now"});
    const std::size_t at = text.find("\"format\": 1");
    ASSERT_NE(at, std::string::npos);
    text.replace(at, 11, "\"format\": 2");
    const Result<StoreDocument> after = decode_store(text, "/s/store.json");
    ASSERT_FALSE(after);
    EXPECT_EQ(after.error().code, ErrorCode::unsupported);
    EXPECT_EQ(after.error().message,
              "/s/store.json has format 2, which is newer than the 1 that this cowtgt knows; use "
              "a newer cowtgt");
}

TEST(Documents, OneKindIsNotTakenForAnother) {
    const Result<InstanceDocument> after =
        decode_instance(encode(StoreDocument{.uuid = {}, .created_at = "now"}), "x");
    ASSERT_FALSE(after);
    EXPECT_EQ(after.error().code, ErrorCode::corrupt);
    EXPECT_EQ(after.error().message,
              "x is damaged (it is not what belongs there); restore it from a backup");
}

TEST(Documents, HexTextHasAllDigits) {
    EXPECT_EQ(hex_text(0), "0000000000000000");
    EXPECT_EQ(hex_text(0xfedcba9876543210U), "fedcba9876543210");
}

}  // namespace
}  // namespace cowtgt::store
