#include "cow-store/format/map_page.h"

#include <gtest/gtest.h>

#include <vector>

#include "cow-store/format/directory_page.h"

namespace cowtgt {
namespace {

const std::vector<LeafRun> some_runs = {{0, 3, 100}, {3, 1, value_zero}, {1000, 24, 500}};

std::vector<std::byte> packed(const std::vector<DecodedLeaf>& leaves) {
    std::vector<std::byte> page(unit_size);
    PackedPageWriter writer(page, 9);
    for (const DecodedLeaf& leaf : leaves) {
        writer.add(leaf.leaf, leaf.runs);
    }
    writer.finish();
    return page;
}

bool refused(const std::vector<LeafRun>& runs) {
    return !decode_packed_page(packed({{4, runs}}));
}

TEST(PackedPage, DecodesWhatWasEncoded) {
    const auto page = packed({{4, some_runs}, {9, {{5, 1, 77}}}});
    const auto leaves = decode_packed_page(page);
    ASSERT_TRUE(leaves);
    ASSERT_EQ(leaves->size(), 2U);
    EXPECT_EQ((*leaves)[0].leaf, 4U);
    EXPECT_EQ((*leaves)[0].runs, some_runs);
    EXPECT_EQ((*leaves)[1].leaf, 9U);
}

TEST(PackedPage, TakesExactlyTheRunsThatItSaysFit) {
    std::vector<LeafRun> runs;
    for (std::uint32_t i = 0; i < packed_runs_max; ++i) {
        runs.push_back({static_cast<std::uint16_t>(i * 2), 1, 100 + i * 5});
    }
    EXPECT_EQ(packed_runs_max, 509U);
    EXPECT_EQ((*decode_packed_page(packed({{0, runs}})))[0].runs, runs);
}

TEST(PackedPage, MalformedRunsAreRefused) {
    EXPECT_FALSE(refused(some_runs));
    EXPECT_TRUE(refused({{0, 0, 100}}));               // empty
    EXPECT_TRUE(refused({{0, 4, 100}, {3, 1, 200}}));  // overlapping
    EXPECT_TRUE(refused({{1000, 25, 100}}));           // beyond the leaf
    EXPECT_TRUE(refused({{0, 1, value_inherit}}));     // says nothing
    EXPECT_TRUE(refused({{0, 2, 0xffffffff}}));        // beyond the last unit
}

TEST(PackedPage, LeavesOutOfOrderAreRefused) {
    EXPECT_FALSE(decode_packed_page(packed({{9, some_runs}, {4, some_runs}})));
    EXPECT_FALSE(decode_packed_page(packed({{9, some_runs}, {9, some_runs}})));
}

TEST(PackedPage, NoLengthReadsBeyondThePage) {
    const auto good = packed({{4, some_runs}});
    for (const std::size_t field : {4U, 6U, 20U}) {  // leaf count, used bytes, run count
        for (int value = 0; value < 256; ++value) {
            auto bad = good;
            bad[field + 1] = static_cast<std::byte>(value);
            const auto leaves = decode_packed_page(bad);
            EXPECT_TRUE(!leaves || bad == good);
        }
    }
}

TEST(DensePage, DecodesWhatWasEncoded) {
    DenseLeaf leaf;
    for (std::uint32_t i = 0; i < clusters_per_leaf; ++i) {
        leaf[i] = i * 7919U;
    }
    std::vector<std::byte> page(unit_size);
    encode_dense_page(page, leaf);
    EXPECT_EQ(decode_dense_page(page), leaf);
}

TEST(DirectoryPage, DecodesWhatWasEncoded) {
    std::vector<PageEntry> entries;
    for (std::uint32_t i = 0; i < entries_per_directory_page; ++i) {
        entries.push_back({i * 3, i % 2 == 0 ? PageForm::packed : PageForm::dense, {i + 2, i}});
    }
    std::vector<std::byte> page(unit_size);
    encode_directory_page(page, 4, entries, {88, 99});
    const auto decoded = decode_directory_page(page);
    ASSERT_TRUE(decoded);
    EXPECT_EQ(decoded->entries, entries);
    EXPECT_EQ(decoded->next, (PagePointer{88, 99}));
}

TEST(DirectoryPage, EntriesOutOfOrderAndUnknownFormsAreRefused) {
    std::vector<std::byte> page(unit_size);
    const PageEntry entry{5, PageForm::packed, {9, 1}};
    encode_directory_page(page, 4, std::vector{entry, entry}, {});
    EXPECT_FALSE(decode_directory_page(page));
    encode_directory_page(page, 4, std::vector{PageEntry{5, static_cast<PageForm>(3), {9, 1}}}, {});
    EXPECT_FALSE(decode_directory_page(page));
    EXPECT_FALSE(decode_directory_page(std::vector<std::byte>(unit_size)));
}

}  // namespace
}  // namespace cowtgt
