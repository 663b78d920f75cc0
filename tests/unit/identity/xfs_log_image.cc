#include "tests/unit/identity/xfs_log_image.h"

#include <algorithm>
#include <cstring>

#include "cow-store/base/checksum.h"
#include "cow-store/base/endian.h"

namespace cowtgt::identity {

namespace {

constexpr std::uint64_t data_per_header = 32768;
constexpr std::uint32_t first_cycle = 3;

template <typename T>
void append(std::vector<std::byte>& bytes, T field) {
    const Bytes more = bytes_of_struct(field);
    bytes.insert(bytes.end(), more.begin(), more.end());
}

}  // namespace

std::array<std::byte, 16> XfsLogImage::uuid() {
    std::array<std::byte, 16> bytes{};
    std::ranges::copy(bytes_of(uuid_text), bytes.begin());
    return bytes;
}

XfsLogImage::XfsLogImage(std::uint64_t first)
    : MemoryImage(block_count * block_size), first_(first), at_(first) {
    for (std::uint64_t block = 0; block < block_count; ++block)
        put32(block * block_size, block < first ? first_cycle : first_cycle - 1);
}

void XfsLogImage::put32(std::uint64_t offset, std::uint32_t value) {
    const be32 field = value;
    write(offset, bytes_of_struct(field));
}

void XfsLogImage::put64(std::uint64_t offset, std::uint64_t value) {
    const be64 field = value;
    write(offset, bytes_of_struct(field));
}

std::uint32_t XfsLogImage::cycle_of(std::uint64_t block) const {
    return first_cycle + static_cast<std::uint32_t>(block / block_count);
}

void XfsLogImage::operation(std::uint32_t transaction, std::uint8_t flags, Bytes data) {
    cowtgt::identity::append<be32>(text_, transaction);
    cowtgt::identity::append<be32>(text_, static_cast<std::uint32_t>(data.size()));
    text_.push_back(std::byte{0x69});
    text_.push_back(std::byte{flags});
    text_.resize(text_.size() + 2);
    append(data);
    ++operations_;
}

std::uint64_t XfsLogImage::end_record(Checksum checksum) {
    return end_record_of(std::exchange(operations_, 0), checksum);
}

std::uint64_t XfsLogImage::end_record_of(std::uint32_t operations, Checksum checksum) {
    text_.resize(std::max<std::size_t>(round_up(text_.size(), block_size), block_size));
    const std::uint64_t blocks = text_.size() / block_size;
    const std::uint64_t headers = (text_.size() + data_per_header - 1) / data_per_header;
    const std::uint64_t record = at_;
    const std::uint64_t begin = next_block() * block_size;
    put32(begin, 0xfeedbabe);
    put32(begin + 4, cycle_of(record));
    put32(begin + 8, 2);
    put32(begin + 12, static_cast<std::uint32_t>(text_.size()));
    put64(begin + 16, std::uint64_t{cycle_of(record)} << 32 | next_block());
    put64(begin + 24, std::uint64_t{first_cycle} << 32 | first_);
    put32(begin + 32, 0);
    put32(begin + 40, operations);
    put32(begin + 300, 1);
    write(begin + 304, bytes_of(uuid_text));
    put32(begin + 320, static_cast<std::uint32_t>(headers * data_per_header));
    for (std::uint64_t i = 1; i < headers; ++i)
        put32((at_ + i) % block_count * block_size, cycle_of(at_ + i));
    for (std::uint64_t i = 0; i < blocks; ++i) {
        const std::uint64_t block = at_ + headers + i;
        const std::uint64_t to = block % block_count * block_size;
        const Bytes text = Bytes(text_).subspan(i * block_size, block_size);
        write(to, text);
        put32(to, cycle_of(block));
        const std::uint64_t word = i < 64
                                       ? begin + 44 + i * 4
                                       : (at_ + i / 64) % block_count * block_size + 4 + i % 64 * 4;
        write(word, text.first(4));
    }
    if (checksum == Checksum::right) put_checksum(at_, headers, blocks);
    at_ += headers + blocks;
    text_.clear();
    return record % block_count;
}

void XfsLogImage::put_checksum(std::uint64_t first, std::uint64_t headers, std::uint64_t blocks) {
    constexpr std::uint64_t header_size = 328;
    constexpr std::uint64_t extended_size = 260;
    const auto at = [](std::uint64_t block) { return block % block_count * block_size; };
    std::vector<std::byte> hashed = bytes(at(first), header_size);
    const auto add = [&](std::uint64_t block, std::uint64_t length) {
        const std::vector<std::byte> more = bytes(at(block), length);
        hashed.insert(hashed.end(), more.begin(), more.end());
    };
    for (std::uint64_t i = 1; i < headers; ++i)
        add(first + i, extended_size);
    for (std::uint64_t i = 0; i < blocks; ++i)
        add(first + headers + i, block_size);
    write_le(at(first) + 32, 4, crc32c(hashed));
}

std::vector<std::byte> transaction_header() {
    std::vector<std::byte> bytes;
    append<le32>(bytes, 0x5452414e);
    bytes.resize(16);
    return bytes;
}

std::vector<std::byte> buffer_format(std::uint64_t basic_block, std::uint16_t regions,
                                     std::uint32_t map, std::uint16_t flags) {
    std::vector<std::byte> bytes;
    append<le16>(bytes, 0x123c);
    append<le16>(bytes, regions);
    append<le16>(bytes, flags);
    append<le16>(bytes, 8);
    append<le64>(bytes, basic_block);
    append<le32>(bytes, 1);
    append<le32>(bytes, map);
    return bytes;
}

}  // namespace cowtgt::identity
