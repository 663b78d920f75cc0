#include <algorithm>
#include <map>
#include <optional>
#include <set>
#include <utility>

#include "cow-store/identity/patched_source.h"
#include "cow-store/references/files.h"
#include "cow-store/references/xfs_reader.h"
#include "cow-store/references/xfs_replay.h"

namespace cowtgt::references {

namespace {

using identity::Window;
using xfs::Extent;
using xfs::FolderEntry;
using xfs::Inode;
using xfs::InodeChunk;
using xfs::Reader;
using xfs::Run;

constexpr std::size_t folders_max = 4'000'000;
constexpr std::size_t path_length_max = 4096;                ///< bytes; no program can name more
constexpr std::size_t waiting_paths_max = 256U << 20;        ///< bytes of those still to be read
constexpr std::uint64_t read_size = std::uint64_t{1} << 20;  ///< bytes

/// What is known of a block while its owner is looked for.
struct BlockOwner {
    enum class Part { unknown, free_space, log, data, unwritten, folder_or_attributes };
    Part part = Part::unknown;
    std::uint64_t inode = 0;
    std::uint64_t file_block = 0;
    bool is_shared = false;  ///< by reflink: a change would be one of several files
};

struct OwningInode {
    std::string path;  ///< empty: not found
    std::uint64_t size = 0;
    bool is_file = false;
    bool is_unlinked = false;  ///< gone as soon as nothing has it open
};

/// A place in a chunk of inodes.
struct InodePlace {
    std::uint64_t inode;
    bool in_use;
};

/// The image of a window alone.
class WindowSource final : public identity::BlockSource {
public:
    explicit WindowSource(const Window& window) : window_(window) {}
    Result<void> read(std::uint64_t offset, MutableBytes into) const override {
        return window_.read(offset, into);
    }
    std::uint64_t size() const override { return window_.length(); }

private:
    const Window& window_;
};

/// A file system as it is once its log is replayed.
class ReplayedView {
public:
    /// `changes` are in bytes from the start of the window.
    ReplayedView(const Window& window, std::vector<identity::Patch> changes)
        : changes_(changes),
          image_(window),
          source_(image_, std::move(changes)),
          view_(source_, 0, source_.size()) {}
    ReplayedView(const ReplayedView&) = delete;
    ReplayedView& operator=(const ReplayedView&) = delete;

    const Window& window() const { return view_; }
    bool has_changed(std::uint64_t offset) const {
        const auto next = std::ranges::upper_bound(changes_, offset, {}, &identity::Patch::offset);
        if (next == changes_.begin()) return false;
        const identity::Patch& before = *std::prev(next);
        return offset - before.offset < before.bytes.size();
    }

private:
    std::vector<identity::Patch> changes_;
    WindowSource image_;
    identity::PatchedSource source_;
    Window view_;
};

class XfsFiles final : public Files {
public:
    XfsFiles(std::unique_ptr<ReplayedView> view, Reader reader)
        : view_(std::move(view)), reader_(std::move(reader)) {}

    Result<std::vector<Owner>> owners_of(const std::vector<std::uint64_t>& offsets) override {
        blocks_.clear();
        inode_places_.clear();
        inodes_.clear();
        offsets_ = {offsets.begin(), offsets.end()};
        for (const std::uint64_t offset : offsets) {
            const std::uint64_t block = offset / reader_.block_size();
            if (block < reader_.block_count()) blocks_[block] = {};
        }
        if (Result<void> done = find_owners(); !done) return std::move(done).error();
        if (Result<void> done = find_names(); !done) return std::move(done).error();
        std::vector<Owner> owners;
        for (const std::uint64_t offset : offsets)
            owners.push_back(owner_of(offset));
        return owners;
    }

    Result<std::vector<std::string>> boot_archives() override {
        std::vector<std::string> paths;
        for (const std::string folder : {"/", "/boot/"}) {
            const auto inode = inode_of(folder);
            if (!inode && inode.error().code == ErrorCode::not_found) continue;
            if (!inode) return inode.error();
            if (!inode->is_folder()) continue;
            const auto entries = reader_.entries_of(*inode);
            if (!entries) return entries.error();
            for (const FolderEntry& entry : *entries) {
                if (!is_boot_archive(entry.name)) continue;
                const auto file = reader_.inode(entry.inode);
                if (!file) return file.error();
                if (file->is_file()) paths.push_back(folder + entry.name);
            }
        }
        std::ranges::sort(paths);
        return paths;
    }

