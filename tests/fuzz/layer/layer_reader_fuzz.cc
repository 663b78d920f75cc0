#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <vector>

#include "cow-store/base/check.h"
#include "cow-store/base/checksum.h"
#include "cow-store/file.h"
#include "cow-store/format/directory_page.h"
#include "cow-store/format/superblock.h"
#include "cow-store/journal/ring_writer.h"
#include "cow-store/map/cluster_map.h"
#include "cow-store/volume/layer_file.h"

/// Opens a layer out of arbitrary bytes: an answer or a refusal, never a crash or a hang, and what
/// was opened once opens again.
///
/// The first byte of the input chooses: odd, the rest is the file; even, the rest is patches
/// {u16 offset / 4, u8 offset % 4, u8 value} to a whole layer, whose checksums are then made right
/// again, so that the code behind the checksums is reached as well.
namespace {

using namespace cowtgt;

class MemoryFile final : public File {
public:
    explicit MemoryFile(std::vector<std::byte> content) : bytes(std::move(content)) {}

    Result<void> read_at(std::uint64_t offset, MutableBytes into) override {
        std::ranges::fill(into, std::byte{0});
        if (offset < bytes.size()) {
            const auto count = std::min<std::uint64_t>(into.size(), bytes.size() - offset);
            std::memcpy(into.data(), bytes.data() + offset, count);
        }
        return {};
    }
    Result<void> write_at(std::uint64_t offset, Bytes from) override {
        if (Result<void> done = allocate(offset, from.size()); !done) return done;
        std::memcpy(bytes.data() + offset, from.data(), from.size());
        return {};
    }
    Result<void> allocate(std::uint64_t offset, std::uint64_t length) override {
        constexpr std::uint64_t size_max = 16 << 20;
        if (offset > size_max || length > size_max) return Error{ErrorCode::no_space, "full", 0};
        bytes.resize(std::max<std::uint64_t>(bytes.size(), offset + length));
        return {};
    }
    Result<void> punch_hole(std::uint64_t, std::uint64_t) override { return {}; }
    Result<void> sync_data() override { return {}; }
    Result<void> drop_cache() override { return {}; }
    Result<std::uint64_t> size() override { return bytes.size(); }
    std::uint64_t inode() const override { return 1; }

