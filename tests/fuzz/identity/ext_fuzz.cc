#include <algorithm>
#include <cstring>
#include <vector>

#include "cow-store/base/checksum.h"
#include "tests/fuzz/identity/identity_properties.h"

/// ext2, ext3 and ext4. Input: one byte of choices, then the beginning of the disk.
/// Bit 0: the superblock's checksum is put right first, since no mutation would find it; bits 1 to
/// 5: the disk is 2 to this many KiB long, at least what is given.
/// Behind the input the primary superblock repeats itself, so that backups are where they must be
/// (at multiples of 1 KiB) however large the file system says it is.
namespace {

using namespace cowtgt;

constexpr std::size_t superblock = 1024;  ///< its offset and its length, bytes

class Disk : public identity::BlockSource {
public:
    Disk(Bytes bytes, std::uint64_t size)
        : bytes_(bytes.begin(), bytes.end()), size_(std::max<std::uint64_t>(size, bytes.size())) {
        bytes_.resize(std::max(bytes_.size(), 2 * superblock));
        size_ = std::max<std::uint64_t>(size_, bytes_.size());
    }

    Result<void> read(std::uint64_t offset, MutableBytes into) const override {
        CHECK(offset <= size_ && into.size() <= size_ - offset);
        for (std::size_t i = 0; i < into.size(); ++i) {
            const std::uint64_t at = offset + i;
            into[i] = at < bytes_.size() ? bytes_[at] : bytes_[superblock + at % superblock];
        }
        return {};
    }
    std::uint64_t size() const override { return size_; }

    void seal() {
        const std::uint32_t checksum =
            crc32c_update(crc32c_start, Bytes(bytes_).subspan(superblock, superblock - 4));
        std::memcpy(bytes_.data() + 2 * superblock - 4, &checksum, sizeof(checksum));
    }

private:
    std::vector<std::byte> bytes_;
    std::uint64_t size_;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    if (size == 0) return 0;
    const std::uint32_t choices = data[0];
    Disk disk(std::as_bytes(std::span(data + 1, size - 1)),
              std::uint64_t{1024} << (choices >> 1 & 0x1f));
    if ((choices & 1) != 0) disk.seal();
    identity::check_identity_properties(disk, disk.size());
    return 0;
}
