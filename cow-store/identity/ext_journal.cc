#include "cow-store/identity/ext_journal.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <map>
#include <string>
#include <string_view>
#include <utility>

#include "cow-store/base/checksum.h"
#include "cow-store/identity/ext.h"
#include "cow-store/identity/ext_inode.h"
#include "cow-store/identity/ext_layout.h"
#include "cow-store/identity/jbd2_layout.h"
#include "cow-store/identity/patched_source.h"
#include "cow-store/identity/window.h"

namespace cowtgt::identity {

namespace {

using jbd2::BlockType;

constexpr std::uint64_t replayed_max = std::uint64_t{256} << 20;  ///< bytes; they are in memory

Error damaged(std::string_view what) {
    return {ErrorCode::corrupt,
            "its journal is damaged (" + std::string(what) + "): run e2fsck -f on it"};
}

template <typename T>
T struct_at(Bytes bytes, std::size_t offset) {
    T value;
    std::memcpy(&value, bytes.data() + offset, sizeof(value));
    return value;
}

/// Where a transaction wrote a block of the file system to.
struct LoggedBlock {
    std::uint32_t sequence;  ///< of the transaction
    std::uint32_t at;        ///< block of the journal
    bool is_escaped;         ///< it began with the magic number, which zeros stand for
};

/// Sequences are numbers on a circle.
bool is_after(std::uint32_t a, std::uint32_t b) {
    return static_cast<std::int32_t>(a - b) > 0;
}

/// The journal's blocks wherever they lie in the file system.
class Journal {
public:
    static Result<Journal> open(const Window& window, const ext::Superblock& primary,
                                const ext::Geometry& geometry) {
        auto blocks = ext::blocks_of_inode(window, primary, geometry, primary.s_journal_inum.get(),
                                           journal_replay_max);
        if (!blocks) return blocks.error();
        Journal journal(window, geometry.block_size, *std::move(blocks));
        if (Result<void> good = journal.read_superblock(); !good) return good.error();
        return journal;
    }

    const jbd2::Superblock& superblock() const { return sb_; }
    /// Bytes from the start of the window.
    std::uint64_t offset_of(std::uint32_t block) const { return blocks_[block] * block_size_; }
    Result<std::vector<std::byte>> read(std::uint32_t block) const {
        return window_->read_bytes(offset_of(block), block_size_);
    }
    /// The content of a logged block as it belongs into the file system.
    Result<std::vector<std::byte>> read(const LoggedBlock& logged) const {
        auto content = read(logged.at);
        if (content && logged.is_escaped) {
            const be32 magic = jbd2::magic;
            std::memcpy(content->data(), &magic, sizeof(magic));
        }
        return content;
    }
    std::uint32_t next(std::uint32_t block) const {
        return block + 1 >= sb_.s_maxlen.get() ? sb_.s_first.get() : block + 1;
    }
    bool has(std::uint32_t feature) const { return (sb_.s_feature_incompat.get() & feature) != 0; }
    bool has_checksums() const {
        return has(jbd2::incompat_csum_v2) || has(jbd2::incompat_csum_v3);
    }
    std::uint32_t seed() const { return crc32c_update(crc32c_start, sb_.s_uuid); }
    /// Of a descriptor or revocation: over the block without the last four bytes, which hold it.
    bool has_good_tail(Bytes block) const {
        if (!has_checksums()) return true;
        constexpr std::array<std::byte, 4> zeros{};
        const std::size_t end = block.size() - zeros.size();
        const std::uint32_t sum = crc32c_update(crc32c_update(seed(), block.first(end)), zeros);
        return struct_at<be32>(block, end).get() == sum;
    }
    static std::uint32_t checksum_of(jbd2::Superblock sb) {
        sb.s_checksum = 0;
        return crc32c_update(crc32c_start, bytes_of_struct(sb));
    }

private:
    Journal(const Window& window, std::uint64_t block_size, std::vector<std::uint64_t> blocks)
        : window_(&window), block_size_(block_size), blocks_(std::move(blocks)) {}

