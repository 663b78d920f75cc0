#include "target/control/qcow2_output.h"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstddef>
#include <span>
#include <utility>

#include "cow-store/file_posix.h"

namespace cowtgt::control {

namespace {

constexpr std::uint32_t cluster_bits = 16;
constexpr std::uint64_t cluster_bytes = std::uint64_t{1} << cluster_bits;
constexpr std::uint64_t entries_per_cluster = cluster_bytes / sizeof(be64);
constexpr std::uint32_t refcount_order = 4;  ///< 16 bits each
constexpr std::uint64_t refcounts_per_cluster = cluster_bytes / sizeof(be16);
/// No snapshot shares the cluster: it may be written in place.
constexpr std::uint64_t copied_flag = std::uint64_t{1} << 63;
constexpr const char* output_name = "the image";

struct Qcow2Header {
    std::array<std::uint8_t, 4> magic;  ///< "QFI\xfb"
    be32 version;                       ///< 3
    be64 backing_file_offset;           ///< 0: there is none
    be32 backing_file_size;
    be32 cluster_bits;
    be64 size;  ///< bytes of the disk
    be32 crypt_method;
    be32 l1_size;  ///< entries
    be64 l1_table_offset;
    be64 refcount_table_offset;
    be32 refcount_table_clusters;
    be32 snapshot_count;
    be64 snapshots_offset;
    be64 incompatible_features, compatible_features, autoclear_features;
    be32 refcount_order;
    be32 header_length;
};
static_assert(sizeof(Qcow2Header) == 104 && alignof(Qcow2Header) == 1);
static_assert(offsetof(Qcow2Header, l1_table_offset) == 40);
static_assert(offsetof(Qcow2Header, refcount_order) == 96);

constexpr std::uint64_t clusters_for(std::uint64_t bytes) {
    return (bytes + cluster_bytes - 1) / cluster_bytes;
}

}  // namespace

Qcow2Output::Qcow2Output(int descriptor, std::uint64_t size_bytes,
                         std::function<bool()> is_cancelled)
    : descriptor_(descriptor), size_bytes_(size_bytes), is_cancelled_(std::move(is_cancelled)) {}

Result<void> Qcow2Output::begin() {
    struct stat found {};
    if (::fstat(descriptor_, &found) != 0) return system_error("looking at the output", errno);
    if (!S_ISREG(found.st_mode)) {
        return Error{ErrorCode::usage,
                     "a qcow2 image needs a file; export raw goes to devices and pipes"};
    }
    if (::ftruncate(descriptor_, 0) != 0) return system_error("emptying the output", errno);
    return {};
}

Result<void> Qcow2Output::put(std::uint64_t offset, Bytes bytes) {
    return write_all_at(descriptor_, offset, bytes, output_name);
}

be64& Qcow2Output::l2_entry(std::uint64_t cluster) {
    L2Table& table = l2_tables_[cluster / entries_per_cluster];
    if (table.empty()) table.resize(entries_per_cluster);
    return table[cluster % entries_per_cluster];
}

Result<void> Qcow2Output::write(std::uint64_t offset, Bytes bytes) {
    if (is_cancelled_()) return Error{ErrorCode::failed, "the export was cancelled"};
    while (!bytes.empty()) {
        const std::uint64_t inside = offset % cluster_bytes;
        const Bytes piece =
            bytes.first(std::min<std::uint64_t>(bytes.size(), cluster_bytes - inside));
        be64& entry = l2_entry(offset / cluster_bytes);
        // What of a new cluster is not written is a hole, and zero.
        if (entry.get() == 0) entry = next_cluster_++ * cluster_bytes | copied_flag;
        Result<void> done = put((entry.get() & ~copied_flag) + inside, piece);
        if (!done) return done;
        bytes = bytes.subspan(piece.size());
        offset += piece.size();
    }
    return {};
}

Result<void> Qcow2Output::end() {
    const std::uint64_t l1_entries = std::max<std::uint64_t>(
        1, (clusters_for(size_bytes_) + entries_per_cluster - 1) / entries_per_cluster);
    std::vector<be64> l1_table(l1_entries);
    for (auto& [place, table] : l2_tables_) {
        const std::uint64_t at = next_cluster_++ * cluster_bytes;
        l1_table[place] = at | copied_flag;
        if (Result<void> done = put(at, std::as_bytes(std::span(table))); !done) return done;
    }
    const std::uint64_t l1_offset = next_cluster_ * cluster_bytes;
    next_cluster_ += clusters_for(l1_entries * sizeof(be64));
    Result<void> done = put(l1_offset, std::as_bytes(std::span(l1_table)));
    if (done) done = write_refcounts(next_cluster_);
    // Before the header, so that whatever it names is there.
    if (done && ::fsync(descriptor_) != 0) done = system_error("syncing the output", errno);
    if (!done) return done;
    Qcow2Header header{};
    header.magic = {'Q', 'F', 'I', 0xfb};
    header.version = 3;
    header.cluster_bits = cluster_bits;
    header.size = size_bytes_;
    header.l1_size = static_cast<std::uint32_t>(l1_entries);
    header.l1_table_offset = l1_offset;
    header.refcount_table_offset = refcount_offset_;
    header.refcount_table_clusters = static_cast<std::uint32_t>(refcount_clusters_);
    header.refcount_order = refcount_order;
    header.header_length = sizeof header;
    done = put(0, bytes_of_struct(header));
    if (done && ::fsync(descriptor_) != 0) done = system_error("syncing the output", errno);
    return done;
}

/// Each cluster of the file is used once, those of the counters included.
Result<void> Qcow2Output::write_refcounts(std::uint64_t first_free) {
    std::uint64_t blocks = 0;
    std::uint64_t total = first_free;
    while (true) {
        refcount_clusters_ = clusters_for(blocks * sizeof(be64));
        total = first_free + blocks + refcount_clusters_;
        if (blocks * refcounts_per_cluster >= total) break;
        ++blocks;
    }
    std::vector<be64> table(blocks);
    std::uint64_t left = total;
    for (std::uint64_t i = 0; i < blocks; ++i) {
        const std::uint64_t at = (first_free + i) * cluster_bytes;
        table[i] = at;
        std::vector<be16> counters(refcounts_per_cluster);
        const std::uint64_t used = std::min(left, refcounts_per_cluster);
        std::fill_n(counters.begin(), used, be16{1});
        left -= used;
        if (Result<void> done = put(at, std::as_bytes(std::span(counters))); !done) return done;
    }
    refcount_offset_ = (first_free + blocks) * cluster_bytes;
    Result<void> done = put(refcount_offset_, std::as_bytes(std::span(table)));
    if (done && ::ftruncate(descriptor_, static_cast<off_t>(total * cluster_bytes)) != 0) {
        done = system_error("setting the size of the output", errno);
    }
    return done;
}

}  // namespace cowtgt::control
