#include "cow-store/identity/reference_plan.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "tests/unit/identity/disk_images.h"

namespace cowtgt::identity {
namespace {

constexpr std::uint64_t mib = 1024 * 1024;
constexpr std::uint64_t text_offset = 20 * mib;

/// ext4 on the whole disk, and a text that a file of it would have.
class PlanTest : public testing::Test {
protected:
    void SetUp() override {
        write_ext(image_, {});
        recipe_ = examine_image(image_);
        uuid_ = recipe_.structures.at(0).findings.at(0).old_value;
    }

    void name_it(const std::string& text, ReferenceKind kind, std::string file,
                 std::string reason = "") {
        const std::uint64_t offset = kind == ReferenceKind::rewritable ? text_offset : 0;
        if (offset != 0) image_.write(offset, bytes_of(text));
        recipe_.references.push_back({.text = text,
                                      .kind = kind,
                                      .offset = offset,
                                      .where = recipe_.structures[0].where,
                                      .file = std::move(file),
                                      .reason = std::move(reason)});
    }

    static std::string with_escapes(std::string text) {
        for (std::size_t at = text.find('-'); at != std::string::npos; at = text.find('-', at + 4))
            text.replace(at, 1, "\\x2d");
        return text;
    }

    MemoryImage image_{80 * mib};
    Recipe recipe_;
    std::string uuid_;
};

TEST_F(PlanTest, TextsFollowInTheFormInWhichTheyAreWritten) {
    struct Row {
        std::string (*form)(std::string);
    };
    const Row rows[] = {
        {[](std::string text) { return text; }},
        {[](std::string text) { return with_escapes(std::move(text)); }},
    };
    for (const Row& row : rows) {
        recipe_.references.clear();
        const std::string text = row.form(uuid_);
        SCOPED_TRACE(text);
        name_it(text, ReferenceKind::rewritable, "/etc/unit");
        const Patching patching = patch_image(recipe_, image_);
        const auto patch = std::ranges::find(patching.patches, text_offset, &Patch::offset);
        ASSERT_NE(patch, patching.patches.end());
        EXPECT_EQ(text_of(patch->bytes), row.form(patching.findings.at(0).new_value));
    }
}

TEST_F(PlanTest, AnEscapedNameThatIsFixedKeepsTheValueOfAPlainOne) {
    name_it(uuid_, ReferenceKind::rewritable, "/etc/fstab");
    EXPECT_EQ(ReferencePlan::expected(recipe_, References::rewrite)
                  .reason_to_keep(recipe_.structures[0].findings[0]),
              "");
    name_it(with_escapes(uuid_), ReferenceKind::fixed, "/etc/systemd", "it is part of a folder");
    EXPECT_TRUE(patch_image(recipe_, image_).patches.empty());
    const std::string expected = ReferencePlan::expected(recipe_, References::rewrite)
                                     .reason_to_keep(recipe_.structures[0].findings[0]);
    EXPECT_EQ(expected, patch_image(recipe_, image_).findings.at(0).kept_because);
    EXPECT_NE(expected.find("named in /etc/systemd (ext4 on the whole disk), which cannot be "
                            "rewritten: it is part of a folder; mount by label"),
              std::string::npos)
        << expected;
}

}  // namespace
}  // namespace cowtgt::identity
