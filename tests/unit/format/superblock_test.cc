#include "cow-store/format/superblock.h"

#include <gtest/gtest.h>

#include <cstring>
#include <vector>

namespace cowtgt {
namespace {

Superblock example() {
    Superblock s;
    s.block_size = 4096;
    s.layer_uuid.bytes = {1, 2, 3};
    s.generation = 7;
    s.virtual_size = 1 << 20;
    s.parent_uuid.bytes = {9};
    s.parent_content_id = 0x1122334455667788;
    s.overlap_limit = 65536;
    s.phase = LayerPhase::open;
    s.directory = {5, 0xabcdef};
    s.boot_id.bytes = {4, 4};
    s.inode = 12;
    s.ring = {256, 2, 4092, 3, 77, 0x55};
    return s;
}

std::vector<std::byte> unit_of(const Superblock& superblock) {
    const DiskSuperblock disk = encode_superblock(superblock);
    const Bytes bytes = bytes_of_struct(disk);
    return {bytes.begin(), bytes.end()};
}

TEST(Superblock, DecodesWhatWasEncoded) {
    const Superblock before = example();
    const Result<Superblock> after = decode_superblock(unit_of(before));
    ASSERT_TRUE(after);
    EXPECT_EQ(unit_of(*after), unit_of(before));
    EXPECT_EQ(after->ring.first_sequence, 77U);
    EXPECT_EQ(after->directory, before.directory);
    EXPECT_EQ(after->phase, LayerPhase::open);
}

TEST(Superblock, EveryFlippedBitIsRefused) {
    const std::vector<std::byte> good = unit_of(example());
    for (std::size_t bit = 0; bit < good.size() * 8; ++bit) {
        std::vector<std::byte> bad = good;
        bad[bit / 8] ^= std::byte{1} << (bit % 8);
        ASSERT_FALSE(decode_superblock(bad)) << bit;
    }
}

TEST(Superblock, ANewerVersionAndAnUnknownFeatureAreUnsupported) {
    for (const std::size_t offset :
         {offsetof(DiskSuperblock, version), offsetof(DiskSuperblock, incompatible_features)}) {
        std::vector<std::byte> unit = unit_of(example());
        unit[offset] = std::byte{2};
        const Result<Superblock> decoded = decode_superblock(unit);
        ASSERT_FALSE(decoded);
        EXPECT_EQ(decoded.error().code, ErrorCode::unsupported);
    }
}

TEST(Superblock, TheWholeCopyWithTheHigherGenerationIsChosen) {
    Superblock newer = example();
    newer.generation = 8;
    const auto a = unit_of(example());
    const auto b = unit_of(newer);
    EXPECT_EQ(choose_superblock(a, b)->generation, 8U);
    EXPECT_EQ(choose_superblock(b, a)->generation, 8U);
    auto torn = b;
    std::memset(torn.data() + 3584, 0, 512);
    EXPECT_EQ(choose_superblock(torn, a)->generation, 7U);
    EXPECT_FALSE(choose_superblock(torn, torn));
}

TEST(Superblock, CopiesOfTwoLayersAreRefused) {
    Superblock other = example();
    other.layer_uuid.bytes = {8};
    EXPECT_EQ(choose_superblock(unit_of(example()), unit_of(other)).error().code,
              ErrorCode::corrupt);
}

TEST(Superblock, ImpossibleNumbersAreRefused) {
    const auto refused = [](auto change) {
        Superblock s = example();
        change(s);
        return !decode_superblock(unit_of(s));
    };
    EXPECT_TRUE(refused([](Superblock& s) { s.block_size = 1024; }));
    EXPECT_TRUE(refused([](Superblock& s) { s.virtual_size = 0; }));
    EXPECT_TRUE(refused([](Superblock& s) { s.virtual_size = virtual_size_max + 4096; }));
    EXPECT_TRUE(refused([](Superblock& s) { s.virtual_size += 512; }));
    EXPECT_TRUE(refused([](Superblock& s) { s.ring.head = 8192; }));
    EXPECT_TRUE(refused([](Superblock& s) { s.ring.head = 2; }));
    EXPECT_TRUE(refused([](Superblock& s) { s.ring.unit = 1; }));
    EXPECT_TRUE(refused([](Superblock& s) { s.ring.unit = 0; }));
    EXPECT_TRUE(refused([](Superblock& s) { s.directory.unit = 1; }));
}

}  // namespace
}  // namespace cowtgt
