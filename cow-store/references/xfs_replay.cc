#include "cow-store/references/xfs_replay.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <map>
#include <utility>

#include "cow-store/identity/xfs_dirty_log.h"
#include "cow-store/identity/xfs_log_items.h"
#include "cow-store/references/xfs_layout.h"

namespace cowtgt::references::xfs {

namespace {

using identity::Patch;
using identity::Window;
using identity::xfs::BufferChanges;
using identity::xfs::DirtyLog;
using identity::xfs::joined;
using identity::xfs::log_not_understood;
using identity::xfs::LogItem;
using identity::xfs::Superblock;

constexpr std::uint64_t sector_size = identity::xfs::basic_block;
constexpr std::uint64_t write_max = std::uint64_t{64} << 10;  ///< bytes; no buffer is larger

/// xfs_inode_log_format.
struct InodeFormat {
    le16 ilf_type;
    le16 ilf_size;  ///< regions, this one included
    le32 ilf_fields;
    le16 ilf_asize;
    le16 ilf_dsize;
    le32 ilf_pad;
    le64 ilf_ino;
    std::array<std::byte, 16> device_18;
    le64 ilf_blkno;  ///< basic block of the buffer that the inode is in
    le32 ilf_len;
    le32 ilf_boffset;  ///< of the inode in the buffer, bytes
};
static_assert(sizeof(InodeFormat) == 56 && alignof(InodeFormat) == 1);
constexpr std::uint32_t data_fields = 0x0e;  // in the inode, extents, root of a tree
constexpr std::uint32_t root_of_data_tree = 0x08;
constexpr std::uint32_t attribute_fields = 0x1c0;  // the same of attributes
constexpr std::uint32_t root_of_attribute_tree = 0x100;

/// Where the words of an inode lie, and their sizes: the log has them in the order of the machine.
struct Word {
    std::uint8_t offset;
    std::uint8_t size;
};
constexpr std::array words_of_inode = {
    Word{0, 2},  Word{2, 2},   Word{6, 2},   Word{8, 4},   Word{12, 4},  Word{16, 4},  Word{20, 2},
    Word{22, 2}, Word{24, 8},  Word{32, 8},  Word{40, 8},  Word{48, 8},  Word{56, 8},  Word{64, 8},
    Word{72, 4}, Word{76, 4},  Word{80, 2},  Word{84, 4},  Word{88, 2},  Word{90, 2},  Word{92, 4},
    Word{96, 4}, Word{104, 8}, Word{112, 8}, Word{120, 8}, Word{128, 4}, Word{144, 8}, Word{152, 8},
};

template <typename T>
T struct_at(Bytes bytes, std::size_t offset) {
    T value;
    std::memcpy(&value, bytes.data() + offset, sizeof(value));
    return value;
}

/// Sectors of the file system that differ from the image.
class ChangedSectors {
public:
    explicit ChangedSectors(const Window& window) : window_(window) {}

    Result<void> write(std::uint64_t offset, Bytes bytes) {
        if (bytes.size() > write_max || !window_.contains(offset, bytes.size())) {
            return log_not_understood("it writes past the end");
        }
        while (!bytes.empty()) {
            const std::uint64_t number = offset / sector_size;
            const std::uint64_t within = offset % sector_size;
            const Bytes part =
                bytes.first(std::min<std::uint64_t>(bytes.size(), sector_size - within));
            auto found = sectors_.find(number);
            if (found == sectors_.end()) {
                const auto now = window_.read_struct<Sector>(number * sector_size);
                if (!now) return now.error();
                found = sectors_.emplace(number, *now).first;
            }
            std::memcpy(found->second.data() + within, part.data(), part.size());
            offset += part.size();
            bytes = bytes.subspan(part.size());
        }
        return {};
    }

