#include "cow-store/references/boot_archive.h"

#include <gtest/gtest.h>
#include <lz4.h>
#include <zlib.h>
#include <zstd.h>

namespace cowtgt::references {
namespace {

const std::string uuid = "1b2c3d4e-5f60-4718-9a0b-c1d2e3f4a5b6";
const std::string early = "070701 microcode TRAILER!!!" + std::string(100, '\0');
const std::string names_it = "070701 conf/conf.d/resume RESUME=UUID=" + uuid + "\nTRAILER!!!";

std::string gzip(const std::string& text) {
    std::string out(compressBound(text.size()) + 64, '\0');
    z_stream stream{};
    EXPECT_EQ(deflateInit2(&stream, 9, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY), Z_OK);
    stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(text.data()));
    stream.avail_in = static_cast<uInt>(text.size());
    stream.next_out = reinterpret_cast<Bytef*>(out.data());
    stream.avail_out = static_cast<uInt>(out.size());
    EXPECT_EQ(deflate(&stream, Z_FINISH), Z_STREAM_END);
    out.resize(stream.total_out);
    deflateEnd(&stream);
    return out;
}

std::string zstd(const std::string& text) {
    std::string out(ZSTD_compressBound(text.size()), '\0');
    out.resize(ZSTD_compress(out.data(), out.size(), text.data(), text.size(), 3));
    return out;
}

/// One block of the form that has no mark of its end.
std::string lz4_legacy(const std::string& text) {
    std::string block(static_cast<std::size_t>(LZ4_compressBound(static_cast<int>(text.size()))),
                      '\0');
    const int size = LZ4_compress_default(text.data(), block.data(), static_cast<int>(text.size()),
                                          static_cast<int>(block.size()));
    std::string out = "\x02\x21\x4c\x18";
    for (int shift = 0; shift < 32; shift += 8)
        out += static_cast<char>(size >> shift & 0xff);
    return out + block.substr(0, static_cast<std::size_t>(size));
}

Result<std::vector<std::string>> search(const std::string& archive) {
    return search_boot_archive(bytes_of(archive), {uuid});
}

TEST(BootArchive, CompressedPartsAreUnpackedWhereverTheyLie) {
    const std::string padding(512, '\0');
    for (const std::string& archive :
         {gzip(names_it), zstd(names_it), early + zstd(names_it), early + early + gzip(names_it),
          early + padding + zstd(early) + padding + gzip(names_it),
          "070701 a file that says TRAILER!!! in the middle, TRAILER!!!" + padding +
              zstd(names_it)}) {
        const auto found = search(archive);
        ASSERT_TRUE(found.has_value()) << found.error().message;
        EXPECT_EQ(*found, std::vector<std::string>{uuid});
    }
}

TEST(BootArchive, WhatLiesInTheClearIsLeftToTheSearchOfTheDisk) {
    for (const std::string& archive : {std::string(), early, names_it, early + zstd(early)}) {
        const auto found = search(archive);
        ASSERT_TRUE(found.has_value()) << found.error().message;
        EXPECT_TRUE(found->empty());
    }
}

TEST(BootArchive, LegacyLz4EndsWhereTheNextStreamBegins) {
    // Not before gzip, whose magic number is a size that a block could have.
    for (const std::string& behind : {lz4_legacy(names_it), zstd(names_it)}) {
        const auto found = search(lz4_legacy(early) + behind);
        ASSERT_TRUE(found.has_value()) << found.error().message;
        EXPECT_EQ(*found, std::vector<std::string>{uuid});
    }
}

TEST(BootArchive, LegacyLz4IsWholeBehindABlockAndNowhereElse) {
    const std::string whole = lz4_legacy(names_it);
    for (std::size_t size = 5; size < whole.size(); ++size)
        EXPECT_FALSE(search(whole.substr(0, size)).has_value()) << size;
    EXPECT_TRUE(search(whole).has_value());
}

TEST(BootArchive, WhatCannotBeUnpackedIsAnError) {
    std::string flipped = gzip(names_it + std::string(1000, 'x'));
    flipped[flipped.size() - 6] = static_cast<char>(flipped[flipped.size() - 6] ^ 1);
    const std::string whole = zstd(names_it);
    for (const std::string& archive :
         {flipped, whole.substr(0, whole.size() - 3), early + "BZh9 not here",
          std::string("no archive at all"), zstd(names_it) + "rest"}) {
        EXPECT_FALSE(search(archive).has_value());
    }
}

}  // namespace
}  // namespace cowtgt::references
