#include <algorithm>
#include <cstring>

#include "cow-store/base/checksum.h"
#include "tests/fuzz/identity/identity_properties.h"

/// Partition tables. Input: one byte of choices, then the disk.
/// Bit 0: blocks of 4096 bytes; bit 1: checksums of both copies are put right first, since no
/// mutation would find them; bits 2 to 7: how many times larger the clone is, in 1/16.
namespace {

using namespace cowtgt;

class Disk : public identity::BlockSource {
public:
    explicit Disk(Bytes bytes) : bytes_(bytes.begin(), bytes.end()) {}

    Result<void> read(std::uint64_t offset, MutableBytes into) const override {
        CHECK(offset <= bytes_.size() && into.size() <= bytes_.size() - offset);
        std::copy_n(bytes_.begin() + static_cast<std::ptrdiff_t>(offset), into.size(),
                    into.begin());
        return {};
    }
    std::uint64_t size() const override { return bytes_.size(); }

    void seal(std::uint64_t header, std::uint64_t block_size) {
        if (header + 512 > bytes_.size()) return;
        const std::uint64_t array = le(header + 72, 8) * block_size;
        const std::uint64_t length = le(header + 80, 4) * le(header + 84, 4);
        if (array < bytes_.size() && length <= bytes_.size() - array) {
            put_le32(header + 88, crc32_ieee(Bytes(bytes_).subspan(array, length)));
        }
        put_le32(header + 16, 0);
        const std::uint64_t header_size = std::min<std::uint64_t>(le(header + 12, 4), 512);
        put_le32(header + 16, crc32_ieee(Bytes(bytes_).subspan(header, header_size)));
    }

private:
    std::uint64_t le(std::uint64_t offset, std::uint64_t width) const {
        std::uint64_t value = 0;
        std::memcpy(&value, bytes_.data() + offset, width);
        return value;
    }
    void put_le32(std::uint64_t offset, std::uint32_t value) {
        std::memcpy(bytes_.data() + offset, &value, sizeof(value));
    }

    std::vector<std::byte> bytes_;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    if (size == 0) return 0;
    const std::uint32_t choices = data[0];
    Disk disk(std::as_bytes(std::span(data + 1, size - 1)));
    const std::uint64_t block_size = (choices & 1) != 0 ? 4096 : 512;
    if ((choices & 2) != 0 && disk.size() >= 2 * block_size) {
        disk.seal(block_size, block_size);
        disk.seal((disk.size() / block_size - 1) * block_size, block_size);
    }
    identity::check_identity_properties(disk, disk.size() + disk.size() * (choices >> 2) / 16);
    return 0;
}