    Result<void> read(const std::string& path, std::uint64_t bytes_max, const Sink& sink) override {
        const auto inode = inode_of(path);
        if (!inode) return inode.error();
        const auto extents = reader_.data_extents(*inode);
        if (!extents) return extents.error();
        const std::uint64_t size = std::min(inode->core.di_size.get(), bytes_max);
        const std::uint64_t block_size = reader_.block_size();
        std::uint64_t at = 0;
        for (const Extent& extent : *extents) {
            if (extent.file_block >= size / block_size + 1) break;
            if (extent.is_unwritten) continue;
            const std::uint64_t begin = extent.file_block * block_size;
            if (begin < at) return Error{ErrorCode::corrupt, path + " is damaged: run xfs_repair"};
            fill(std::min(begin, size) - at, sink);
            const std::uint64_t end = std::min(begin + extent.run.count * block_size, size);
            for (at = std::min(begin, size); at < end; at += std::min(read_size, end - at)) {
                const auto bytes = view_->window().read_bytes(
                    extent.run.begin * block_size + (at - begin), std::min(read_size, end - at));
                if (!bytes) return bytes.error();
                sink(*bytes);
            }
        }
        fill(size - at, sink);
        return {};
    }

private:
    static void fill(std::uint64_t length, const Sink& sink) {
        const std::vector<std::byte> zeros(std::min(length, read_size));
        for (; length > 0; length -= std::min<std::uint64_t>(length, zeros.size()))
            sink(Bytes(zeros).first(std::min<std::uint64_t>(length, zeros.size())));
    }

    template <typename Visit>
    void each_wanted_in(Run run, const Visit& visit) {
        const auto end = blocks_.lower_bound(run.begin + run.count);
        for (auto at = blocks_.lower_bound(run.begin); at != end; ++at)
            visit(at->first, at->second);
    }

    bool is_wanted_in(std::uint64_t group) {
        return std::ranges::any_of(blocks_, [&](const auto& one) {
            return one.second.part == BlockOwner::Part::unknown &&
                   reader_.group_of(one.first) == group;
        });
    }

    Result<void> find_owners() {
        each_wanted_in(reader_.log(), [](std::uint64_t, BlockOwner& owner) {
            owner.part = BlockOwner::Part::log;
        });
        for (std::uint64_t group = 0; group < reader_.group_count(); ++group) {
            if (!is_wanted_in(group)) continue;
            Result<void> done = reader_.each_free_run(group, [&](Run run) {
                each_wanted_in(run, [](std::uint64_t, BlockOwner& owner) {
                    owner.part = BlockOwner::Part::free_space;
                });
            });
            if (!done) return done;
        }
        for (std::uint64_t group = 0; group < reader_.group_count(); ++group) {
            Result<void> done = reader_.each_inode_chunk(group, [&](const InodeChunk& chunk) {
                find_in_chunk(chunk);
                return look_through(chunk);
            });
            if (!done) return done;
        }
        return {};
    }

    void find_in_chunk(const InodeChunk& chunk) {
        const std::uint64_t end = chunk.offset + xfs::inodes_per_record * reader_.inode_size();
        for (auto offset = offsets_.lower_bound(chunk.offset);
             offset != offsets_.end() && *offset < end; ++offset) {
            const std::uint64_t index = (*offset - chunk.offset) / reader_.inode_size();
            if ((chunk.holes >> index & 1) != 0) continue;
            const bool in_use = (chunk.in_use >> index & 1) != 0;
            inode_places_[*offset] = {chunk.first_inode + index, in_use};
            if (in_use) inodes_[chunk.first_inode + index];
        }
    }

    Result<void> look_through(const InodeChunk& chunk) {
        const auto inodes = reader_.inodes_in(chunk);
        if (!inodes) return inodes.error();
        for (const Inode& inode : *inodes) {
            const auto data = reader_.data_extents(inode);
            if (!data) return data.error();
            for (const Extent& extent : *data)
                note(inode, extent, inode.is_file());
            const auto attributes = reader_.attribute_extents(inode);
            if (!attributes) return attributes.error();
            for (const Extent& extent : *attributes)
                note(inode, extent, false);
        }
        return {};
    }

    void note(const Inode& inode, const Extent& extent, bool is_data) {
        using Part = BlockOwner::Part;
        each_wanted_in(extent.run, [&](std::uint64_t block, BlockOwner& owner) {
            // Free and in a file at once: damage, and nobody knows who is right.
            owner.is_shared = owner.part != Part::unknown;
            owner.part = !is_data              ? Part::folder_or_attributes
                         : extent.is_unwritten ? Part::unwritten
                                               : Part::data;
            owner.inode = inode.number;
            owner.file_block = extent.file_block + (block - extent.run.begin);
            OwningInode& named = inodes_[inode.number];
            named.size = inode.core.di_size.get();
            named.is_file =
                inode.is_file() && (inode.core.di_flags.get() & xfs::flag_realtime) == 0;
            named.is_unlinked = inode.links() == 0;
        });
    }

    struct Folder {
        std::uint64_t inode;
        std::string path;  ///< with a slash at its end
    };

