#pragma once

#include <sys/types.h>

#include <cstdint>
#include <ctime>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "cow-store/descriptor.h"
#include "tests/sim/sim_file.h"

namespace cowtgt::sim {

/// The folder of a store, as if its file system lay on a simulated disk. It watches the store step
/// by step (Environment::before_step) and knows what a cut may leave of it: content is certain from
/// the sync of its file on, a name from the sync of its folder on.
///
/// A rename is whole or not at all. Of the other changes of names, those that were not synced come
/// in their order up to some point, as journalling file systems keep it, or each by itself.
/// Threads: none.
class StoreDisk {
public:
    using Path = std::filesystem::path;
    /// What a planted bug leaves out.
    enum class Syncs { honest, folders_lie };

    /// Everything that is in the folder `root` now is durable. Large files, which no change writes
    /// to once they have a name, are kept as links in the folder `keep`.
    StoreDisk(Path root, Path keep, std::uint64_t seed, Syncs syncs);

    /// Before each step, and once after the last.
    void step(std::string_view what);

    /// The content of a file, for a volume to run on: from now on this counts, not the file.
    std::shared_ptr<File> take(const Path& path);
    /// Writes the content that was taken to the file.
    void give_back(const Path& path);

    /// Writes what one possible cut at this moment leaves into the empty folder `to`. Layers there
    /// are known by their new inodes; after a power loss another kernel was running.
    void cut_into(const Path& to, CutKind kind);

private:
    struct Node {
        ino_t inode = 0;
        bool is_folder = false;
        friend bool operator==(const Node&, const Node&) = default;
    };
    /// By inode of the folder and name in it.
    using Names = std::map<std::pair<ino_t, std::string>, Node>;
    /// One step's changes of names, which come together or not at all.
    struct Change {
        std::map<std::pair<ino_t, std::string>, std::optional<Node>> names;
        bool concerns(ino_t folder) const;
    };
    struct Content {
        std::shared_ptr<File> file;  ///< null: a link in keep_ has it
        timespec modified{};
        mode_t mode = 0;
        bool is_taken = false;
    };

    void look_at_names();
    void look_at_folder(const Path& path, ino_t inode, Names& names);
    void look_at_file(const Path& path);
    void synced(const Path& path);
    void forget_removed();
    void pin(const Path& path, ino_t inode);
    Names names_after(CutKind kind);
    void write_folder(const Names& names, ino_t folder, const Path& to, CutKind kind,
                      std::map<ino_t, Path>& written);
    void write_file(ino_t inode, const Path& to, CutKind kind);
    Path kept(ino_t inode) const { return keep_ / std::to_string(inode); }

    Path root_;
    Path keep_;
    Random random_;
    Syncs syncs_;
    ino_t root_inode_ = 0;
    Names now_, durable_;
    std::vector<Change> unsynced_;  ///< in their order
    std::map<ino_t, Content> contents_;
    std::map<ino_t, Descriptor> pins_;  ///< so that no inode comes back as another file
    std::string last_step_;
};

}  // namespace cowtgt::sim
