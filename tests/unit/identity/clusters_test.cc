#include <gtest/gtest.h>

#include <algorithm>

#include "tests/unit/identity/disk_images.h"

namespace cowtgt::identity {
namespace {

std::vector<std::byte> bytes_of_value(std::size_t count, std::uint8_t value) {
    return std::vector<std::byte>(count, std::byte{value});
}

TEST(Clusters, PatchesLieOnTheContentOfTheImage) {
    MemoryImage image(5 * 4096);
    image.write(0, bytes_of_value(5 * 4096, 0x11));
    const std::vector<Patch> patches = {
        {100, bytes_of_value(10, 0x22)},
        {200, bytes_of_value(1, 0x33)},
        {2 * 4096 - 4, bytes_of_value(8, 0x44)},  // over a border
        {4 * 4096, bytes_of_value(4096, 0x55)},
    };
    const Result<std::vector<Cluster>> clusters = to_clusters(patches, image);
    ASSERT_TRUE(clusters.has_value());
    ASSERT_EQ(clusters->size(), 4U);
    MemoryImage expected = image;
    expected.apply(patches);
    const std::uint64_t indices[] = {0, 1, 2, 4};
    for (std::size_t i = 0; i < 4; ++i) {
        EXPECT_EQ((*clusters)[i].index.value, indices[i]);
        EXPECT_TRUE(
            std::ranges::equal((*clusters)[i].bytes, expected.bytes(indices[i] * 4096, 4096)));
    }
}

TEST(Clusters, ZerosPastTheEndOfTheImage) {
    MemoryImage image(4096 + 512);
    image.write(4096, bytes_of_value(512, 0x11));
    const Result<std::vector<Cluster>> clusters = to_clusters(
        {{4096 + 600, bytes_of_value(8, 0x22)}, {1'000'000, bytes_of_value(1, 0x33)}}, image);
    ASSERT_TRUE(clusters.has_value());
    ASSERT_EQ(clusters->size(), 2U);
    const auto& first = (*clusters)[0].bytes;
    EXPECT_EQ(first[511], std::byte{0x11});
    EXPECT_EQ(first[512], std::byte{0});
    EXPECT_EQ(first[600], std::byte{0x22});
    EXPECT_EQ((*clusters)[1].index.value, 1'000'000U / 4096);
    EXPECT_EQ((*clusters)[1].bytes[1'000'000 % 4096], std::byte{0x33});
    EXPECT_EQ((*clusters)[1].bytes[0], std::byte{0});
}

TEST(Clusters, ReadErrorIsPassedOn) {
    MemoryImage image(8192);
    image.fail_at(5000);
    EXPECT_TRUE(to_clusters({{0, bytes_of_value(1, 1)}}, image).has_value());
    EXPECT_EQ(to_clusters({{4096, bytes_of_value(1, 1)}}, image).error().code, ErrorCode::io);
}

TEST(Clusters, NoPatchesNoClusters) {
    EXPECT_TRUE(to_clusters({}, MemoryImage(4096)).value().empty());
}

}  // namespace
}  // namespace cowtgt::identity
