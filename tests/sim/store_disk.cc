#include "tests/sim/store_disk.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <utility>

#include "cow-store/base/check.h"
#include "cow-store/file_posix.h"
#include "cow-store/format/superblock.h"

namespace cowtgt::sim {

namespace {

namespace fs = std::filesystem;

constexpr std::uint64_t large_bytes = 1 << 20;  ///< images and the ballast
constexpr std::uint64_t page_bytes = 4096;
constexpr std::string_view layer_suffix = ".cow";

/// Steps that change names; all others are about the content of the file that they name.
constexpr std::array<std::string_view, 4> name_steps = {"making ", "renaming ", "linking ",
                                                        "removing "};
constexpr std::array<std::string_view, 5> content_steps = {
    "writing ", "reserving space for ", "freeing space of ", "setting the size of ", "sealing "};
constexpr std::array<std::string_view, 2> sync_steps = {"syncing ", "sealing "};

/// What comes behind one of the words, if the step begins with one.
template <std::size_t Count>
std::optional<fs::path> path_of(std::string_view step,
                                const std::array<std::string_view, Count>& words) {
    for (const std::string_view word : words) {
        if (step.starts_with(word)) return fs::path(step.substr(word.size()));
    }
    return std::nullopt;
}

struct stat status_of(const fs::path& path) {
    struct stat status {};
    CHECK(::lstat(path.c_str(), &status) == 0);
    return status;
}

bool is_layer(const fs::path& path) {
    return path.extension() == layer_suffix;
}

bool is_zero(Bytes bytes) {
    return std::ranges::all_of(bytes, [](std::byte byte) { return byte == std::byte{0}; });
}

/// The superblocks of an open layer name their file, and the kernel under which it was opened.
void name_new_file(File& layer, ino_t inode, CutKind kind) {
    for (UnitNumber copy = 0; copy < superblock_units; ++copy) {
        std::array<std::byte, unit_size> unit{};
        CHECK(layer.read_at(byte_offset(copy), unit));
        Result<Superblock> superblock = decode_superblock(unit);
        if (!superblock || superblock->phase != LayerPhase::open) continue;
        superblock->inode = inode;
        if (kind == CutKind::power_loss) superblock->boot_id = {};
        const DiskSuperblock disk = encode_superblock(*superblock);
        layer.overwrite(byte_offset(copy), bytes_of_struct(disk));
    }
}

}  // namespace

bool StoreDisk::Change::concerns(ino_t folder) const {
    return std::ranges::any_of(names,
                               [folder](const auto& name) { return name.first.first == folder; });
}

StoreDisk::StoreDisk(Path root, Path keep, std::uint64_t seed, Syncs syncs)
    : root_(std::move(root)),
      keep_(std::move(keep)),
      random_(seed),
      syncs_(syncs),
      root_inode_(status_of(root_).st_ino) {
    look_at_names();
    unsynced_.clear();
    durable_ = now_;
    for (auto& [inode, content] : contents_) {
        if (content.file) CHECK(content.file->sync_data());
    }
}

void StoreDisk::step(std::string_view what) {
    // The step before this one is over.
    const std::string last = std::exchange(last_step_, std::string(what));
    if (path_of(last, name_steps)) look_at_names();
    if (const auto path = path_of(last, content_steps)) look_at_file(*path);
    if (const auto path = path_of(last, sync_steps)) synced(*path);
}

void StoreDisk::look_at_names() {
    Names names;
    look_at_folder(root_, root_inode_, names);
    Change change;
    for (const auto& [name, node] : names) {
        const auto before = now_.find(name);
        if (before == now_.end() || before->second != node) change.names[name] = node;
    }
    for (const auto& [name, node] : now_) {
        if (!names.contains(name)) change.names[name] = std::nullopt;
    }
    if (change.names.empty()) return;
    unsynced_.push_back(std::move(change));
    now_ = std::move(names);
}

void StoreDisk::look_at_folder(const Path& path, ino_t inode, Names& names) {
    for (const fs::directory_entry& entry : fs::directory_iterator(path)) {
        const struct stat status = status_of(entry.path());
        const bool is_folder = S_ISDIR(status.st_mode) != 0;
        names[{inode, entry.path().filename().string()}] = {status.st_ino, is_folder};
        pin(entry.path(), status.st_ino);
        if (is_folder) {
            look_at_folder(entry.path(), status.st_ino, names);
        } else if (!contents_.contains(status.st_ino)) {
            look_at_file(entry.path());
        }
    }
}

void StoreDisk::look_at_file(const Path& path) {
    struct stat status {};
    if (::lstat(path.c_str(), &status) != 0 || S_ISDIR(status.st_mode) != 0) return;
    Content& content = contents_[status.st_ino];
    content.modified = status.st_mtim;
    content.mode = status.st_mode & 07777;
    if (content.is_taken) return;
    const auto size = static_cast<std::uint64_t>(status.st_size);
    if (size >= large_bytes && !is_layer(path)) {
        content.file = nullptr;
        std::error_code there_already;
        fs::create_hard_link(path, kept(status.st_ino), there_already);
        return;
    }
    if (!content.file) content.file = std::make_shared<File>(random_());
    const Result<Descriptor> file = open_descriptor(path, O_RDONLY);
    CHECK(file);
    std::vector<std::byte> found(size), known(size);
    CHECK(read_some_at(file->get(), 0, found, path.string()).value() == size);
    CHECK(content.file->read_at(0, known));
    for (std::uint64_t at = 0; at < size; at += page_bytes) {
        const std::uint64_t length = std::min(page_bytes, size - at);
        if (std::memcmp(&found[at], &known[at], length) == 0) continue;
        CHECK(content.file->write_at(at, Bytes(found).subspan(at, length)));
    }
    if (content.file->size().value() < size) CHECK(content.file->allocate(0, size));
}

void StoreDisk::synced(const Path& path) {
    struct stat status {};
    if (::lstat(path.c_str(), &status) != 0) return;
    if (S_ISDIR(status.st_mode) == 0) {
        const auto content = contents_.find(status.st_ino);
        if (content != contents_.end() && content->second.file) {
            CHECK(content->second.file->sync_data());
        }
        return;
    }
    if (syncs_ == Syncs::folders_lie) return;
    for (const Change& change : unsynced_) {
        if (!change.concerns(status.st_ino)) continue;
        for (const auto& [name, node] : change.names) {
            if (node) {
                durable_[name] = *node;
            } else {
                durable_.erase(name);
            }
        }
    }
    std::erase_if(unsynced_,
                  [&status](const Change& change) { return change.concerns(status.st_ino); });
    if (unsynced_.empty()) forget_removed();
}

void StoreDisk::pin(const Path& path, ino_t inode) {
    if (pins_.contains(inode)) return;
    Result<Descriptor> pinned = open_descriptor(path, O_PATH);
    CHECK(pinned);
    pins_.emplace(inode, std::move(*pinned));
}

/// What no name leads to any more.
void StoreDisk::forget_removed() {
    std::set<ino_t> inodes;
    for (const auto& [name, node] : now_)
        inodes.insert(node.inode);
    std::erase_if(contents_,
                  [&inodes](const auto& content) { return !inodes.contains(content.first); });
    std::erase_if(pins_, [&inodes](const auto& pin) { return !inodes.contains(pin.first); });
}

std::shared_ptr<File> StoreDisk::take(const Path& path) {
    Content& content = contents_.at(status_of(path).st_ino);
    CHECK(content.file && !content.is_taken);
    // Opening it may have changed it, and syncs in that case.
    look_at_file(path);
    CHECK(content.file->sync_data());
    content.is_taken = true;
    return content.file;
}

void StoreDisk::give_back(const Path& path) {
    Content& content = contents_.at(status_of(path).st_ino);
    CHECK(content.is_taken);
    const std::uint64_t size = content.file->size().value();
    std::vector<std::byte> bytes(size);
    CHECK(content.file->read_at(0, bytes));
    const Result<Descriptor> file = open_descriptor(path, O_WRONLY);
    CHECK(file);
    CHECK(write_all_at(file->get(), 0, bytes, path.string()));
    content.is_taken = false;
    look_at_file(path);
}

StoreDisk::Names StoreDisk::names_after(CutKind kind) {
    if (kind == CutKind::process_death) return now_;
    const bool in_order = below(random_, 2) == 0;
    const std::uint64_t until = below(random_, unsynced_.size() + 1);
    Names names = durable_;
    for (std::size_t i = 0; i < unsynced_.size(); ++i) {
        if (in_order ? i >= until : below(random_, 2) == 0) continue;
        for (const auto& [name, node] : unsynced_[i].names) {
            if (node) {
                names[name] = *node;
            } else {
                names.erase(name);
            }
        }
    }
    return names;
}

void StoreDisk::cut_into(const Path& to, CutKind kind) {
    const Names names = names_after(kind);
    std::map<ino_t, Path> written;
    write_folder(names, root_inode_, to, kind, written);
}

void StoreDisk::write_folder(const Names& names, ino_t folder, const Path& to, CutKind kind,
                             std::map<ino_t, Path>& written) {
    for (auto entry = names.lower_bound({folder, ""});
         entry != names.end() && entry->first.first == folder; ++entry) {
        const Node& node = entry->second;
        const Path path = to / entry->first.second;
        if (const auto other = written.find(node.inode); other != written.end()) {
            // Both ends of a rename are one folder; a file may have several names.
            if (!node.is_folder) fs::create_hard_link(other->second, path);
            continue;
        }
        written.emplace(node.inode, path);
        if (node.is_folder) {
            fs::create_directory(path);
            write_folder(names, node.inode, path, kind, written);
        } else {
            write_file(node.inode, path, kind);
        }
    }
}

void StoreDisk::write_file(ino_t inode, const Path& to, CutKind kind) {
    const Content& content = contents_.at(inode);
    if (!content.file) {
        fs::create_hard_link(kept(inode), to);
        return;
    }
    const std::unique_ptr<File> found = content.file->after_cut(kind, random_());
    const Result<Descriptor> file = open_descriptor(to, O_RDWR | O_CREAT | O_EXCL);
    CHECK(file);
    struct stat status {};
    CHECK(::fstat(file->get(), &status) == 0);
    if (is_layer(to)) name_new_file(*found, status.st_ino, kind);
    const std::uint64_t size = found->size().value();
    CHECK(::ftruncate(file->get(), static_cast<off_t>(size)) == 0);
    std::array<std::byte, page_bytes> page{};
    for (std::uint64_t at = 0; at < size; at += page_bytes) {
        const MutableBytes part = MutableBytes(page).first(std::min(page_bytes, size - at));
        CHECK(found->read_at(at, part));
        if (!is_zero(part)) CHECK(write_all_at(file->get(), at, part, to.string()));
    }
    const std::array<timespec, 2> times = {content.modified, content.modified};
    CHECK(::fchmod(file->get(), content.mode) == 0 && ::futimens(file->get(), times.data()) == 0);
}

}  // namespace cowtgt::sim
