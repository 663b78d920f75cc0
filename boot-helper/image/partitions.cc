#include "boot-helper/image/partitions.h"

#include <blkid/blkid.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <memory>

namespace cowtgt::boot {

namespace {

constexpr std::uint64_t sector_bytes = 512;  ///< in which libblkid counts
/// Where all signatures that matter here lie: the first bytes of a file system or a table, and
/// the last ones (backup GPT, RAID).
constexpr std::uint64_t head_bytes = 1U << 20;
constexpr std::uint64_t tail_bytes = 256U << 10;
constexpr int logical_numbers_from = 5;
constexpr std::string_view efi_system_type = "c12a7328-f81f-11d2-ba4b-00a0c93ec93b";
constexpr int mbr_efi_system_type = 0xef;

struct FreeProbe {
    void operator()(blkid_probe probe) const { blkid_free_probe(probe); }
};
using Probe = std::unique_ptr<std::remove_pointer_t<blkid_probe>, FreeProbe>;

/// libblkid reads from a descriptor only. This one is a sparse copy in memory: of the size of the
/// image, holding the parts that were asked for.
class ProbeCopy {
public:
    static Result<ProbeCopy> make(ImageSource& image) {
        Descriptor copy(::memfd_create("image", MFD_CLOEXEC));
        if (!copy.is_open()) return system_error("making a memory file", errno);
        if (::ftruncate(copy.get(), static_cast<off_t>(image.size_bytes())) != 0) {
            return system_error("sizing a memory file", errno);
        }
        return ProbeCopy(image, std::move(copy));
    }

    /// Copies both ends of a part.
    Result<void> copy_ends(std::uint64_t offset, std::uint64_t size_bytes) {
        const std::uint64_t head = std::min(head_bytes, size_bytes);
        if (auto done = copy(offset, head); !done) return done;
        const std::uint64_t tail = std::min(tail_bytes, size_bytes - head);
        return copy(offset + size_bytes - tail, tail);
    }

    int descriptor() const { return copy_.get(); }

private:
    ProbeCopy(ImageSource& image, Descriptor copy) : image_(&image), copy_(std::move(copy)) {}

    Result<void> copy(std::uint64_t offset, std::uint64_t size_bytes) {
        std::vector<std::byte> buffer(64U << 10);
        for (const std::uint64_t end = offset + size_bytes; offset < end;) {
            const std::size_t count = std::min<std::uint64_t>(buffer.size(), end - offset);
            const MutableBytes part = std::span(buffer).first(count);
            if (auto done = image_->read(offset, part); !done) return done;
            if (::pwrite(copy_.get(), part.data(), count, static_cast<off_t>(offset)) !=
                static_cast<ssize_t>(count)) {
                return system_error("filling a memory file", errno);
            }
            offset += count;
        }
        return {};
    }

    ImageSource* image_;
    Descriptor copy_;
};

Error probe_error(std::string_view doing) {
    return {ErrorCode::failed, "libblkid could not " + std::string(doing)};
}

std::string value_of(blkid_probe probe, const char* name) {
    const char* value = nullptr;
    if (blkid_probe_lookup_value(probe, name, &value, nullptr) != 0) return {};
    return value;
}

/// Names the file system of a part, which may have none.
Result<void> probe_file_system(const ProbeCopy& copy, Partition& partition) {
    const Probe probe(blkid_new_probe());
    if (!probe) return probe_error("make a probe");
    if (blkid_probe_set_device(probe.get(), copy.descriptor(),
                               static_cast<blkid_loff_t>(partition.offset),
                               static_cast<blkid_loff_t>(partition.size_bytes)) != 0) {
        return probe_error("look at " + describe(partition));
    }
    blkid_probe_enable_superblocks(probe.get(), 1);
    blkid_probe_set_superblocks_flags(probe.get(),
                                      BLKID_SUBLKS_TYPE | BLKID_SUBLKS_LABEL | BLKID_SUBLKS_UUID);
    if (blkid_do_safeprobe(probe.get()) != 0) return {};  // nothing, or signatures of two
    partition.file_system = value_of(probe.get(), "TYPE");
    partition.label = value_of(probe.get(), "LABEL");
    partition.uuid = value_of(probe.get(), "UUID");
    return {};
}

bool is_efi_system(blkid_partition part) {
    const char* type = blkid_partition_get_type_string(part);
    return type != nullptr ? std::string_view(type) == efi_system_type
                           : blkid_partition_get_type(part) == mbr_efi_system_type;
}

/// The partitions that the table names, as far as they lie within the image.
Result<std::vector<Partition>> read_table(const ProbeCopy& copy, std::uint64_t image_bytes) {
    const Probe probe(blkid_new_probe());
    if (!probe || blkid_probe_set_device(probe.get(), copy.descriptor(), 0, 0) != 0) {
        return probe_error("look at the image");
    }
    blkid_probe_enable_superblocks(probe.get(), 0);
    blkid_probe_enable_partitions(probe.get(), 1);
    std::vector<Partition> partitions;
    blkid_partlist list = blkid_probe_get_partitions(probe.get());
    const int count = list == nullptr ? 0 : blkid_partlist_numof_partitions(list);
    for (int at = 0; at < count; ++at) {
        blkid_partition part = blkid_partlist_get_partition(list, at);
        Partition partition;
        partition.number = blkid_partition_get_partno(part);
        const auto start = static_cast<std::uint64_t>(blkid_partition_get_start(part));
        const auto size = static_cast<std::uint64_t>(blkid_partition_get_size(part));
        if (start > image_bytes / sector_bytes || size > image_bytes / sector_bytes - start) {
            continue;
        }
        const bool mbr = blkid_partition_get_type_string(part) == nullptr;
        if (mbr && partition.number >= logical_numbers_from) continue;
        partition.offset = start * sector_bytes;
        partition.size_bytes = size * sector_bytes;
        partition.is_efi_system = is_efi_system(part);
        partitions.push_back(partition);
    }
    return partitions;
}

}  // namespace

Result<std::vector<Partition>> find_partitions(ImageSource& image) {
    Result<ProbeCopy> copy = ProbeCopy::make(image);
    if (!copy) return copy.error();
    if (auto done = copy->copy_ends(0, image.size_bytes()); !done) return done.error();
    Result<std::vector<Partition>> partitions = read_table(*copy, image.size_bytes());
    if (!partitions) return partitions;
    if (partitions->empty()) {
        Partition whole;
        whole.size_bytes = image.size_bytes();
        partitions->push_back(whole);
    }
    for (Partition& partition : *partitions) {
        if (auto done = copy->copy_ends(partition.offset, partition.size_bytes); !done) {
            return done.error();
        }
        if (auto done = probe_file_system(*copy, partition); !done) return done.error();
    }
    return partitions;
}

std::string describe(const Partition& partition) {
    std::string text =
        partition.number == 0 ? "the image" : "partition " + std::to_string(partition.number);
    return text + " (" + (partition.file_system.empty() ? "unknown" : partition.file_system) + ")";
}

}  // namespace cowtgt::boot
