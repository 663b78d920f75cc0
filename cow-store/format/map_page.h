#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "cow-store/base/bytes.h"
#include "cow-store/base/endian.h"
#include "cow-store/base/result.h"
#include "cow-store/format/units.h"

namespace cowtgt {

/// Clusters of one leaf that follow each other: all inherited (not stored), all zero, or in
/// consecutive units.
struct LeafRun {
    std::uint16_t start = 0;  ///< first cluster inside the leaf
    std::uint16_t count = 0;  ///< 1 to clusters_per_leaf
    MapValue value = 0;       ///< of the first cluster
    friend bool operator==(const LeafRun&, const LeafRun&) = default;
};

/// All clusters of one leaf, value by value.
using DenseLeaf = std::array<MapValue, clusters_per_leaf>;

enum class PageForm : std::uint32_t {
    packed = 1,  ///< leaves as lists of runs, several in a page
    dense = 2,   ///< one leaf as 1024 values
};

/// Head of a packed page (FORMAT.md, "Map pages").
struct DiskPackedPage {
    std::array<std::uint8_t, 4> magic;  ///< "mapp"
    le16 leaf_count;
    le16 used_bytes;  ///< with this head
    le64 generation;  ///< of the superblock that first names the page
};
static_assert(sizeof(DiskPackedPage) == 16 && alignof(DiskPackedPage) == 1);

struct DiskLeaf {
    le32 leaf;       ///< cluster number / 1024
    le16 run_count;  ///< of the DiskRuns that follow
    le16 reserved;
};
static_assert(sizeof(DiskLeaf) == 8 && alignof(DiskLeaf) == 1);

struct DiskRun {
    le16 start, count;
    le32 value;
};
static_assert(sizeof(DiskRun) == 8 && alignof(DiskRun) == 1);

inline constexpr std::uint32_t packed_page_capacity =
    unit_size - sizeof(DiskPackedPage);  ///< bytes
/// A leaf with more runs is stored dense.
inline constexpr std::uint32_t packed_runs_max =
    (packed_page_capacity - sizeof(DiskLeaf)) / sizeof(DiskRun);

/// Bytes that a leaf of so many runs takes in a packed page.
constexpr std::uint32_t packed_leaf_size(std::size_t runs) {
    return static_cast<std::uint32_t>(sizeof(DiskLeaf) + runs * sizeof(DiskRun));
}

/// Fills one packed page, leaf after leaf. Requires of the page: unit_size bytes.
class PackedPageWriter {
public:
    PackedPageWriter(MutableBytes page, std::uint64_t generation);
    /// Requires: it fits (packed_leaf_size) and leaves come in rising order.
    void add(std::uint32_t leaf, std::span<const LeafRun> runs);
    std::uint32_t used_bytes() const { return used_bytes_; }
    void finish();

private:
    MutableBytes page_;
    std::uint64_t generation_;
    std::uint32_t used_bytes_ = sizeof(DiskPackedPage);
    std::uint16_t leaf_count_ = 0;
};

void encode_dense_page(MutableBytes page, const DenseLeaf& leaf);

struct DecodedLeaf {
    std::uint32_t leaf = 0;
    std::vector<LeafRun> runs;
};

/// corrupt when anything overlaps, is out of order or out of range. The checksum is the reader's
/// business: it lies in the directory.
Result<std::vector<DecodedLeaf>> decode_packed_page(Bytes page);
DenseLeaf decode_dense_page(Bytes page);

}  // namespace cowtgt
