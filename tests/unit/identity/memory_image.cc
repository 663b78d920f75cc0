#include "tests/unit/identity/memory_image.h"

#include <algorithm>
#include <cstring>

#include "cow-store/base/check.h"
#include "cow-store/base/uuid.h"

namespace cowtgt::identity {

Result<void> MemoryImage::read(std::uint64_t offset, MutableBytes into) const {
    CHECK(offset <= size_ && into.size() <= size_ - offset);
    if (bad_byte_ && *bad_byte_ >= offset && *bad_byte_ < offset + into.size()) {
        return Error{ErrorCode::failed, "the disk is broken here"};
    }
    bytes_read += into.size();
    for (std::size_t i = 0; i < into.size();) {
        const std::uint64_t at = offset + i;
        const std::size_t count = std::min<std::size_t>(into.size() - i, 4096 - at % 4096);
        const auto found = blocks_.find(at / 4096);
        if (found == blocks_.end()) {
            std::memset(into.data() + i, 0, count);
        } else {
            std::memcpy(into.data() + i, found->second.data() + at % 4096, count);
        }
        i += count;
    }
    return {};
}

void MemoryImage::write(std::uint64_t offset, Bytes bytes) {
    CHECK(offset <= size_ && bytes.size() <= size_ - offset);
    for (std::size_t i = 0; i < bytes.size(); ++i) {
        blocks_[(offset + i) / 4096][(offset + i) % 4096] = bytes[i];
    }
}

void MemoryImage::write_le(std::uint64_t offset, unsigned width, std::uint64_t value) {
    for (unsigned i = 0; i < width; ++i) {
        const auto byte = static_cast<std::byte>(value >> (8 * i));
        write(offset + i, {&byte, 1});
    }
}

void MemoryImage::flip_bit(std::uint64_t offset, unsigned bit) {
    write_le(offset, 1, le(offset, 1) ^ (std::uint64_t{1} << bit));
}

void MemoryImage::apply(const std::vector<Patch>& patches) {
    for (const Patch& patch : patches)
        write(patch.offset, patch.bytes);
}

std::vector<std::byte> MemoryImage::bytes(std::uint64_t offset, std::uint64_t length) const {
    std::vector<std::byte> into(length);
    CHECK(read(offset, into).has_value());
    return into;
}

std::uint64_t MemoryImage::le(std::uint64_t offset, unsigned width) const {
    std::uint64_t value = 0;
    for (const std::byte byte : bytes(offset, width)) {
        value = value >> 8 | std::to_integer<std::uint64_t>(byte) << 56;
    }
    return value >> (64 - 8 * width);
}

std::string MemoryImage::uuid(std::uint64_t offset) const {
    Uuid uuid;
    std::memcpy(uuid.bytes.data(), bytes(offset, 16).data(), 16);
    return to_string(uuid);
}

std::string MemoryImage::guid(std::uint64_t offset) const {
    return to_string(swap_mixed_endian(*parse_uuid(uuid(offset))));
}

}  // namespace cowtgt::identity
