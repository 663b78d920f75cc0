#include <gtest/gtest.h>

#include <cerrno>
#include <cstring>
#include <random>
#include <vector>

#include "cow-store/base/checksum.h"
#include "cow-store/base/endian.h"
#include "cow-store/base/result.h"
#include "cow-store/base/units.h"
#include "cow-store/base/uuid.h"

namespace cowtgt {
namespace {

TEST(Endian, LiesInMemoryInItsOrder) {
    const be32 big(0x01020304);
    const le32 little(0x01020304);
    const be24 narrow(0xff010203);
    EXPECT_EQ(std::memcmp(&big, "\x01\x02\x03\x04", 4), 0);
    EXPECT_EQ(std::memcmp(&little, "\x04\x03\x02\x01", 4), 0);
    EXPECT_EQ(std::memcmp(&narrow, "\x01\x02\x03", 3), 0);
    EXPECT_EQ(narrow.get(), 0x010203U);
    EXPECT_EQ(le64(0x1122334455667788).get(), 0x1122334455667788U);
}

TEST(Checksum, KnowsTheCheckValues) {
    EXPECT_EQ(crc32c(bytes_of("123456789")), 0xe3069283U);
    EXPECT_EQ(crc32_ieee(bytes_of("123456789")), 0xcbf43926U);
    EXPECT_EQ(xxh3_64({}), 0x2d06800538d394c2U);
}

TEST(Checksum, Crc32cIsTheSameWhateverTheFragments) {
    std::mt19937 random(20261123);
    std::vector<std::byte> bytes(5000);
    for (std::byte& byte : bytes) {
        byte = static_cast<std::byte>(random());
    }
    const std::uint32_t whole = crc32c(bytes);
    for (const std::size_t cut : {1U, 7U, 48U, 255U, 256U, 257U, 4096U, 4999U}) {
        std::uint32_t state = crc32c_update(crc32c_start, Bytes(bytes).first(cut));
        state = crc32c_update(state, Bytes(bytes).subspan(cut));
        EXPECT_EQ(crc32c_finish(state), whole) << cut;
    }
}

TEST(Uuid, ReadsWhatItWrites) {
    const std::string text = "9ad4b72f-af01-4ab5-89a5-cdee0b46a4ac";
    const auto uuid = parse_uuid(text);
    ASSERT_TRUE(uuid.has_value());
    EXPECT_EQ(to_string(*uuid), text);
    EXPECT_EQ(parse_uuid("9AD4B72F-AF01-4AB5-89A5-CDEE0B46A4AC"), uuid);
}

TEST(Uuid, RefusesWhatIsNone) {
    for (const char* text :
         {"", "9ad4b72f", "9ad4b72faf014ab589a5cdee0b46a4ac0000",
          "9ad4b72f-af01-4ab5-89a5-cdee0b46a4ag", "9ad4b72f-af01-4ab5-89a5-cdee0b46a4ac "}) {
        EXPECT_FALSE(parse_uuid(text).has_value()) << text;
    }
}

TEST(Uuid, VersionFiveIsThatOfTheStandard) {
    // RFC 4122 appendix C's DNS name space and the name of Python's documentation.
    const auto dns = parse_uuid("6ba7b810-9dad-11d1-80b4-00c04fd430c8");
    EXPECT_EQ(to_string(make_name_uuid(*dns, "python.org")),
              "886313e1-3b8a-5372-9b90-0c9aee199e5d");
}

TEST(Uuid, RandomOnesSayVersionFour) {
    std::array<std::uint8_t, 16> all_ones{};
    all_ones.fill(0xff);
    EXPECT_EQ(to_string(make_random_uuid(all_ones)), "ffffffff-ffff-4fff-bfff-ffffffffffff");
}

TEST(Uuid, MixedEndianSwapsTheFirstThreeFields) {
    const auto uuid = parse_uuid("00112233-4455-6677-8899-aabbccddeeff");
    EXPECT_EQ(to_string(swap_mixed_endian(*uuid)), "33221100-5544-7766-8899-aabbccddeeff");
    EXPECT_EQ(swap_mixed_endian(swap_mixed_endian(*uuid)), *uuid);
}

TEST(SerialNumber, ComparesAroundTheCircle) {
    EXPECT_TRUE(SerialNumber32{0xffffffff}.is_before({0}));
    EXPECT_FALSE(SerialNumber32{0}.is_before({0xffffffff}));
    EXPECT_FALSE(SerialNumber32{5}.is_before({5}));
    EXPECT_EQ(SerialNumber32{0xffffffff}.plus(2), SerialNumber32{1});
}

TEST(Result, AFullDiskHasACodeOfItsOwn) {
    EXPECT_EQ(system_error("write a", ENOSPC).code, ErrorCode::no_space);
    const Error error = system_error("write a", EIO);
    EXPECT_EQ(error.code, ErrorCode::io);
    EXPECT_EQ(error.message, "write a: Input/output error");
}

}  // namespace
}  // namespace cowtgt
