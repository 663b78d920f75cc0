#pragma once

#include <sys/types.h>

#include <cstdint>
#include <ctime>
#include <filesystem>
#include <map>
#include <memory>
#include <random>
#include <string>
#include <string_view>
#include <vector>

namespace cowtgt::store {

/// Watches the folder of a store step by step (Environment::before_step) and knows what of it may
/// be found after a power cut: content is certain from the sync of its file on, names from the sync
/// of their folder on. Names change in the order in which they were changed, as journalling file
/// systems keep it, and a rename is whole or not at all.
class PowerRecorder {
public:
    /// What a planted bug leaves out.
    enum class Syncs { honest, folders_lie };

    /// Everything that is there now is durable. Large files, which no change writes to once they
    /// have a name, are kept as links in `keep`.
    PowerRecorder(std::filesystem::path root, std::filesystem::path keep, std::uint64_t seed,
                  Syncs syncs);

    /// Before each step, and once after the last.
    void step(std::string_view what);
    /// Writes what one possible cut at this moment leaves into the empty folder `to`.
    void cut_into(const std::filesystem::path& to);

private:
    struct Node {
        ino_t inode = 0;
        bool is_folder = false;
    };
    using Tree = std::map<std::string, Node>;  ///< by path inside the store
    struct Content {
        std::string bytes;
        timespec modified{};
        mode_t mode = 0;
        bool is_large = false;  ///< a link in keep_ has it
    };
    using Contents = std::map<ino_t, std::shared_ptr<const Content>>;

    void observe();
    std::shared_ptr<const Content> content_of(const std::filesystem::path& path) const;
    std::filesystem::path kept(ino_t inode) const { return keep_ / std::to_string(inode); }
    std::string torn(const std::string& before, const std::string& after);
    void write_file(ino_t inode, const std::filesystem::path& path);

    std::filesystem::path root_;
    std::filesystem::path keep_;
    std::mt19937_64 random_;
    Syncs syncs_;
    std::vector<Tree> trees_;  ///< the first is durable, each other has one change more
    Contents now_, durable_;
    std::string last_step_;
};

}  // namespace cowtgt::store