    std::vector<std::byte> bytes;
};

constexpr std::uint32_t file_units = 12;
constexpr UnitNumber ring_unit = 10;

template <typename T>
T struct_at(const std::vector<std::byte>& bytes, std::size_t offset) {
    T value;
    std::memcpy(&value, bytes.data() + offset, sizeof value);
    return value;
}
template <typename T>
void put_struct(std::vector<std::byte>& bytes, std::size_t offset, const T& value) {
    std::memcpy(bytes.data() + offset, &value, sizeof value);
}

/// An open layer with a packed and a dense page's worth of map and two records in its ring.
std::vector<std::byte> whole_layer() {
    MemoryFile file({});
    LayerSpec spec;
    spec.uuid.bytes = {7};
    spec.virtual_size = 5 * 4096 * 1024 + 512;
    spec.initial_blocks = {{4096, std::vector<std::byte>(8192)},
                           {4096 * 1030, std::vector<std::byte>(4096)}};
    CHECK(create_layer(file, spec));
    std::vector<std::byte> bytes = file.bytes;
    bytes.resize(file_units * std::size_t{unit_size});
    Superblock superblock = *decode_superblock(Bytes(bytes).first(unit_size));
    superblock.phase = LayerPhase::open;
    superblock.boot_id.bytes = {3};
    superblock.inode = 1;
    superblock.ring = {ring_unit, 2, 0, 1, 1, 0};
    RingWriter ring(superblock.ring, superblock.layer_uuid);
    std::size_t at = byte_offset(ring_unit);
    const auto put = [&](const RingPieces& pieces) {
        std::ranges::copy(pieces.pieces[0].bytes, bytes.begin() + static_cast<std::ptrdiff_t>(at));
        at += pieces.pieces[0].bytes.size();
    };
    put(ring.tentative(std::vector<RecordEntry>{{5, 2, 8}, {1, 1, value_zero}}));
    put(ring.commit(1));
    for (UnitNumber copy = 0; copy < superblock_units; ++copy) {
        put_struct(bytes, byte_offset(copy), encode_superblock(superblock));
    }
    return bytes;
}

/// Makes the checksums of both records, the map page, the directory and the superblocks true.
void mend_checksums(std::vector<std::byte>& bytes) {
    auto superblock = struct_at<DiskSuperblock>(bytes, 0);
    const std::size_t directory = byte_offset(superblock.directory_unit.get());
    if (directory + unit_size <= bytes.size() && directory > 0) {
        const std::size_t first_entry = directory + sizeof(DiskDirectoryPage);
        auto entry = struct_at<DiskPageEntry>(bytes, first_entry);
        const std::size_t page = byte_offset(entry.unit.get());
        if (page + unit_size <= bytes.size()) {
            entry.checksum = xxh3_64(Bytes(bytes).subspan(page, unit_size));
            put_struct(bytes, first_entry, entry);
        }
        superblock.directory_checksum = xxh3_64(Bytes(bytes).subspan(directory, unit_size));
    }
    Uuid layer;
    layer.bytes = superblock.layer_uuid;
    const std::uint64_t salt = record_salt(layer, superblock.epoch.get());
    std::size_t at = byte_offset(ring_unit);
    std::uint64_t previous = superblock.previous_checksum.get();
    while (at + sizeof(DiskRecord) <= bytes.size()) {
        auto record = struct_at<DiskRecord>(bytes, at);
        const std::size_t size = record_size(record.entry_count.get());
        if (record.magic[0] != 'j' || at + size > bytes.size()) break;
        record.previous = previous;
        record.checksum = salt;
        put_struct(bytes, at, record);
        record.checksum = previous = xxh3_64(Bytes(bytes).subspan(at, size));
        put_struct(bytes, at, record);
        at += size;
    }
    superblock.checksum =
        xxh3_64(bytes_of_struct(superblock).first(offsetof(DiskSuperblock, checksum)));
    put_struct(bytes, 0, superblock);
    put_struct(bytes, unit_size, superblock);
}

std::vector<std::byte> patched_layer(Bytes patches) {
    static const std::vector<std::byte> whole = whole_layer();
    std::vector<std::byte> bytes = whole;
    for (; patches.size() >= 4; patches = patches.subspan(4)) {
        const std::size_t word = std::to_integer<std::size_t>(patches[0]) |
                                 std::to_integer<std::size_t>(patches[1]) << 8;
        const std::size_t offset = word * 4 + (std::to_integer<std::size_t>(patches[2]) & 3);
        bytes[offset % bytes.size()] = patches[3];
    }
    mend_checksums(bytes);
    return bytes;
}

void open_and_read(MemoryFile& file) {
    OpenContext context;
    context.boot_id.bytes = {3};
    context.accept_copy = context.accept_fenced = true;
    (void)inspect_layer(file);
    const Result<RecoveredLayer> layer = open_layer(file, context);
    if (!layer) return;
    const std::uint64_t size = layer->summary().virtual_size;
    const Chain chain{size, {{&layer->map(), &file, 0}}, nullptr, 0};
    std::vector<std::byte> buffer(std::min<std::uint64_t>(size, 64 * 1024));
    CHECK(find_run(chain, 0, buffer.size()).length > 0);
    CHECK(read_chain(chain, 0, buffer));
    const Result<RecoveredLayer> again = open_layer(file, context);
    CHECK(again && again->recovery_note().empty());
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const Bytes input(reinterpret_cast<const std::byte*>(data), size);
    if (input.empty()) return 0;
    const bool raw = (input[0] & std::byte{1}) != std::byte{0};
    const Bytes rest = input.subspan(1);
    MemoryFile file(raw ? std::vector<std::byte>(rest.begin(), rest.end()) : patched_layer(rest));
    open_and_read(file);
    return 0;
}
