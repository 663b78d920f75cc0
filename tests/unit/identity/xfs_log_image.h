#pragma once

#include <array>
#include <cstdint>
#include <string_view>
#include <vector>

#include "tests/unit/identity/memory_image.h"

namespace cowtgt::identity {

/// The log of an XFS in memory, written record by record at the offsets of "XFS Algorithms & Data
/// Structures": operations are packed into records, whose blocks begin with the cycle's number.
class XfsLogImage : public MemoryImage {
public:
    static constexpr std::uint64_t block_size = 512;
    static constexpr std::uint64_t block_count = 512;
    static constexpr std::string_view uuid_text = "0123456789abcdef";
    static std::array<std::byte, 16> uuid();

    enum class Checksum { none, right };

    /// `first` is the block of the first record, which is the tail; what lies before it was written
    /// in the same cycle, the rest in the one before.
    explicit XfsLogImage(std::uint64_t first = 0);

    void operation(std::uint32_t transaction, std::uint8_t flags, Bytes data = {});
    /// Bytes as they are, for a fuzzer.
    void append(Bytes text) { text_.insert(text_.end(), text.begin(), text.end()); }
    /// Ends a record of what was appended. Gives its first block.
    std::uint64_t end_record(Checksum checksum = Checksum::right);
    std::uint64_t end_record_of(std::uint32_t operations, Checksum checksum);

    std::uint64_t next_block() const { return at_ % block_count; }
    void put32(std::uint64_t offset, std::uint32_t value);
    void put64(std::uint64_t offset, std::uint64_t value);

private:
    std::uint32_t cycle_of(std::uint64_t block) const;
    void put_checksum(std::uint64_t first, std::uint64_t headers, std::uint64_t blocks);

    std::uint64_t first_;
    std::uint64_t at_;  ///< in blocks; goes on counting behind the end
    std::uint32_t operations_ = 0;
    std::vector<std::byte> text_;
};

/// Flags of operations.
inline constexpr std::uint8_t log_start = 0x01;
inline constexpr std::uint8_t log_commit = 0x02;
inline constexpr std::uint8_t log_continue = 0x04;
inline constexpr std::uint8_t log_was_continued = 0x08;

/// The header of a transaction.
std::vector<std::byte> transaction_header();
/// The first region of a buffer's changes.
std::vector<std::byte> buffer_format(std::uint64_t basic_block, std::uint16_t regions,
                                     std::uint32_t map, std::uint16_t flags = 0);

}  // namespace cowtgt::identity
