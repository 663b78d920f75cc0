// The small values of the configuration: sizes, MACs, addresses, iSCSI names.

#include <gtest/gtest.h>

#include <cstdint>
#include <string>
#include <utility>

#include "target/config/endpoint.h"
#include "target/config/machine.h"
#include "target/config/names.h"
#include "target/config/size.h"

namespace cowtgt::config {
namespace {

TEST(Size, UnitsArePowersOf1024InAnySpelling) {
    const std::pair<const char*, std::uint64_t> spellings[] = {
        {"0", 0},
        {"512", 512},
        {"512B", 512},
        {"1k", 1024},
        {"40G", 40ULL << 30},
        {"40g", 40ULL << 30},
        {"40GB", 40ULL << 30},
        {"40GiB", 40ULL << 30},
        {"1.5T", 3ULL << 39},
        {"0.5K", 512},
        {"16383P", 16383ULL << 50},
        {"18446744073709551615", ~0ULL},
    };
    for (const auto& [text, bytes] : spellings) {
        const auto size = parse_size(text);
        ASSERT_TRUE(size) << text;
        EXPECT_EQ(*size, bytes) << text;
    }
}

TEST(Size, EverythingElseIsRefusedByName) {
    for (const char* text : {"", "G", "-1", "+1", " 1", "1 G", "12parsecs", "1.G", "0.0001K", "1X",
                             "16384P", "18446744073709551616", "1GG", "0x10", "1.1234567891T"}) {
        const auto size = parse_size(text);
        ASSERT_FALSE(size) << text;
        EXPECT_EQ(size.error().code, ErrorCode::usage);
        EXPECT_NE(size.error().message.find("'" + std::string(text) + "'"), std::string::npos);
    }
}

TEST(Size, ExactTextIsReadBackAsTheSameNumber) {
    for (const std::uint64_t bytes :
         {0ULL, 1ULL, 1023ULL, 1024ULL, 4097ULL, 1536ULL << 20, 40ULL << 30, 1ULL << 60, ~0ULL}) {
        EXPECT_EQ(parse_size(exact_size(bytes)).value(), bytes);
    }
    EXPECT_EQ(exact_size(1536ULL << 20), "1536M");
    EXPECT_EQ(exact_size(4097), "4097");
}

TEST(Size, ShortTextHasAtMostOneDecimal) {
    EXPECT_EQ(short_size(0), "0");
    EXPECT_EQ(short_size(1023), "1023");
    EXPECT_EQ(short_size(1024), "1K");
    EXPECT_EQ(short_size(1503238553), "1.4G");
    EXPECT_EQ(short_size((1ULL << 20) - 1), "1M");
    EXPECT_EQ(short_size(300ULL << 20), "300M");
    EXPECT_EQ(short_size(~0ULL), "16384P");
}

TEST(Mac, AnyUsualSpellingIsTheSameAddress) {
    for (const char* text : {"52:54:00:ab:cd:0e", "52:54:00:AB:CD:0E", "52-54-00-ab-cd-0e",
                             "525400abcd0e", "5254.00ab.cd0e"}) {
        const auto mac = parse_mac(text);
        ASSERT_TRUE(mac) << text;
        EXPECT_EQ(to_string(*mac), "52:54:00:ab:cd:0e");
        EXPECT_EQ(to_hyphen_string(*mac), "52-54-00-ab-cd-0e");
    }
}

TEST(Mac, EverythingElseIsRefused) {
    for (const char* text :
         {"", "52:54:00:12:34", "52:54:00:12:34:01:02", "52:54:00:12:34-01", "5254:0012:3401",
          "52.54.00.12.34.01", "52:54:00:12:34:0g", "5254001234", "525400123401ff",
          "52 54 00 12 34 01", "00:00:00:00:00:00", "ff:ff:ff:ff:ff:ff", "01:00:5e:00:00:01",
          "5:2540:01:23:40:1"}) {
        const auto mac = parse_mac(text);
        ASSERT_FALSE(mac) << text;
        EXPECT_EQ(mac.error().code, ErrorCode::usage);
    }
}

TEST(Endpoint, NumericAddressesWithAPortAreReadAndWrittenAlike) {
    for (const char* text :
         {"10.0.0.1:3260", "0.0.0.0:1", "[::]:3260", "[fd00::1]:65535", "[fe80::1%eth0]:3260"}) {
        const auto endpoint = parse_endpoint(text);
        ASSERT_TRUE(endpoint) << text;
        EXPECT_EQ(to_string(*endpoint), text);
    }
    EXPECT_TRUE(parse_endpoint("[::]:3260")->is_wildcard());
    EXPECT_TRUE(parse_endpoint("[0:0::0]:3260")->is_wildcard());
    EXPECT_TRUE(parse_endpoint("0.0.0.0:3260")->is_wildcard());
    EXPECT_FALSE(parse_endpoint("[::1]:3260")->is_wildcard());
}

TEST(Endpoint, EverythingElseIsRefused) {
    for (const char* text :
         {"", ":", "3260", ":3260", "10.0.0.1", "10.0.0.1:", "10.0.0.1:0", "10.0.0.1:65536",
          "10.0.0.1:x", "10.0.0.1:32 60", "::1:3260", "[::1]", "[::1:3260", "[10.0.0.1]:3260",
          "[]:3260", "host:3260", "10.0.0:3260", "[::g]:3260", "10.0.0.1:-1"}) {
        const auto endpoint = parse_endpoint(text);
        ASSERT_FALSE(endpoint) << text;
        EXPECT_EQ(endpoint.error().code, ErrorCode::usage);
    }
}

TEST(IqnPrefix, TheFormOfRfc7143IsDemanded) {
    for (const char* prefix : {"iqn.2026-01.lan.example", "iqn.1999-12.com.a-b.c",
                               "iqn.2026-01.local", "iqn.2026-01.lan.example:lab.3"}) {
        EXPECT_TRUE(check_iqn_prefix(prefix)) << prefix;
    }
    for (const char* prefix :
         {"", "not-an-iqn", "iqn.", "iqn.2026-01", "iqn.2026-01.", "iqn.2026-13.lan",
          "iqn.2026-00.lan", "iqn.26-01.lan", "iqn.2026-01.Lan", "iqn.2026-01.lan..example",
          "iqn.2026-01.lan.", "iqn.2026-01.-lan", "iqn.2026-01.lan_x",
          "iqn.2026-01.lan:", "iqn.2026-01.lan:a:", "iqn.2026-01.lan:a b", "eui.02004567a425678d",
          "iqn.2026-01.lan/x"}) {
        const auto checked = check_iqn_prefix(prefix);
        ASSERT_FALSE(checked) << prefix;
        EXPECT_EQ(checked.error().code, ErrorCode::usage);
    }
}

TEST(IqnPrefix, EveryNameMadeOfItFitsInto223Bytes) {
    const std::string start = "iqn.2026-01.";
    const std::string longest_instance(63, 'x');
    const std::string longest = start + std::string(223 - 63 - 6 - start.size(), 'a');
    ASSERT_TRUE(check_iqn_prefix(longest));
    EXPECT_EQ(initiator_name(longest, longest_instance).size(), 223U);
    EXPECT_FALSE(check_iqn_prefix(longest + "a"));
}

TEST(Names, FollowFromPrefixAndInstance) {
    EXPECT_EQ(target_name("iqn.2026-01.lan", "web01"), "iqn.2026-01.lan:web01");
    EXPECT_EQ(initiator_name("iqn.2026-01.lan", "web01"), "iqn.2026-01.lan:init:web01");
    EXPECT_EQ(mac_alias("iqn.2026-01.lan", parse_mac("525400123401").value()),
              "iqn.2026-01.lan:mac-52-54-00-12-34-01");
}

}  // namespace
}  // namespace cowtgt::config
