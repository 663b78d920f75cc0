#include "tools/cowtgt_chap.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

namespace cowtgt::tools {
namespace {

TEST(ChapWords, AreTakenOutOfTheSettings) {
    std::vector<std::string> settings = {"read-only=yes", "chap=0xuser", "mutual=we", "from=any"};
    const ChapWords words = take_chap_words("web01", settings);
    EXPECT_EQ(words.name, "web01");
    EXPECT_EQ(words.user, "0xuser");
    EXPECT_EQ(words.mutual_user, "we");
    EXPECT_EQ(settings, (std::vector<std::string>{"read-only=yes", "from=any"}));
    EXPECT_FALSE(words.is_empty());
    EXPECT_TRUE(take_chap_words("web01", settings).is_empty());
}

TEST(ChapWords, WithoutAUserAreAUsageError) {
    const config::Config config;
    for (std::vector<std::string> settings : {std::vector<std::string>{"mutual=we"},
                                              {"chap="},
                                              {"chap=none", "mutual=we"},
                                              {"chap=w", "mutual="}}) {
        const auto result = set_chap(config, take_chap_words("web01", settings));
        ASSERT_FALSE(result);
        EXPECT_EQ(result.error().code, ErrorCode::usage);
    }
}

TEST(ChapWords, ASecretFileMustHaveALineForEachUser) {
    ChapWords words;
    words.name = "web01";
    words.user = "w";
    words.secret_file = "/dev/null";
    const auto result = set_chap({}, words);
    ASSERT_FALSE(result);
    EXPECT_NE(result.error().message.find("secret of 'w' is missing"), std::string::npos);
    words.secret_file = "/nowhere/at/all";
    EXPECT_FALSE(set_chap({}, words));
}

}  // namespace
}  // namespace cowtgt::tools