    /// Walks through folders until all that own something have a name.
    Result<void> find_names() {
        std::size_t missing = inodes_.size();
        std::set<std::uint64_t> seen = {reader_.root_inode()};
        std::vector<Folder> waiting = {{reader_.root_inode(), "/"}};
        std::size_t waiting_bytes = 1;
        if (const auto root = inodes_.find(reader_.root_inode()); root != inodes_.end()) {
            root->second.path = "/";
            --missing;
        }
        while (!waiting.empty() && missing > 0) {
            const Folder folder = std::move(waiting.back());
            waiting.pop_back();
            waiting_bytes -= folder.path.size();
            const auto inode = reader_.inode(folder.inode);
            if (!inode) return inode.error();
            if (!inode->is_folder()) continue;
            const auto entries = reader_.entries_of(*inode);
            if (!entries) return entries.error();
            for (const FolderEntry& entry : *entries) {
                const auto found = inodes_.find(entry.inode);
                if (found != inodes_.end() && found->second.path.empty()) {
                    found->second.path = folder.path + entry.name;
                    --missing;
                }
                if (!may_be_folder(entry) || seen.size() >= folders_max ||
                    folder.path.size() + entry.name.size() >= path_length_max ||
                    waiting_bytes >= waiting_paths_max || !seen.insert(entry.inode).second) {
                    continue;
                }
                waiting.push_back({entry.inode, folder.path + entry.name + "/"});
                waiting_bytes += waiting.back().path.size();
            }
        }
        return {};
    }

    static bool may_be_folder(const FolderEntry& entry) {
        return entry.type == xfs::EntryType::folder || entry.type == xfs::EntryType::unknown;
    }

    Result<Inode> inode_of(std::string_view path) {
        auto inode = reader_.inode(reader_.root_inode());
        while (inode && path.find_first_not_of('/') != std::string_view::npos) {
            path.remove_prefix(path.find_first_not_of('/'));
            const std::string_view name = path.substr(0, path.find('/'));
            path.remove_prefix(name.size());
            const Error absent{ErrorCode::not_found, std::string(name) + " is not there"};
            if (!inode->is_folder()) return absent;
            const auto entries = reader_.entries_of(*inode);
            if (!entries) return entries.error();
            const auto found = std::ranges::find(*entries, name, &FolderEntry::name);
            if (found == entries->end()) return absent;
            inode = reader_.inode(found->inode);
        }
        return inode;
    }

    Owner owner_of(std::uint64_t offset) const {
        Owner owner;
        if (const auto place = inode_places_.find(offset); place != inode_places_.end()) {
            owner.kind = place->second.in_use ? Owner::Kind::untouchable : Owner::Kind::nobody;
            if (place->second.in_use) owner.path = inodes_.at(place->second.inode).path;
            owner.reason = "it is kept in the inode, which has a checksum";
            return owner;
        }
        const auto found = blocks_.find(offset / reader_.block_size());
        if (found == blocks_.end()) {
            owner.kind = Owner::Kind::nobody;  // too little for a block, at the very end
            return owner;
        }
        return owner_in(found->second, offset);
    }

    Owner owner_in(const BlockOwner& block, std::uint64_t offset) const {
        using Part = BlockOwner::Part;
        Owner owner;
        const auto inode = inodes_.find(block.inode);
        if (inode != inodes_.end()) owner.path = inode->second.path;
        if (block.part == Part::unknown) {
            owner.reason = "no file is known to own it";
        } else if (block.is_shared) {
            owner.reason = "the file shares it with another, as cp --reflink makes it";
        } else if (block.part == Part::free_space || block.part == Part::log ||
                   block.part == Part::unwritten || inode->second.is_unlinked) {
            owner.kind = Owner::Kind::nobody;
        } else if (block.part != Part::data || !inode->second.is_file) {
            owner.reason = "it is part of a folder, a link or attributes, which have checksums";
        } else if (owner.path.empty()) {
            owner.reason = "it is in a file whose name was not found";
        } else if (view_->has_changed(offset)) {
            owner.reason = "the log is to be replayed over it";
        } else {
            fill_in_file(owner, block, inode->second.size, offset);
        }
        return owner;
    }

    void fill_in_file(Owner& owner, const BlockOwner& block, std::uint64_t size,
                      std::uint64_t offset) const {
        const std::uint64_t block_size = reader_.block_size();
        const std::uint64_t begin = block.file_block * block_size;
        owner.position = begin + offset % block_size;
        if (owner.position >= size) {
            owner.kind = Owner::Kind::nobody;  // behind the end of the file
            return;
        }
        owner.kind = Owner::Kind::file;
        owner.run_begin = round_down(offset, block_size);
        owner.run_length = std::min(block_size, size - begin);
    }

    std::unique_ptr<ReplayedView> view_;
    Reader reader_;
    std::set<std::uint64_t> offsets_;                   ///< the wanted ones
    std::map<std::uint64_t, BlockOwner> blocks_;        ///< the wanted ones
    std::map<std::uint64_t, InodePlace> inode_places_;  ///< by wanted offset
    std::map<std::uint64_t, OwningInode> inodes_;       ///< that own something wanted
};

}  // namespace

Result<std::unique_ptr<Files>> open_xfs_files(const Window& window) {
    auto changes = xfs::replayed_metadata(window);
    if (!changes) return std::move(changes).error();
    for (identity::Patch& change : *changes)
        change.offset -= window.begin();
    auto view = std::make_unique<ReplayedView>(window, *std::move(changes));
    auto reader = Reader::open(view->window());
    if (!reader) return std::move(reader).error();
    return std::unique_ptr<Files>(std::make_unique<XfsFiles>(std::move(view), *std::move(reader)));
}

}  // namespace cowtgt::references
