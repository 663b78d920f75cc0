#include "target/iscsi/text.h"

#include <gtest/gtest.h>

namespace cowtgt::iscsi {
namespace {

using std::string_literals::operator""s;

std::string pairs_of(const std::string& text) {
    const auto pairs = parse_text(text);
    if (!pairs) return "broken";
    std::string result;
    for (const TextPair& pair : *pairs) {
        result += "[" + std::string(pair.key) + "|" + std::string(pair.value) + "]";
    }
    return result;
}

TEST(Text, HasALimitedNumberOfPairs) {
    std::string text;
    for (std::size_t i = 0; i < text_pairs_max; ++i)
        append_pair(text, "A", "");
    ASSERT_TRUE(parse_text(text));
    EXPECT_EQ(parse_text(text)->size(), text_pairs_max);
    append_pair(text, "A", "");
    EXPECT_FALSE(parse_text(text));
}

TEST(Text, PairsEndWithAZeroByte) {
    EXPECT_EQ(pairs_of(""), "");
    EXPECT_EQ(pairs_of("A=b\0"s), "[A|b]");
    EXPECT_EQ(pairs_of("A=b\0C=\0"s), "[A|b][C|]");
    EXPECT_EQ(pairs_of("A=b=c\0"s), "[A|b=c]");
    EXPECT_EQ(pairs_of("A=b\0\0\0C=d\0"s), "[A|b][C|d]");
    EXPECT_EQ(pairs_of("X-com.example=1\0X#tag=2\0"s), "[X-com.example|1][X#tag|2]");
}

TEST(Text, RefusesWhatBreaksTheGrammar) {
    EXPECT_EQ(pairs_of("A=b"), "broken");
    EXPECT_EQ(pairs_of("A=b\0C"s), "broken");
    EXPECT_EQ(pairs_of("AuthMethod\0"s), "broken");
    EXPECT_EQ(pairs_of("=b\0"s), "broken");
    EXPECT_EQ(pairs_of("lower=b\0"s), "broken");
    EXPECT_EQ(pairs_of("With space=b\0"s), "broken");
    EXPECT_EQ(pairs_of(std::string(63, 'A') + "=b\0"s), "[" + std::string(63, 'A') + "|b]");
    EXPECT_EQ(pairs_of(std::string(64, 'A') + "=b\0"s), "broken");
}

TEST(Text, ReadsNumbersInBothBases) {
    EXPECT_EQ(parse_number("0"), 0U);
    EXPECT_EQ(parse_number("4294967295"), 4294967295U);
    EXPECT_EQ(parse_number("0x1F"), 31U);
    EXPECT_EQ(parse_number("0XfF"), 255U);
    for (const char* wrong :
         {"", "-1", "+1", " 1", "1 ", "0x", "1k", "4294967296", "0x100000000"}) {
        EXPECT_FALSE(parse_number(wrong)) << wrong;
    }
}

TEST(Text, BooleansAreExact) {
    EXPECT_EQ(parse_boolean("Yes"), true);
    EXPECT_EQ(parse_boolean("No"), false);
    for (const char* wrong : {"yes", "NO", "1", ""})
        EXPECT_FALSE(parse_boolean(wrong)) << wrong;
}

TEST(Text, CollectorHoldsItsLimit) {
    TextCollector collector(5);
    EXPECT_TRUE(collector.append(bytes_of("abc")));
    EXPECT_FALSE(collector.append(bytes_of("def")));
    EXPECT_TRUE(collector.append(bytes_of("de")));
    EXPECT_EQ(collector.take(), "abcde");
    EXPECT_EQ(collector.take(), "");
    EXPECT_TRUE(collector.append(bytes_of("again")));
}

TEST(Text, PiecesComeInOrder) {
    TextPieces pieces;
    pieces.append("abcdefg");
    EXPECT_EQ(pieces.take(3), "abc");
    EXPECT_FALSE(pieces.empty());
    EXPECT_EQ(pieces.take(100), "defg");
    EXPECT_TRUE(pieces.empty());
}

}  // namespace
}  // namespace cowtgt::iscsi