    /// Neighbours together.
    std::vector<Patch> patches() const {
        std::vector<Patch> patches;
        for (const auto& [number, sector] : sectors_) {
            const std::uint64_t at = window_.begin() + number * sector_size;
            if (patches.empty() || patches.back().offset + patches.back().bytes.size() != at) {
                patches.push_back({at, {}});
            }
            patches.back().bytes.insert(patches.back().bytes.end(), sector.begin(), sector.end());
        }
        return patches;
    }

private:
    using Sector = std::array<std::byte, sector_size>;
    const Window& window_;
    std::map<std::uint64_t, Sector> sectors_;
};

/// Goes through the items as xlog_recover_items_pass2 does. What lies on disk is never newer than
/// all of the log, so the last change of each byte stands at the end, whatever was there.
class Replay {
public:
    Replay(const Window& window, const Superblock& sb) : sectors_(window), sb_(sb) {}

    Result<std::vector<Patch>> run(const std::vector<LogItem>& items) {
        for (const LogItem& item : items) {
            if (Result<void> done = note_cancelled(item); !done) return std::move(done).error();
        }
        for (const LogItem& item : items) {
            Result<void> done = item.type == identity::xfs::buffer_item  ? write_buffer(item)
                                : item.type == identity::xfs::inode_item ? write_inode(item)
                                                                         : Result<void>();
            if (!done) return std::move(done).error();
        }
        return sectors_.patches();
    }

private:
    using Buffer = std::pair<std::uint64_t, std::uint32_t>;  ///< basic block, length in them

    static Buffer buffer_of(const BufferChanges& changes) {
        return {changes.format.blf_blkno.get(), changes.format.blf_len.get()};
    }
    static bool is_cancel(const BufferChanges& changes) {
        return (changes.format.blf_flags.get() & identity::xfs::buffer_is_cancelled) != 0;
    }
    bool is_cancelled(const Buffer& buffer) const {
        const auto found = cancelled_.find(buffer);
        return found != cancelled_.end() && found->second > 0;
    }

    Result<void> note_cancelled(const LogItem& item) {
        if (item.type != identity::xfs::buffer_item) return {};
        const auto changes = changes_of(item);
        if (!changes) return changes.error();
        if (is_cancel(*changes)) ++cancelled_[buffer_of(*changes)];
        return {};
    }

    Result<void> write_buffer(const LogItem& item) {
        const auto changes = changes_of(item);
        if (!changes) return changes.error();
        if (is_cancel(*changes)) {
            --cancelled_[buffer_of(*changes)];
            return {};
        }
        const bool holds_inodes =
            (changes->format.blf_flags.get() & identity::xfs::buffer_holds_inodes) != 0;
        const bool is_superblock = changes->format.blf_blkno.get() == 0;
        if (holds_inodes || is_superblock || is_cancelled(buffer_of(*changes))) return {};
        for (const BufferChanges::Run& run : changes->runs) {
            const std::vector<std::byte> bytes = joined(*run.region);
            Result<void> done =
                sectors_.write(changes->format.blf_blkno.get() * sector_size + run.offset,
                               Bytes(bytes).first(run.length));
            if (!done) return done;
        }
        return {};
    }

    Result<void> write_inode(const LogItem& item) {
        const std::vector<std::byte> first = joined(item.regions.front());
        if (first.size() < sizeof(InodeFormat)) return log_not_understood("an inode is cut off");
        const auto format = struct_at<InodeFormat>(first, 0);
        if (is_cancelled({format.ilf_blkno.get(), format.ilf_len.get()})) return {};
        if (item.regions.size() < 2) return log_not_understood("an inode is not whole");
        std::vector<std::byte> core = joined(item.regions[1]);
        const std::size_t core_size =
            identity::xfs::is_version_5(sb_) ? sizeof(Dinode) : inode_size_2;
        if (core.size() < core_size) return log_not_understood("an inode is cut off");
        core.resize(core_size);
        for (const Word& word : words_of_inode) {
            if (word.offset + word.size > core_size) break;
            std::reverse(core.begin() + word.offset, core.begin() + word.offset + word.size);
        }
        const std::uint64_t at = format.ilf_blkno.get() * sector_size + format.ilf_boffset.get();
        if (Result<void> done = sectors_.write(at, core); !done) return done;
        return write_forks(item, format, at + core_size, core);
    }

