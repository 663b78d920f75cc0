#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "cow-store/base/bytes.h"
#include "cow-store/base/endian.h"
#include "cow-store/base/result.h"
#include "cow-store/format/map_page.h"
#include "cow-store/format/superblock.h"

namespace cowtgt {

/// One map page, as its parent knows it. It holds all leaves from first_leaf to the next page's.
struct PageEntry {
    std::uint32_t first_leaf = 0;
    PageForm form = PageForm::packed;
    PagePointer page;
    friend bool operator==(const PageEntry&, const PageEntry&) = default;
};

/// Head of a directory page (FORMAT.md, "Directory"). The pages are a list: each names the next one
/// and its checksum, the superblock the first.
struct DiskDirectoryPage {
    std::array<std::uint8_t, 4> magic;  ///< "mapd"
    le16 entry_count;
    le16 reserved_6;
    le64 generation;  ///< of the superblock that first names the page
    le32 next_unit;   ///< 0: this is the last one
    le32 reserved_20;
    le64 next_checksum;
};
static_assert(sizeof(DiskDirectoryPage) == 32 && alignof(DiskDirectoryPage) == 1);

struct DiskPageEntry {
    le32 first_leaf;
    le32 unit;
    le32 form;
    le64 checksum;  ///< xxh3 of the page
};
static_assert(sizeof(DiskPageEntry) == 20 && alignof(DiskPageEntry) == 1);

inline constexpr std::uint32_t entries_per_directory_page =
    (unit_size - sizeof(DiskDirectoryPage)) / sizeof(DiskPageEntry);

/// Directory pages that so many map pages need.
constexpr std::uint64_t directory_pages_for(std::uint64_t map_pages) {
    return (map_pages + entries_per_directory_page - 1) / entries_per_directory_page;
}

/// Requires: at most entries_per_directory_page entries; `page` has unit_size bytes.
void encode_directory_page(MutableBytes page, std::uint64_t generation,
                           std::span<const PageEntry> entries, const PagePointer& next);

struct DecodedDirectoryPage {
    std::vector<PageEntry> entries;
    PagePointer next;
};
Result<DecodedDirectoryPage> decode_directory_page(Bytes page);

}  // namespace cowtgt
