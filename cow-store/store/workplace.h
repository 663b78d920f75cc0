#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "cow-store/base/result.h"
#include "cow-store/descriptor.h"
#include "cow-store/store/layout.h"

namespace cowtgt::store {

/// What is being done in a folder of STORE/tmp. The folder's name says it, so that whoever finds
/// one that was left behind can say what it was.
enum class Work {
    import_template,
    clone,
    reset,
    snapshot,
    restore,
    commit,
    receive,
    rebase,
    flatten,
    remove_stream,
    boot_folder,
    remove_template,
    remove_instance,
    replace,
};

/// A folder in STORE/tmp in which an object is made before one rename makes it real.
///
/// The maker holds an flock(2) on the folder, which ends with the process: a folder that nobody
/// has locked was left behind. Whatever is still in it at the end of the life of this object is
/// removed.
/// Ownership: movable; owns the folder until it is published.
class Workplace {
public:
    static Result<Workplace> make(const Context& context, Work work, std::string_view name);
    Workplace(Workplace&&) = default;
    Workplace& operator=(Workplace&&) = delete;
    ~Workplace();

    const std::filesystem::path& path() const { return path_; }
    /// Syncs the folder and makes it `to`, durably. Fails with os_errno EEXIST or ENOTEMPTY when
    /// there is something at `to` already; the folder is kept then, for another try.
    Result<void> publish(const std::filesystem::path& to);

private:
    Workplace(const Context& context, std::filesystem::path path, Descriptor lock)
        : context_(&context), path_(std::move(path)), lock_(std::move(lock)) {}

    const Context* context_;
    std::filesystem::path path_;
    Descriptor lock_;  ///< not open: published, or moved from
};

/// The folder, locked until the descriptor is closed; nothing if somebody else has it, or has
/// removed it in between.
std::optional<Descriptor> lock_folder(const std::filesystem::path& path);

/// Replaces a small file as a whole, durably.
Result<void> replace_file(const Context& context, const std::filesystem::path& path,
                          std::string_view text);

/// Takes an object out of the store by one durable rename, then gives its space back. After the
/// rename the object is gone whatever happens: what is left of it goes when the store is opened
/// next.
Result<void> remove_object(const Context& context, Work work, std::string_view name,
                           const std::filesystem::path& path);

/// Removes what dead processes left in STORE/tmp; one sentence for each that a user would miss.
Result<std::vector<std::string>> clean_up(const Context& context);

/// Runs `operation`, and once more without the ballast if the disk is too full for it: what gives
/// space back must work on a full disk.
Result<void> run_with_ballast(const Context& context, Result<void> (*operation)(void*),
                              void* argument);
/// Reserves the ballast again, if there is room. Not having it is no failure.
void restore_ballast(const Context& context);

template <typename Operation>
Result<void> with_ballast(const Context& context, Operation operation) {
    return run_with_ballast(
        context, [](void* argument) { return (*static_cast<Operation*>(argument))(); }, &operation);
}

}  // namespace cowtgt::store