    Result<void> write_forks(const LogItem& item, const InodeFormat& format, std::uint64_t at,
                             Bytes core) {
        const std::uint32_t fields = format.ilf_fields.get();
        const std::uint64_t room = sb_.sb_inodesize.get() - core.size();
        const std::uint64_t split =
            std::to_integer<std::uint64_t>(core[offsetof(Dinode, di_forkoff)]) * 8;
        if (split > room) return log_not_understood("an inode is odd");
        std::size_t next = 2;
        if ((fields & data_fields) != 0) {
            Result<void> done = write_fork(item, next++, (fields & root_of_data_tree) != 0, at,
                                           split == 0 ? room : split);
            if (!done) return done;
        }
        if ((fields & attribute_fields) != 0) {
            return write_fork(item, next, (fields & root_of_attribute_tree) != 0, at + split,
                              room - split);
        }
        return {};
    }

    Result<void> write_fork(const LogItem& item, std::size_t index, bool is_root, std::uint64_t at,
                            std::uint64_t room) {
        if (index >= item.regions.size()) return log_not_understood("an inode is not whole");
        std::vector<std::byte> bytes = joined(item.regions[index]);
        if (is_root) {
            Result<std::vector<std::byte>> root = root_on_disk(bytes, room);
            if (!root) return std::move(root).error();
            bytes = *std::move(root);
        }
        if (bytes.size() > room) return log_not_understood("an inode is odd");
        return sectors_.write(at, bytes);
    }

    /// xfs_bmbt_to_bmdr: the log has the root of a tree with the header of its other blocks.
    Result<std::vector<std::byte>> root_on_disk(Bytes logged, std::uint64_t room) const {
        const std::uint64_t header =
            identity::xfs::is_version_5(sb_) ? extent_tree.header_5 : extent_tree.header_4;
        if (logged.size() < header || room < sizeof(TreeRootHeader)) {
            return log_not_understood("a tree is cut off");
        }
        const auto from = struct_at<TreeBlockHeader>(logged, 0);
        const std::uint64_t count = from.bb_numrecs.get();
        const std::uint64_t from_max = (logged.size() - header) / (2 * sizeof(be64));
        const std::uint64_t to_max = (room - sizeof(TreeRootHeader)) / (2 * sizeof(be64));
        if (count > from_max || count > to_max) return log_not_understood("a tree is cut off");
        std::vector<std::byte> root(sizeof(TreeRootHeader) + to_max * 2 * sizeof(be64));
        const TreeRootHeader to{.bb_level = from.bb_level, .bb_numrecs = from.bb_numrecs};
        std::memcpy(root.data(), &to, sizeof(to));
        std::memcpy(root.data() + sizeof(to), logged.data() + header, count * sizeof(be64));
        std::memcpy(root.data() + sizeof(to) + to_max * sizeof(be64),
                    logged.data() + header + from_max * sizeof(be64), count * sizeof(be64));
        return root;
    }

    ChangedSectors sectors_;
    const Superblock& sb_;
    std::map<Buffer, int> cancelled_;  ///< how often it still will be
};

}  // namespace

Result<std::vector<Patch>> replayed_metadata(const Window& window) {
    const Result<Superblock> sb = identity::xfs::read_superblock(window);
    if (!sb) return sb.error();
    const identity::xfs::Log log = identity::xfs::log_of(window, *sb);
    const Result<std::uint64_t> newest = identity::xfs::find_newest_record(log);
    if (!newest) return newest.error();
    const auto last = identity::xfs::read_record(log, *newest, sb->sb_uuid);
    if (!last) return last.error();
    const Result<bool> is_clean = identity::xfs::is_clean_end(log, *last);
    if (!is_clean) return is_clean.error();
    if (*is_clean) return std::vector<Patch>();
    Result<DirtyLog> dirty = identity::xfs::read_dirty_log(log, sb->sb_uuid);
    if (!dirty) return std::move(dirty).error();
    const auto items = committed_items(*dirty, dirty->text);
    if (!items) return items.error();
    return Replay(window, *sb).run(*items);
}

}  // namespace cowtgt::references::xfs