    Result<void> read_superblock() {
        if (blocks_.empty()) return damaged("it is empty");
        const auto sb = window_->read_struct<jbd2::Superblock>(offset_of(0));
        if (!sb) return sb.error();
        sb_ = *sb;
        if (sb_.s_header.h_magic.get() != jbd2::magic ||
            sb_.s_header.h_blocktype.get() !=
                static_cast<std::uint32_t>(BlockType::superblock_v2)) {
            return damaged("its superblock");
        }
        if ((sb_.s_feature_incompat.get() & ~jbd2::incompat_known) != 0 ||
            sb_.s_feature_ro_compat.get() != 0 ||
            (has(jbd2::incompat_csum_v2) && has(jbd2::incompat_csum_v3))) {
            return Error{
                ErrorCode::unsupported,
                "its journal was not replayed and has features whose replay is not known "
                "here (as fast_commit): run e2fsck -p on it, or mount and unmount it once"};
        }
        if (has_checksums() && sb_.s_checksum.get() != checksum_of(sb_)) {
            return damaged("the checksum of its superblock");
        }
        if (sb_.s_blocksize.get() != block_size_ || sb_.s_maxlen.get() > blocks_.size() ||
            sb_.s_first.get() == 0 || sb_.s_first.get() >= sb_.s_maxlen.get() ||
            sb_.s_start.get() >= sb_.s_maxlen.get() ||
            (sb_.s_start.get() != 0 && sb_.s_start.get() < sb_.s_first.get())) {
            return damaged("impossible numbers in its superblock");
        }
        if (sb_.s_errno.get() != 0) return damaged("it says that an error occurred");
        return {};
    }

    const Window* window_;
    std::uint64_t block_size_;
    std::vector<std::uint64_t> blocks_;
    jbd2::Superblock sb_{};
};

/// Goes through the journal once and keeps the last committed content of each block.
class JournalReader {
public:
    JournalReader(const Journal& journal, std::uint64_t blocks_count)
        : journal_(journal), blocks_count_(blocks_count) {}

    Result<void> run() {
        sequence_ = journal_.superblock().s_sequence.get();
        at_ = journal_.superblock().s_start.get();
        left_ = journal_.superblock().s_maxlen.get();
        while (at_ != 0 && left_ > 0) {
            const auto block = journal_.read(at_);
            if (!block) return block.error();
            const auto header = struct_at<jbd2::Header>(*block, 0);
            if (header.h_magic.get() != jbd2::magic || header.h_sequence.get() != sequence_) break;
            go_on();
            const Result<bool> goes_on =
                take(static_cast<BlockType>(header.h_blocktype.get()), *block);
            if (!goes_on) return goes_on.error();
            if (!*goes_on) break;
        }
        return {};
    }

    /// By number of the block in the file system.
    const std::map<std::uint64_t, LoggedBlock>& blocks() const { return committed_; }
    std::uint32_t end_sequence() const { return sequence_; }
    /// Whether a transaction at or after the block's own says that the block is to be left alone.
    bool is_revoked(std::uint64_t number, const LoggedBlock& logged) const {
        const auto found = revoked_.find(number);
        return found != revoked_.end() && !is_after(logged.sequence, found->second);
    }

private:
    void go_on() {
        at_ = journal_.next(at_);
        --left_;
    }

    /// False: the journal ends here.
    Result<bool> take(BlockType type, Bytes block) {
        switch (type) {
            case BlockType::descriptor:
                return take_descriptor(block);
            case BlockType::revoke:
                return take_revocations(block);
            case BlockType::commit:
                return take_commit(block);
            case BlockType::superblock_v1:
            case BlockType::superblock_v2:
                break;
        }
        return false;
    }

    struct Described {
        std::uint64_t block;
        std::uint32_t flags;
        std::uint32_t checksum;
    };

    std::size_t tag_size() const {
        if (journal_.has(jbd2::incompat_csum_v3)) return sizeof(jbd2::TagV3);
        const std::size_t size =
            sizeof(jbd2::Tag) + (journal_.has(jbd2::incompat_csum_v2) ? sizeof(be16) : 0);
        return journal_.has(jbd2::incompat_64bit) ? size : size - sizeof(be32);
    }

