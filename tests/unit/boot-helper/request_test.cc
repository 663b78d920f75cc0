#include "boot-helper/core/request.h"

#include <gtest/gtest.h>

namespace cowtgt::boot {
namespace {

using Segments = std::vector<std::string>;

Target good(std::string_view text) {
    const auto parsed = parse_target(text);
    EXPECT_TRUE(std::holds_alternative<Target>(parsed)) << text;
    return std::holds_alternative<Target>(parsed) ? std::get<Target>(parsed) : Target{};
}

int refused(std::string_view text) {
    const auto parsed = parse_target(text);
    return std::holds_alternative<BadTarget>(parsed) ? std::get<BadTarget>(parsed).status : 0;
}

TEST(ParseTarget, PathAndQueryAreDecoded) {
    const Target target = good("/v1/boot?mac=52-54-00-12-34-01&serial=A%20b%26c&empty&=x#part");
    EXPECT_EQ(target.segments, (Segments{"v1", "boot"}));
    EXPECT_EQ(target.query_value("mac"), "52-54-00-12-34-01");
    EXPECT_EQ(target.query_value("serial"), "A b&c");
    EXPECT_EQ(target.query_value("empty"), "");
    EXPECT_EQ(target.query_value("absent"), "");
}

TEST(ParseTarget, FirstOfARepeatedParameterCounts) {
    EXPECT_EQ(good("/?mac=a&mac=b").query_value("mac"), "a");
}

TEST(ParseTarget, DoubledSlashesCountAsOne) {
    EXPECT_EQ(good("//v1///boot/").segments, (Segments{"v1", "boot"}));
    EXPECT_TRUE(good("/").segments.empty());
}

TEST(ParseTarget, AbsoluteFormOfProxies) {
    EXPECT_EQ(good("http://10.0.0.1:8080/boot.ipxe").segments, (Segments{"boot.ipxe"}));
    EXPECT_TRUE(good("http://10.0.0.1").segments.empty());
}

TEST(ParseTarget, NothingLeadsOutOfAFolder) {
    EXPECT_EQ(refused("/ipxe/../secret"), 400);
    EXPECT_EQ(refused("/ipxe/%2e%2e/secret"), 400);
    EXPECT_EQ(refused("/ipxe/%2E./secret"), 400);
    EXPECT_EQ(refused("/ipxe/a%2fb"), 400);
    EXPECT_EQ(refused("/ipxe/a%5cb"), 400);
    EXPECT_EQ(refused("/ipxe/a%00"), 400);
    EXPECT_EQ(refused("/ipxe/."), 400);
}

TEST(ParseTarget, MalformedIsRefused) {
    EXPECT_EQ(refused(""), 400);
    EXPECT_EQ(refused("boot.ipxe"), 400);
    EXPECT_EQ(refused("*"), 400);
    EXPECT_EQ(refused("/%"), 400);
    EXPECT_EQ(refused("/%4"), 400);
    EXPECT_EQ(refused("/%zz"), 400);
    EXPECT_EQ(refused("/?a=%g0"), 400);
    EXPECT_EQ(refused("/a\nb"), 400);
}

TEST(ParseTarget, LimitsAreExact) {
    EXPECT_EQ(refused("/" + std::string(target_bytes_max - 1, 'a')), 0);
    EXPECT_EQ(refused("/" + std::string(target_bytes_max, 'a')), 414);
    EXPECT_EQ(refused("/1/2/3/4/5/6/7/8"), 0);
    EXPECT_EQ(refused("/1/2/3/4/5/6/7/8/9"), 404);
    std::string query = "/?a";
    for (std::size_t n = 1; n < query_parameters_max; ++n)
        query += "&a";
    EXPECT_EQ(refused(query), 0);
    EXPECT_EQ(refused(query + "&a"), 400);
}

TEST(PercentEncode, DecodesToTheSame) {
    std::string all;
    for (int byte = 0; byte < 256; ++byte)
        all += static_cast<char>(byte);
    EXPECT_EQ(percent_decode(percent_encode(all)), all);
    EXPECT_EQ(percent_encode("a b/~"), "a%20b%2F~");
}

constexpr std::string_view etag = "\"abc\"";

std::string select(std::string_view range, std::uint64_t size, std::string_view if_range = {}) {
    const Selection selection = select_bytes({{}, if_range, range}, etag, size);
    return std::to_string(selection.status) + " " + std::to_string(selection.first) + "+" +
           std::to_string(selection.count);
}

TEST(SelectBytes, RangesOfTheStandard) {  // RFC 9110 section 14.1.2
    EXPECT_EQ(select("", 1000), "200 0+1000");
    EXPECT_EQ(select("bytes=0-499", 1000), "206 0+500");
    EXPECT_EQ(select("bytes=500-", 1000), "206 500+500");
    EXPECT_EQ(select("bytes=-500", 1000), "206 500+500");
    EXPECT_EQ(select("bytes=-5000", 1000), "206 0+1000");
    EXPECT_EQ(select("bytes=999-2000", 1000), "206 999+1");
    EXPECT_EQ(select("bytes=1000-", 1000), "416 0+0");
    EXPECT_EQ(select("bytes=-0", 1000), "416 0+0");
    EXPECT_EQ(select("bytes=0-0", 0), "416 0+0");
    EXPECT_EQ(select("bytes=-1", 0), "416 0+0");
}

TEST(SelectBytes, AMalformedRangeIsIgnored) {
    for (const std::string_view range :
         {"bytes=", "bytes=-", "bytes=a-b", "bytes=5-4", "bytes=1-2,4-5", "items=0-1", "0-1",
          "bytes=0-18446744073709551616", "bytes=0--1", "bytes=+0-1"}) {
        EXPECT_EQ(select(range, 1000), "200 0+1000") << range;
    }
}

TEST(SelectBytes, TheLargestNumbersDoNotOverflow) {
    EXPECT_EQ(select("bytes=0-18446744073709551615", 1000), "206 0+1000");
    EXPECT_EQ(select("bytes=-18446744073709551615", 1000), "206 0+1000");
    EXPECT_EQ(select("bytes=18446744073709551615-", 1000), "416 0+0");
}

TEST(SelectBytes, IfRangeNeedsTheSameEntity) {
    EXPECT_EQ(select("bytes=0-9", 1000, "\"abc\""), "206 0+10");
    EXPECT_EQ(select("bytes=0-9", 1000, "\"other\""), "200 0+1000");
    EXPECT_EQ(select("bytes=0-9", 1000, "W/\"abc\""), "200 0+1000");
    EXPECT_EQ(select("bytes=0-9", 1000, "Sat, 29 Oct 1994 19:43:31 GMT"), "200 0+1000");
}

TEST(SelectBytes, IfNoneMatch) {
    const auto status = [](std::string_view tags) {
        return select_bytes({tags, {}, "bytes=0-9"}, etag, 1000).status;
    };
    EXPECT_EQ(status("\"abc\""), 304);
    EXPECT_EQ(status("\"x\", W/\"abc\""), 304);
    EXPECT_EQ(status("*"), 304);
    EXPECT_EQ(status("\"x\""), 206);
    EXPECT_EQ(status("abc"), 206);
}

TEST(ContentRange, NamesPartAndWhole) {
    EXPECT_EQ(content_range({206, 0, 500}, 1234), "bytes 0-499/1234");
    EXPECT_EQ(content_range({416, 0, 0}, 1234), "bytes */1234");
}

}  // namespace
}  // namespace cowtgt::boot
