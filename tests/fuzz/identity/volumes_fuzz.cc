#include <algorithm>
#include <array>
#include <cstring>
#include <map>
#include <vector>

#include "cow-store/base/checksum.h"
#include "cow-store/base/endian.h"
#include "tests/fuzz/identity/identity_properties.h"

/// XFS, Btrfs, swap, FAT, exFAT, NTFS, LUKS and LVM2, as sparse disks.
/// Input: one byte of choices, the size in KiB (le32), then sectors of 516 bytes: where it lies in
/// units of 512 bytes (le32), and what is in it.
/// Bits of the choices: 0 puts the checksum of an XFS superblock right, 1 those of Btrfs, 2 those
/// of exFAT's boot regions; no mutation would find them.
namespace {

using namespace cowtgt;

constexpr std::size_t sector_size = 512;

class Disk : public identity::BlockSource {
public:
    explicit Disk(Bytes input) {
        le32 size;
        std::memcpy(&size, input.data(), sizeof(size));
        size_ = std::uint64_t{size.get()} * 1024;
        input = input.subspan(sizeof(size));
        for (; input.size() >= sizeof(le32) + sector_size;
             input = input.subspan(sizeof(le32) + sector_size)) {
            le32 number;
            std::memcpy(&number, input.data(), sizeof(number));
            std::memcpy(sectors_[number.get()].data(), input.data() + sizeof(number), sector_size);
        }
    }

    Result<void> read(std::uint64_t offset, MutableBytes into) const override {
        CHECK(offset <= size_ && into.size() <= size_ - offset);
        std::memset(into.data(), 0, into.size());  // logs: std::fill takes its time without -O
        const std::uint64_t end = offset + into.size();
        for (auto at = sectors_.lower_bound(offset / sector_size);
             at != sectors_.end() && at->first * sector_size < end; ++at) {
            const std::uint64_t begin = std::max(offset, at->first * sector_size);
            const std::uint64_t stop = std::min(end, (at->first + 1) * sector_size);
            std::memcpy(into.data() + (begin - offset),
                        at->second.data() + (begin - at->first * sector_size), stop - begin);
        }
        return {};
    }
    std::uint64_t size() const override { return size_; }

    void write(std::uint64_t offset, Bytes bytes) {
        for (std::size_t i = 0; i < bytes.size(); ++i)
            sectors_[(offset + i) / sector_size][(offset + i) % sector_size] = bytes[i];
    }
    std::vector<std::byte> take(std::uint64_t offset, std::uint64_t length) const {
        std::vector<std::byte> bytes(length);
        if (offset <= size_ && length <= size_ - offset) CHECK(read(offset, bytes).has_value());
        return bytes;
    }

private:
    std::map<std::uint64_t, std::array<std::byte, sector_size>> sectors_;
    std::uint64_t size_;
};

void seal_xfs(Disk& disk) {
    constexpr std::size_t crc_offset = 224;
    std::vector<std::byte> sector = disk.take(0, sector_size);
    std::memset(sector.data() + crc_offset, 0, sizeof(le32));
    const le32 crc = crc32c(sector);
    disk.write(crc_offset, bytes_of_struct(crc));
}

void seal_btrfs(Disk& disk) {
    for (const std::uint64_t offset : {std::uint64_t{64} << 10, std::uint64_t{64} << 20}) {
        const std::vector<std::byte> covered = disk.take(offset + 32, 4096 - 32);
        const le32 crc = crc32c(covered);
        disk.write(offset, bytes_of_struct(crc));
    }
}

void seal_exfat(Disk& disk) {
    constexpr std::size_t hashed = 11 * sector_size;
    for (const std::uint64_t offset : {std::size_t{0}, 12 * sector_size}) {
        std::uint32_t sum = 0;
        const std::vector<std::byte> region = disk.take(offset, hashed);
        for (std::size_t i = 0; i < hashed; ++i) {
            if (i == 106 || i == 107 || i == 112) continue;
            sum = (sum >> 1 | sum << 31) + std::to_integer<std::uint32_t>(region[i]);
        }
        const le32 field = sum;
        for (std::size_t i = 0; i < sector_size; i += sizeof(field))
            disk.write(offset + hashed + i, bytes_of_struct(field));
    }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    constexpr std::uint64_t size_max = std::uint64_t{1} << 30;  // an XFS log is read whole
    if (size < 1 + sizeof(le32)) return 0;
    const std::uint32_t choices = data[0];
    Disk disk(std::as_bytes(std::span(data + 1, size - 1)));
    if (disk.size() > size_max || disk.size() < 64 * 1024) return 0;
    if ((choices & 1) != 0) seal_xfs(disk);
    if ((choices & 2) != 0) seal_btrfs(disk);
    if ((choices & 4) != 0) seal_exfat(disk);
    identity::check_identity_properties(disk, disk.size());
    return 0;
}