    Described tag_at(Bytes block, std::size_t offset) const {
        const bool is_64bit = journal_.has(jbd2::incompat_64bit);
        if (journal_.has(jbd2::incompat_csum_v3)) {
            const auto tag = struct_at<jbd2::TagV3>(block, offset);
            const std::uint64_t high = is_64bit ? tag.t_blocknr_high.get() : 0;
            return {high << 32 | tag.t_blocknr.get(), tag.t_flags.get(), tag.t_checksum.get()};
        }
        jbd2::Tag tag{};
        std::memcpy(&tag, block.data() + offset, std::min(sizeof(tag), tag_size()));
        const std::uint64_t high = is_64bit ? tag.t_blocknr_high.get() : 0;
        return {high << 32 | tag.t_blocknr.get(), tag.t_flags.get(), tag.t_checksum.get()};
    }

    Result<bool> take_descriptor(Bytes block) {
        // A block that was only half written ends the journal, unless a commit says it was whole.
        if (!journal_.has_good_tail(block)) is_torn_ = true;
        const std::size_t end = block.size() - (journal_.has_checksums() ? sizeof(be32) : 0);
        constexpr std::size_t uuid_size = 16;
        std::size_t offset = sizeof(jbd2::Header);
        for (bool is_last = false; !is_last && offset + tag_size() <= end;) {
            const Described tag = tag_at(block, offset);
            offset += tag_size();
            if ((tag.flags & jbd2::tag_same_uuid) == 0) offset += uuid_size;
            is_last = (tag.flags & jbd2::tag_last) != 0;
            if (Result<void> done = take_logged(tag); !done) return done.error();
        }
        return true;
    }

    Result<void> take_logged(const Described& tag) {
        const std::uint32_t at = at_;
        if (left_ > 0) {
            go_on();
        } else {
            is_torn_ = true;
        }
        if (tag.block >= blocks_count_) is_torn_ = true;
        if (is_torn_) return {};
        if (journal_.has_checksums()) {
            const auto content = journal_.read(at);
            if (!content) return content.error();
            const be32 sequence = sequence_;
            const std::uint32_t sum =
                crc32c_update(crc32c_update(journal_.seed(), bytes_of_struct(sequence)), *content);
            const std::uint32_t mask = journal_.has(jbd2::incompat_csum_v3) ? ~0U : 0xffffU;
            if (tag.checksum != (sum & mask)) {
                is_torn_ = true;
                return {};
            }
        }
        open_[tag.block] = LoggedBlock{sequence_, at, (tag.flags & jbd2::tag_escaped) != 0};
        return {};
    }

    Result<bool> take_revocations(Bytes block) {
        if (!journal_.has_good_tail(block)) is_torn_ = true;
        const std::size_t entry = journal_.has(jbd2::incompat_64bit) ? sizeof(be64) : sizeof(be32);
        const std::size_t end = struct_at<jbd2::Revoke>(block, 0).r_count.get();
        if (is_torn_) return true;
        if (end > block.size()) return damaged("a revocation");
        for (std::size_t at = sizeof(jbd2::Revoke); at + entry <= end; at += entry) {
            const std::uint64_t number = entry == sizeof(be64) ? struct_at<be64>(block, at).get()
                                                               : struct_at<be32>(block, at).get();
            open_revocations_.push_back(number);
        }
        return true;
    }

    Result<bool> take_commit(Bytes block) {
        const auto commit = struct_at<jbd2::Commit>(block, 0);
        if (!is_good_commit(block, commit)) return false;
        if (is_torn_) {
            // What an older use of the journal left here ends it as well.
            if (commit.h_commit_sec.get() < last_commit_sec_) return false;
            return damaged("a committed transaction has wrong checksums");
        }
        last_commit_sec_ = commit.h_commit_sec.get();
        // A revocation holds for its own transaction and for all before it.
        for (const std::uint64_t number : open_revocations_)
            revoked_[number] = sequence_;
        for (const auto& [number, logged] : open_)
            committed_[number] = logged;
        open_.clear();
        open_revocations_.clear();
        ++sequence_;
        return true;
    }

    bool is_good_commit(Bytes block, const jbd2::Commit& commit) const {
        if (!journal_.has_checksums()) return true;
        // As if the checksum itself were zero.
        constexpr std::size_t begin = offsetof(jbd2::Commit, h_chksum);
        constexpr std::array<std::byte, sizeof(be32)> zero{};
        CHECK(block.size() >= begin + zero.size());
        std::uint32_t sum = crc32c_update(journal_.seed(), block.first(begin));
        sum = crc32c_update(sum, zero);
        sum = crc32c_update(sum, block.subspan(begin + zero.size()));
        return commit.h_chksum[0].get() == sum;
    }

