#include "cow-store/identity/disk_text.h"

#include <gtest/gtest.h>

namespace cowtgt::identity {
namespace {

using namespace std::string_view_literals;

TEST(DiskText, EndsAtTheFirstNul) {
    EXPECT_EQ(text_from_disk(bytes_of("root\0old"sv)), "root");
    EXPECT_EQ(text_from_disk(bytes_of("sixteen bytes !!"sv)), "sixteen bytes !!");
    EXPECT_EQ(text_from_disk({}), "");
}

TEST(DiskText, IsAlwaysPrintableUtf8) {
    EXPECT_EQ(text_from_disk(bytes_of("K\xc3\xb6ln \xe2\x82\xac \xf0\x9f\x90\xae"sv)),
              "K\xc3\xb6ln \xe2\x82\xac \xf0\x9f\x90\xae");
    EXPECT_EQ(text_from_disk(bytes_of("a\x1b[31m\x7f"sv)), "a?[31m?");
    EXPECT_EQ(text_from_disk(bytes_of("\xff\xc3"sv)), "??");                 // no sequence, cut off
    EXPECT_EQ(text_from_disk(bytes_of("\xc0\xaf\xe0\x80\xaf"sv)), "?????");  // not the shortest
    EXPECT_EQ(text_from_disk(bytes_of("\xed\xa0\x80"sv)), "???");            // a surrogate
    EXPECT_EQ(text_from_disk(bytes_of("\xf4\x90\x80\x80"sv)), "????");       // above U+10FFFF
    EXPECT_EQ(text_from_disk(bytes_of("\xc2\x85"sv)), "??");                 // C1 control
}

TEST(DiskText, FromUtf16) {
    EXPECT_EQ(text_from_utf16(bytes_of("r\0o\0\0\0x\0"sv)), "ro");
    EXPECT_EQ(text_from_utf16(bytes_of("\xf6\0\xac\x20\x3d\xd8\x2e\xdc"sv)),
              "\xc3\xb6\xe2\x82\xac\xf0\x9f\x90\xae");
    EXPECT_EQ(text_from_utf16(bytes_of("\x3d\xd8"sv)), "?");  // half a pair
    EXPECT_EQ(text_from_utf16(bytes_of("\x3d\xd8"
                                       "a\0"sv)),
              "?a");
    EXPECT_EQ(text_from_utf16(bytes_of("\x07\0"sv)), "?");
    EXPECT_EQ(text_from_utf16(bytes_of("a"sv)), "");
}

}  // namespace
}  // namespace cowtgt::identity
