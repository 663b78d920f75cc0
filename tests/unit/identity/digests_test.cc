#include "cow-store/identity/digests.h"

#include <gtest/gtest.h>

#include <string>

namespace cowtgt::identity {
namespace {

std::string hex(Bytes bytes) {
    constexpr std::string_view digits = "0123456789abcdef";
    std::string text;
    for (const std::byte byte : bytes) {
        text += digits[std::to_integer<unsigned>(byte) >> 4];
        text += digits[std::to_integer<unsigned>(byte) & 0xf];
    }
    return text;
}

TEST(Digests, Sha256OfTheStandardsExamples) {
    EXPECT_EQ(hex(sha256({})), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    EXPECT_EQ(hex(sha256(bytes_of("abc"))),
              "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    EXPECT_EQ(hex(sha256(bytes_of("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq"))),
              "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
}

// Values of the tools b2sum -l 256 and sha256sum.
TEST(Digests, LengthsAroundABlock) {
    const std::string text(300, 'a');
    const auto first = [&](std::size_t length) { return bytes_of(text).first(length); };
    EXPECT_EQ(hex(sha256(first(64))),
              "ffe054fe7ae0cb6dc65c3af9b61d5209f439851db43d0ba5997337df154668eb");
    EXPECT_EQ(hex(blake2b_256(first(128))),
              "ae2aa48507885c4c950fb809b2076f959cde9f8ea6da260d9a3587df33dac450");
    EXPECT_EQ(hex(blake2b_256(first(129))),
              "2f64744a6de0d2c0b56e64cf6e29a5aaa255010d415d51c75ccc82f73dccd865");
}

TEST(Digests, Blake2bOfKnownTexts) {
    EXPECT_EQ(hex(blake2b_256({})),
              "0e5751c026e543b2e8ab2eb06099daa1d1e5df47778f7787faab45cdf12fe3a8");
    EXPECT_EQ(hex(blake2b_256(bytes_of("abc"))),
              "bddd813c634239723171ef3fee98579b94964e3bb1cb3e427262c8c068d52319");
}

TEST(Digests, Xxh64OfKnownTexts) {
    EXPECT_EQ(xxh64({}), 0xef46db3751d8e999U);
    EXPECT_EQ(xxh64(bytes_of("abc")), 0x44bc2cf5ad770999U);
    EXPECT_EQ(xxh64(bytes_of("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq")),
              0xf06103773e8585dfU);
}

}  // namespace
}  // namespace cowtgt::identity
