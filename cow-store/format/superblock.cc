#include "cow-store/format/superblock.h"

#include <cstring>
#include <string>
#include <utility>

#include "cow-store/base/check.h"
#include "cow-store/base/checksum.h"

namespace cowtgt {

namespace {

constexpr std::array<std::uint8_t, 8> superblock_magic = {'c', 'o', 'w', 'l', 'a', 'y', 'e', 'r'};

Error corrupt(std::string why) {
    return Error{ErrorCode::corrupt, "superblock: " + std::move(why), 0};
}

std::uint64_t checksum_of(const DiskSuperblock& disk) {
    return xxh3_64(bytes_of_struct(disk).first(offsetof(DiskSuperblock, checksum)));
}

Result<void> check_features(const DiskSuperblock& disk) {
    if (disk.version.get() != format_version) {
        return Error{ErrorCode::unsupported,
                     "superblock: format version " + std::to_string(disk.version.get()) +
                         ", this program knows version " + std::to_string(format_version),
                     0};
    }
    const std::uint64_t unknown = disk.incompatible_features.get() & ~known_incompatible_features;
    if (unknown != 0) {
        return Error{ErrorCode::unsupported,
                     "superblock: unknown incompatible features " + std::to_string(unknown), 0};
    }
    return {};
}

Result<void> check_numbers(const Superblock& s) {
    if (s.block_size != 512 && s.block_size != 4096) return corrupt("impossible block size");
    if (s.virtual_size == 0 || s.virtual_size > virtual_size_max ||
        s.virtual_size % s.block_size != 0) {
        return corrupt("impossible virtual size");
    }
    if (s.phase < LayerPhase::clean || s.phase > LayerPhase::fenced) {
        return corrupt("unknown state");
    }
    if (s.directory.unit == 1) return corrupt("the directory lies in a superblock");
    const RingOrigin& ring = s.ring;
    if (ring.unit == 0) {
        if (ring.units != 0 || ring.head != 0) return corrupt("a ring without a place");
        return {};
    }
    const std::uint64_t end = std::uint64_t{ring.unit} + ring.units;
    if (ring.unit < first_data_unit || ring.units == 0 || end > 0x100000000ULL) {
        return corrupt("impossible place of the ring");
    }
    if (ring.head >= ring.size_bytes() || ring.head % 4 != 0) return corrupt("impossible head");
    return {};
}

}  // namespace

DiskSuperblock encode_superblock(const Superblock& superblock) {
    DiskSuperblock disk{};
    disk.magic = superblock_magic;
    disk.version = format_version;
    disk.block_size = superblock.block_size;
    disk.incompatible_features = superblock.incompatible_features;
    disk.compatible_features = superblock.compatible_features;
    disk.autoclear_features = superblock.autoclear_features & known_autoclear_features;
    disk.layer_uuid = superblock.layer_uuid.bytes;
    disk.generation = superblock.generation;
    disk.virtual_size = superblock.virtual_size;
    disk.parent_uuid = superblock.parent_uuid.bytes;
    disk.parent_content_id = superblock.parent_content_id;
    disk.overlap_limit = superblock.overlap_limit;
    disk.state = static_cast<std::uint32_t>(superblock.phase);
    disk.directory_unit = superblock.directory.unit;
    disk.directory_checksum = superblock.directory.checksum;
    disk.boot_id = superblock.boot_id.bytes;
    disk.inode = superblock.inode;
    disk.ring_unit = superblock.ring.unit;
    disk.ring_units = superblock.ring.units;
    disk.ring_head = superblock.ring.head;
    disk.epoch = superblock.ring.epoch;
    disk.first_sequence = superblock.ring.first_sequence;
    disk.previous_checksum = superblock.ring.previous_checksum;
    disk.checksum = checksum_of(disk);
    return disk;
}

Result<Superblock> decode_superblock(Bytes unit) {
    CHECK(unit.size() == unit_size);
    DiskSuperblock disk;
    std::memcpy(&disk, unit.data(), sizeof disk);
    if (disk.magic != superblock_magic) return corrupt("no magic");
    if (disk.checksum.get() != checksum_of(disk)) {
        // A newer version may keep its checksum elsewhere.
        if (Result<void> known = check_features(disk); !known) return known.error();
        return corrupt("wrong checksum");
    }
    if (Result<void> known = check_features(disk); !known) return known.error();

    Superblock s;
    s.block_size = disk.block_size.get();
    s.incompatible_features = disk.incompatible_features.get();
    s.compatible_features = disk.compatible_features.get();
    s.autoclear_features = disk.autoclear_features.get();
    s.layer_uuid.bytes = disk.layer_uuid;
    s.generation = disk.generation.get();
    s.virtual_size = disk.virtual_size.get();
    s.parent_uuid.bytes = disk.parent_uuid;
    s.parent_content_id = disk.parent_content_id.get();
    s.overlap_limit = disk.overlap_limit.get();
    s.phase = static_cast<LayerPhase>(disk.state.get() <= 4 ? disk.state.get() : 0);
    s.directory = {disk.directory_unit.get(), disk.directory_checksum.get()};
    s.boot_id.bytes = disk.boot_id;
    s.inode = disk.inode.get();
    s.ring = {disk.ring_unit.get(), disk.ring_units.get(),     disk.ring_head.get(),
              disk.epoch.get(),     disk.first_sequence.get(), disk.previous_checksum.get()};
    if (Result<void> sane = check_numbers(s); !sane) return sane.error();
    return s;
}

Result<Superblock> choose_superblock(Bytes copy_a, Bytes copy_b) {
    Result<Superblock> a = decode_superblock(copy_a);
    Result<Superblock> b = decode_superblock(copy_b);
    if (!a && !b) return a.error().code == ErrorCode::unsupported ? a.error() : b.error();
    if (!a) return b;
    if (!b) return a;
    if (!(a->layer_uuid == b->layer_uuid)) {
        return corrupt("the two copies belong to different layers");
    }
    return a->generation >= b->generation ? std::move(a) : std::move(b);
}

}  // namespace cowtgt
