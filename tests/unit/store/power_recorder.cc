#include "tests/unit/store/power_recorder.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <fstream>
#include <iterator>
#include <utility>

namespace cowtgt::store {

namespace {

namespace fs = std::filesystem;

constexpr off_t large_bytes = 1 << 20;  ///< images and the ballast
constexpr std::size_t sector_bytes = 512;
constexpr std::string_view syncing = "syncing ", sealing = "sealing ";

}  // namespace

PowerRecorder::PowerRecorder(fs::path root, fs::path keep, std::uint64_t seed, Syncs syncs)
    : root_(std::move(root)), keep_(std::move(keep)), random_(seed), syncs_(syncs) {
    observe();
    trees_.erase(trees_.begin(), trees_.end() - 1);
    durable_ = now_;
}

void PowerRecorder::step(std::string_view what) {
    observe();
    // The step before this one is over: what it synced is as it was then.
    const std::string_view last = last_step_;
    const bool is_seal = last.starts_with(sealing);
    if (last.starts_with(syncing) || is_seal) {
        const fs::path path(last.substr(is_seal ? sealing.size() : syncing.size()));
        struct stat status {};
        if (::stat(path.c_str(), &status) == 0) {
            if (!S_ISDIR(status.st_mode)) {
                durable_[status.st_ino] = now_[status.st_ino];
            } else if (syncs_ == Syncs::honest) {
                trees_.erase(trees_.begin(), trees_.end() - 1);
            }
        }
    }
    last_step_ = what;
}

void PowerRecorder::observe() {
    Tree tree;
    for (const fs::directory_entry& entry : fs::recursive_directory_iterator(root_)) {
        struct stat status {};
        if (::lstat(entry.path().c_str(), &status) != 0) continue;
        const std::string name = entry.path().lexically_relative(root_).string();
        tree[name] = {status.st_ino, S_ISDIR(status.st_mode) != 0};
        if (S_ISDIR(status.st_mode)) continue;
        now_[status.st_ino] = content_of(entry.path());
    }
    const auto same = [](const auto& a, const auto& b) {
        return a.first == b.first && a.second.inode == b.second.inode;
    };
    const bool changed = trees_.empty() || !std::ranges::equal(trees_.back(), tree, same);
    if (changed) trees_.push_back(std::move(tree));
}

std::shared_ptr<const PowerRecorder::Content> PowerRecorder::content_of(
    const fs::path& path) const {
    struct stat status {};
    auto content = std::make_shared<Content>();
    if (::stat(path.c_str(), &status) != 0) return content;
    content->modified = status.st_mtim;
    content->mode = status.st_mode & 07777;
    content->is_large = status.st_size >= large_bytes;
    if (content->is_large) {
        std::error_code there_already;
        fs::create_hard_link(path, kept(status.st_ino), there_already);
    } else {
        std::ifstream file(path, std::ios::binary);
        content->bytes.assign(std::istreambuf_iterator<char>(file), {});
    }
    return content;
}

/// Each sector is the old or the new one.
std::string PowerRecorder::torn(const std::string& before, const std::string& after) {
    std::string found = random_() % 2 == 0 ? after : before;
    if (random_() % 2 == 0) found.resize(std::max(before.size(), after.size()));
    for (std::size_t at = 0; at < found.size(); at += sector_bytes) {
        const std::string& source = random_() % 2 == 0 ? after : before;
        const std::size_t length = std::min(sector_bytes, found.size() - at);
        for (std::size_t i = at; i < at + length; ++i)
            found[i] = i < source.size() ? source[i] : '\0';
    }
    return found;
}

void PowerRecorder::write_file(ino_t inode, const fs::path& path) {
    const std::shared_ptr<const Content>& now = now_[inode];
    if (now->is_large) {
        fs::create_hard_link(kept(inode), path);
        return;
    }
    const std::shared_ptr<const Content>& durable = durable_[inode];
    const std::uint64_t fate = random_() % 3;
    const bool certain = durable == now || (durable && durable->bytes == now->bytes);
    const bool keeps_all = certain || fate == 0;
    const std::string old = durable ? durable->bytes : std::string();
    const std::string bytes = keeps_all ? now->bytes : (fate == 1 ? old : torn(old, now->bytes));
    std::ofstream(path, std::ios::binary) << bytes;
    const std::array<timespec, 2> times = {now->modified, now->modified};
    (void)::utimensat(AT_FDCWD, path.c_str(), times.data(), 0);
    (void)::chmod(path.c_str(), now->mode);
}

void PowerRecorder::cut_into(const fs::path& to) {
    const Tree& tree = trees_[random_() % trees_.size()];
    std::map<ino_t, fs::path> written;
    for (const auto& [name, node] : tree) {  // a folder comes before what is in it
        const fs::path path = to / name;
        if (node.is_folder) {
            fs::create_directory(path);
        } else if (const auto other = written.find(node.inode); other != written.end()) {
            fs::create_hard_link(other->second, path);
        } else {
            write_file(node.inode, path);
            written.emplace(node.inode, path);
        }
    }
}

}  // namespace cowtgt::store
