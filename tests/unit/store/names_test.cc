#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "cow-store/store/store.h"

namespace cowtgt::store {
namespace {

TEST(Names, LegalOnes) {
    for (const std::string& name :
         std::vector<std::string>{"a", "7", "web01", "a-b", "tpl2", "mac", std::string(63, 'x')}) {
        EXPECT_TRUE(check_name(name)) << name;
    }
}

TEST(Names, EachRuleHasItsSentence) {
    const struct {
        std::string name, rule;
    } cases[] = {
        {"", "'' cannot be a name: it is empty"},
        {std::string(64, 'x'),
         "'" + std::string(64, 'x') + "' cannot be a name: it is longer than 63 characters"},
        {"Web01", "'Web01' cannot be a name: only a-z, 0-9 and - may stand in it"},
        {"a_b", "'a_b' cannot be a name: only a-z, 0-9 and - may stand in it"},
        {"..", "'..' cannot be a name: only a-z, 0-9 and - may stand in it"},
        {"a/b", "'a/b' cannot be a name: only a-z, 0-9 and - may stand in it"},
        {"-a", "'-a' cannot be a name: it begins or ends with -"},
        {"a-", "'a-' cannot be a name: it begins or ends with -"},
        {"init", "'init' cannot be a name: it is reserved for names that cowtgt makes itself"},
        {"tpl", "'tpl' cannot be a name: it is reserved for names that cowtgt makes itself"},
        {"snap", "'snap' cannot be a name: it is reserved for names that cowtgt makes itself"},
        {"mac-1",
         "'mac-1' cannot be a name: names that begin with mac- are reserved for hardware "
         "addresses"},
    };
    for (const auto& [name, rule] : cases) {
        const Result<void> checked = check_name(name);
        ASSERT_FALSE(checked) << name;
        EXPECT_EQ(checked.error().message, rule);
        EXPECT_EQ(checked.error().code, ErrorCode::usage);
    }
}

TEST(TemplateRefs, NameVersionAndTag) {
    const Result<TemplateRef> plain = parse_template_ref("debian12");
    ASSERT_TRUE(plain);
    EXPECT_EQ(plain->name, "debian12");
    EXPECT_EQ(plain->version, 0U);
    EXPECT_EQ(plain->tag, "");
    const Result<TemplateRef> numbered = parse_template_ref("debian12@3");
    ASSERT_TRUE(numbered);
    EXPECT_EQ(numbered->name, "debian12");
    EXPECT_EQ(numbered->version, 3U);
    EXPECT_EQ(numbered->tag, "");
    const Result<TemplateRef> tagged = parse_template_ref("debian12@2-beta");
    ASSERT_TRUE(tagged);
    EXPECT_EQ(tagged->version, 0U);
    EXPECT_EQ(tagged->tag, "2-beta");
}

TEST(TemplateRefs, Refused) {
    for (const std::string text : {"", "@3", "debian12@", "debian12@0", "debian12@99999999999",
                                   "debian12@Stable", "debian12@3@4", "../x@1"}) {
        const Result<TemplateRef> ref = parse_template_ref(text);
        ASSERT_FALSE(ref) << text;
        EXPECT_EQ(ref.error().code, ErrorCode::usage) << text;
    }
}

}  // namespace
}  // namespace cowtgt::store
