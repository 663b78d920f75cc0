#include "cow-store/format/map_page.h"

#include <cstring>
#include <string>
#include <utility>

#include "cow-store/base/check.h"

namespace cowtgt {

namespace {

constexpr std::array<std::uint8_t, 4> packed_magic = {'m', 'a', 'p', 'p'};

template <typename Disk>
Disk take(Bytes& bytes) {
    Disk disk;
    std::memcpy(&disk, bytes.data(), sizeof disk);
    bytes = bytes.subspan(sizeof disk);
    return disk;
}

template <typename Disk>
void put(MutableBytes page, std::uint32_t offset, const Disk& disk) {
    std::memcpy(page.data() + offset, &disk, sizeof disk);
}

Error corrupt(const char* why) {
    return Error{ErrorCode::corrupt, std::string("map page: ") + why, 0};
}

Result<std::vector<LeafRun>> take_runs(Bytes& bytes, std::uint32_t run_count) {
    std::vector<LeafRun> runs;
    runs.reserve(run_count);
    std::uint32_t next_start = 0;
    for (std::uint32_t i = 0; i < run_count; ++i) {
        const auto disk = take<DiskRun>(bytes);
        const LeafRun run{disk.start.get(), disk.count.get(), disk.value.get()};
        const std::uint32_t end = std::uint32_t{run.start} + run.count;
        if (run.count == 0 || run.start < next_start || end > clusters_per_leaf) {
            return corrupt("runs overlap or leave their leaf");
        }
        if (run.value == value_inherit) return corrupt("a run without a value");
        if (is_data(run.value) && run.value + (run.count - 1U) < run.value) {
            return corrupt("units beyond the last one");
        }
        next_start = end;
        runs.push_back(run);
    }
    return runs;
}

}  // namespace

PackedPageWriter::PackedPageWriter(MutableBytes page, std::uint64_t generation)
    : page_(page), generation_(generation) {
    CHECK(page.size() == unit_size);
    std::memset(page.data(), 0, page.size());
}

void PackedPageWriter::add(std::uint32_t leaf, std::span<const LeafRun> runs) {
    CHECK(used_bytes_ + packed_leaf_size(runs.size()) <= unit_size);
    put(page_, used_bytes_, DiskLeaf{leaf, static_cast<std::uint16_t>(runs.size()), 0});
    used_bytes_ += static_cast<std::uint32_t>(sizeof(DiskLeaf));
    for (const LeafRun& run : runs) {
        put(page_, used_bytes_, DiskRun{run.start, run.count, run.value});
        used_bytes_ += static_cast<std::uint32_t>(sizeof(DiskRun));
    }
    ++leaf_count_;
}

void PackedPageWriter::finish() {
    put(page_, 0,
        DiskPackedPage{packed_magic, leaf_count_, static_cast<std::uint16_t>(used_bytes_),
                       generation_});
}

void encode_dense_page(MutableBytes page, const DenseLeaf& leaf) {
    CHECK(page.size() == unit_size);
    for (std::uint32_t i = 0; i < clusters_per_leaf; ++i) {
        put(page, i * 4, le32{leaf[i]});
    }
}

Result<std::vector<DecodedLeaf>> decode_packed_page(Bytes page) {
    CHECK(page.size() == unit_size);
    Bytes rest = page;
    const auto head = take<DiskPackedPage>(rest);
    if (head.magic != packed_magic) return corrupt("no magic");
    if (head.used_bytes.get() < sizeof head || head.used_bytes.get() > unit_size) {
        return corrupt("impossible length");
    }
    rest = rest.first(head.used_bytes.get() - sizeof head);
    std::vector<DecodedLeaf> leaves;
    for (std::uint32_t i = 0; i < head.leaf_count.get(); ++i) {
        if (rest.size() < sizeof(DiskLeaf)) return corrupt("a leaf is cut off");
        const auto disk = take<DiskLeaf>(rest);
        if (rest.size() < disk.run_count.get() * sizeof(DiskRun)) {
            return corrupt("a run is cut off");
        }
        if (!leaves.empty() && disk.leaf.get() <= leaves.back().leaf) {
            return corrupt("leaves out of order");
        }
        Result<std::vector<LeafRun>> runs = take_runs(rest, disk.run_count.get());
        if (!runs) return runs.error();
        leaves.push_back({disk.leaf.get(), std::move(*runs)});
    }
    if (!rest.empty()) return corrupt("bytes after the last leaf");
    return leaves;
}

DenseLeaf decode_dense_page(Bytes page) {
    CHECK(page.size() == unit_size);
    DenseLeaf leaf;
    Bytes rest = page;
    for (MapValue& value : leaf) {
        value = take<le32>(rest).get();
    }
    return leaf;
}

}  // namespace cowtgt
