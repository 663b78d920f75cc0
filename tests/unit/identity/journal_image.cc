#include "tests/unit/identity/journal_image.h"

#include <algorithm>
#include <cstring>

#include "cow-store/base/endian.h"
#include "cow-store/identity/ext_layout.h"
#include "cow-store/identity/jbd2_layout.h"

namespace cowtgt::identity {

namespace {

constexpr std::uint32_t inode_table = 20;  ///< block
constexpr std::uint64_t inode_size = 128;
constexpr std::uint32_t journal_inode = 8;
constexpr std::uint32_t table_of_blocks = 99;  ///< block: the journal's indirect one
constexpr std::uint32_t direct_blocks = 12;

}  // namespace

JournalImage::JournalImage() : bytes_(block_size * block_count) {
    ext::Superblock sb{};
    sb.s_inodes_count = 64;
    sb.s_blocks_count_lo = block_count;
    sb.s_first_data_block = 1;
    sb.s_blocks_per_group = 8192;
    sb.s_clusters_per_group = 8192;
    sb.s_inodes_per_group = 64;
    sb.s_magic = ext::superblock_magic;
    sb.s_state = ext::state_valid;
    sb.s_rev_level = 1;
    sb.s_inode_size = static_cast<std::uint16_t>(inode_size);
    sb.s_feature_compat = ext::compat_has_journal;
    sb.s_feature_incompat = ext::incompat_recover;
    sb.s_journal_inum = journal_inode;
    sb.s_uuid.fill(std::byte{0x5e});
    put(ext::superblock_offset, bytes_of_struct(sb));
    const le32 table = inode_table;
    put(2 * block_size + 8, bytes_of_struct(table));

    const std::uint64_t inode = inode_table * block_size + (journal_inode - 1) * inode_size;
    const le16 mode = 0x8180;
    put(inode, bytes_of_struct(mode));
    const le32 size = static_cast<std::uint32_t>(journal_length * block_size);
    put(inode + 4, bytes_of_struct(size));
    for (std::uint32_t i = 0; i < journal_length; ++i) {
        const le32 block = journal_begin + i;
        put(i < direct_blocks ? inode + 0x28 + i * sizeof(block)
                              : table_of_blocks * block_size + (i - direct_blocks) * sizeof(block),
            bytes_of_struct(block));
    }
    const le32 indirect = table_of_blocks;
    put(inode + 0x28 + direct_blocks * sizeof(indirect), bytes_of_struct(indirect));
    start_at(1);
}

void JournalImage::start_at(std::uint32_t block) {
    at_ = block;
    jbd2::Superblock sb{};
    sb.s_header.h_magic = jbd2::magic;
    sb.s_header.h_blocktype = static_cast<std::uint32_t>(jbd2::BlockType::superblock_v2);
    sb.s_blocksize = static_cast<std::uint32_t>(block_size);
    sb.s_maxlen = journal_length;
    sb.s_first = 1;
    sb.s_sequence = first_sequence;
    sb.s_start = block;
    sb.s_feature_incompat = jbd2::incompat_revoke;
    put(journal_begin * block_size, bytes_of_struct(sb));
}

void JournalImage::log(std::uint32_t sequence,
                       const std::map<std::uint32_t, std::uint8_t>& blocks) {
    put_header(static_cast<std::uint32_t>(jbd2::BlockType::descriptor), sequence);
    std::size_t at = sizeof(jbd2::Header);
    std::size_t left = blocks.size();
    for (const auto& [block, fill] : blocks) {
        const std::uint32_t last = --left == 0 ? jbd2::tag_last : 0;
        put_journal_word(at, block);
        put_journal_word(at + 4, jbd2::tag_same_uuid | last);
        at += 8;
    }
    for (const auto& [block, fill] : blocks)
        put(next_block(), std::vector<std::byte>(block_size, std::byte{fill}));
}

void JournalImage::log_escaped(std::uint32_t sequence, std::uint32_t block) {
    put_header(static_cast<std::uint32_t>(jbd2::BlockType::descriptor), sequence);
    put_journal_word(sizeof(jbd2::Header), block);
    put_journal_word(sizeof(jbd2::Header) + 4,
                     jbd2::tag_same_uuid | jbd2::tag_last | jbd2::tag_escaped);
    put(next_block(), std::vector<std::byte>(block_size));
}

void JournalImage::revoke(std::uint32_t sequence, const std::vector<std::uint32_t>& blocks) {
    put_header(static_cast<std::uint32_t>(jbd2::BlockType::revoke), sequence);
    std::size_t at = sizeof(jbd2::Revoke);
    put_journal_word(sizeof(jbd2::Header), static_cast<std::uint32_t>(at + 4 * blocks.size()));
    for (const std::uint32_t block : blocks) {
        put_journal_word(at, block);
        at += 4;
    }
}

void JournalImage::commit(std::uint32_t sequence) {
    put_header(static_cast<std::uint32_t>(jbd2::BlockType::commit), sequence);
}

void JournalImage::fill_journal(Bytes bytes) {
    put((journal_begin + 1) * block_size,
        bytes.first(std::min<std::size_t>(bytes.size(), (journal_length - 1) * block_size)));
}

Result<void> JournalImage::read(std::uint64_t offset, MutableBytes into) const {
    CHECK(offset <= bytes_.size() && into.size() <= bytes_.size() - offset);
    std::memcpy(into.data(), bytes_.data() + offset, into.size());
    return {};
}

void JournalImage::put(std::uint64_t offset, Bytes bytes) {
    CHECK(offset + bytes.size() <= bytes_.size());
    std::ranges::copy(bytes, bytes_.begin() + static_cast<std::ptrdiff_t>(offset));
}

void JournalImage::put_header(std::uint32_t type, std::uint32_t sequence) {
    current_ = next_block();
    put(current_, std::vector<std::byte>(block_size));
    put_journal_word(0, jbd2::magic);
    put_journal_word(4, type);
    put_journal_word(8, sequence);
}

void JournalImage::put_journal_word(std::size_t offset, std::uint32_t value) {
    const be32 word = value;
    put(current_ + offset, bytes_of_struct(word));
}

std::uint64_t JournalImage::next_block() {
    const std::uint64_t offset = (journal_begin + at_) * block_size;
    at_ = at_ + 1 == journal_length ? 1 : at_ + 1;
    return offset;
}

}  // namespace cowtgt::identity