    const Journal& journal_;
    std::uint64_t blocks_count_;
    std::uint32_t sequence_ = 0;  ///< of the transaction that is being read
    std::uint32_t at_ = 0;        ///< the next block of the journal
    std::uint32_t left_ = 0;      ///< blocks until it was gone through once; then it ends
    bool is_torn_ = false;        ///< something of this transaction has a wrong checksum
    std::uint64_t last_commit_sec_ = 0;
    std::map<std::uint64_t, LoggedBlock> open_;
    std::vector<std::uint64_t> open_revocations_;
    std::map<std::uint64_t, LoggedBlock> committed_;
    std::map<std::uint64_t, std::uint32_t> revoked_;
};

/// The superblock after a clean unmount.
Result<Patch> finished_superblock(const Window& replayed, const ext::Geometry& geometry) {
    auto sb = replayed.read_struct<ext::Superblock>(ext::superblock_offset);
    if (!sb) return std::move(sb).error();
    sb->s_feature_incompat = sb->s_feature_incompat.get() & ~ext::incompat_recover;
    // The counts lag behind while a file system is mounted; those of its groups are right.
    const auto counts = ext::free_counts(replayed, *sb, geometry);
    if (!counts) return counts.error();
    ext::set_free_counts(*sb, *counts);
    if (ext::has_ro_compat(*sb, ext::ro_compat_metadata_csum)) {
        sb->s_checksum = ext::checksum_of(*sb);
    }
    const Bytes bytes = bytes_of_struct(*sb);
    return Patch{replayed.begin() + ext::superblock_offset, {bytes.begin(), bytes.end()}};
}

Patch emptied_journal(const Window& window, const Journal& journal, std::uint32_t end_sequence) {
    jbd2::Superblock sb = journal.superblock();
    sb.s_start = 0;
    sb.s_sequence = end_sequence + 1;
    if (journal.has_checksums()) sb.s_checksum = Journal::checksum_of(sb);
    const Bytes bytes = bytes_of_struct(sb);
    return {window.begin() + journal.offset_of(0), {bytes.begin(), bytes.end()}};
}

}  // namespace

Result<std::vector<Patch>> replay_ext_journal(const BlockSource& image,
                                              const Structure& structure) {
    const Window window(image, structure.begin, structure.length);
    const auto primary = window.read_struct<ext::Superblock>(ext::superblock_offset);
    if (!primary) return primary.error();
    if (Result<void> good = check_ext_superblock(*primary); !good) return std::move(good).error();
    const Result<ext::Geometry> geometry = ext::geometry_of(*primary);
    if (!geometry) return geometry.error();
    if (geometry->length() > window.length()) {
        return Error{ErrorCode::corrupt,
                     "it is larger than the space it lies in (was the image cut off?)"};
    }
    const Result<Journal> journal = Journal::open(window, *primary, *geometry);
    if (!journal) return journal.error();
    JournalReader replay(*journal, geometry->blocks_count);
    if (Result<void> done = replay.run(); !done) return std::move(done).error();

    std::vector<Patch> patches;
    for (const auto& [number, logged] : replay.blocks()) {
        if (replay.is_revoked(number, logged)) continue;
        if ((patches.size() + 1) * geometry->block_size > replayed_max) {
            return Error{ErrorCode::refused,
                         "its journal has more to be replayed than a clone "
                         "takes: mount and unmount it once"};
        }
        auto content = journal->read(logged);
        if (!content) return content.error();
        patches.push_back({window.begin() + number * geometry->block_size, *std::move(content)});
    }
    const PatchedSource source(image, patches);
    const Result<Patch> superblock =
        finished_superblock(Window(source, structure.begin, structure.length), *geometry);
    if (!superblock) return superblock.error();
    lay_over(patches, *superblock);
    lay_over(patches, emptied_journal(window, *journal, replay.end_sequence()));
    return patches;
}

}  // namespace cowtgt::identity
