#pragma once

#include <cstdint>
#include <map>
#include <vector>

#include "cow-store/identity/identity.h"

namespace cowtgt::identity {

/// An ext3 file system of 256 KiB with blocks of 1 KiB, in memory, whose journal of 32 blocks is
/// written block by block. It has no checksums, so that every word of it counts.
class JournalImage final : public BlockSource {
public:
    static constexpr std::uint64_t block_size = 1024;
    static constexpr std::uint32_t block_count = 256;
    static constexpr std::uint32_t journal_begin = 100;  ///< block of the file system
    static constexpr std::uint32_t journal_length = 32;  ///< blocks
    static constexpr std::uint32_t first_sequence = 7;

    JournalImage();

    /// Where the next block of the journal goes; block 1 of it is the first.
    void start_at(std::uint32_t block);
    /// One descriptor, then the content of blocks of the file system: each filled with a byte.
    void log(std::uint32_t sequence, const std::map<std::uint32_t, std::uint8_t>& blocks);
    /// A block that begins like a block of the journal, which a tag has to say.
    void log_escaped(std::uint32_t sequence, std::uint32_t block);
    void revoke(std::uint32_t sequence, const std::vector<std::uint32_t>& blocks);
    void commit(std::uint32_t sequence);
    /// Bytes of the journal's own blocks, for a fuzzer.
    void fill_journal(Bytes bytes);

    Result<void> read(std::uint64_t offset, MutableBytes into) const override;
    std::uint64_t size() const override { return bytes_.size(); }

private:
    void put(std::uint64_t offset, Bytes bytes);
    void put_header(std::uint32_t type, std::uint32_t sequence);
    void put_journal_word(std::size_t offset, std::uint32_t value);
    std::uint64_t next_block();

    std::vector<std::byte> bytes_;
    std::uint32_t at_ = 1;
    std::uint64_t current_ = 0;  ///< bytes; the block that is being written
};

}  // namespace cowtgt::identity
