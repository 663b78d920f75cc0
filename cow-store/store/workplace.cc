#include "cow-store/store/workplace.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>

#include <array>
#include <cerrno>
#include <optional>
#include <system_error>
#include <utility>

#include "cow-store/file_posix.h"

namespace cowtgt::store {

namespace {

constexpr std::uint64_t ballast_size = std::uint64_t{8} << 20;  ///< bytes
constexpr int attempts_max = 100;  ///< to find a name or to lock what was just made

struct WorkName {
    Work work;
    std::string_view word;  ///< first part of the folder's name
    std::string_view
        left_over;  ///< sentence for one that was left behind, around the object's name
    std::string_view after;
};
constexpr std::array work_names = {
    WorkName{Work::import_template, "import", "removed a half-made import of template ", ""},
    WorkName{Work::clone, "clone", "removed the half-made instance ", ""},
    WorkName{Work::reset, "reset", "dropped an interrupted reset of instance ",
             ", which keeps what it has"},
    WorkName{Work::snapshot, "snapshot", "dropped an interrupted snapshot of instance ",
             ", which keeps what it has"},
    WorkName{Work::restore, "restore", "dropped an interrupted restore of instance ",
             ", which keeps what it has"},
    WorkName{Work::commit, "commit", "removed a half-made version of template ", ""},
    WorkName{Work::receive, "receive", "dropped an unfinished end of a stream for instance ",
             ", which is still there to be finished"},
    WorkName{Work::rebase, "rebase", "dropped an interrupted rebase of instance ",
             ", which keeps what it has"},
    WorkName{Work::flatten, "flatten", "dropped an interrupted flatten of instance ",
             ", which stands on what it stood on"},
    WorkName{Work::remove_stream, "rm-stream",
             "finished the removal of what had arrived of a stream for instance ", ""},
    WorkName{Work::boot_folder, "boot", "", ""},  // looked for again when it is needed
    WorkName{Work::remove_template, "rm-template", "finished the removal of template ", ""},
    WorkName{Work::remove_instance, "rm-instance", "finished the removal of instance ", ""},
    WorkName{Work::replace, "replace", "", ""},
};

std::string_view word_of(Work work) {
    for (const WorkName& row : work_names) {
        if (row.work == work) return row.word;
    }
    return "";
}

/// "clone.web01.4f1c...": no name has a dot in it.
std::filesystem::path fresh_path(const Context& context, Work work, std::string_view name) {
    return context.layout.work() / (std::string(word_of(work)) + "." + std::string(name) + "." +
                                    to_string(draw_uuid()).substr(0, 8));
}

std::string sentence_for(std::string_view entry) {
    const std::size_t first = entry.find('.');
    const std::size_t last = entry.rfind('.');
    const std::string_view word = entry.substr(0, first);
    for (const WorkName& row : work_names) {
        if (row.word != word || first == last) continue;
        if (row.left_over.empty()) return "";
        const std::string_view name = entry.substr(first + 1, last - first - 1);
        return std::string(row.left_over) + std::string(name) + std::string(row.after);
    }
    return "removed " + std::string(entry) + ", which was left in the store's folder for work";
}

}  // namespace

std::optional<Descriptor> lock_folder(const std::filesystem::path& path) {
    Result<Descriptor> folder = open_descriptor(path, O_RDONLY | O_DIRECTORY);
    if (!folder || ::flock(folder->get(), LOCK_EX | LOCK_NB) != 0) return std::nullopt;
    struct stat status {};
    if (::fstat(folder->get(), &status) != 0 || status.st_nlink == 0) return std::nullopt;
    return std::move(*folder);
}

Result<Workplace> Workplace::make(const Context& context, Work work, std::string_view name) {
    // Whoever opens the store between the mkdir and the lock takes the folder for a left one.
    for (int attempt = 0; attempt < attempts_max; ++attempt) {
        const std::filesystem::path path = fresh_path(context, work, name);
        Result<void> made = context.files.make_directory(path);
        if (!made && made.error().os_errno == EEXIST) continue;
        if (!made) return std::move(made).error();
        if (std::optional<Descriptor> lock = lock_folder(path)) {
            return Workplace(context, path, std::move(*lock));
        }
    }
    return Error{ErrorCode::failed, "no folder could be locked in " +
                                        context.layout.work().string() +
                                        "; does its file system have flock?"};
}

Workplace::~Workplace() {
    if (!lock_.is_open()) return;
    // What cannot be removed now is removed when the store is opened next.
    (void)context_->files.remove_tree(path_);
}

Result<void> Workplace::publish(const std::filesystem::path& to) {
    if (Result<void> synced = context_->files.sync_directory(path_); !synced) return synced;
    if (Result<void> renamed = context_->files.rename(path_, to); !renamed) return renamed;
    lock_ = Descriptor{};
    return context_->files.sync_directory(to.parent_path());
}

Result<void> replace_file(const Context& context, const std::filesystem::path& path,
                          std::string_view text) {
    const std::filesystem::path fresh = fresh_path(context, Work::replace, "file");
    Result<void> done = context.files.write_new_file(fresh, text);
    if (done) done = context.files.rename(fresh, path);
    if (!done) {
        (void)context.files.remove_file(fresh);
        return done;
    }
    return context.files.sync_directory(path.parent_path());
}

Result<void> remove_object(const Context& context, Work work, std::string_view name,
                           const std::filesystem::path& path) {
    const std::filesystem::path away = fresh_path(context, work, name);
    if (Result<void> gone = context.files.rename(path, away); !gone) return gone;
    Result<void> synced = context.files.sync_directory(path.parent_path());
    (void)context.files.remove_tree(away);
    return synced;
}

Result<std::vector<std::string>> clean_up(const Context& context) {
    std::vector<std::string> sentences;
    const Result<std::vector<std::string>> entries = list_directory(context.layout.work());
    if (!entries) return entries.error();
    for (const std::string& entry : *entries) {
        const std::filesystem::path path = context.layout.work() / entry;
        std::optional<Descriptor> lock;
        std::error_code unknown;
        if (std::filesystem::is_directory(path, unknown)) {
            lock = lock_folder(path);
            if (!lock) continue;  // an import is at work in it
        }
        if (Result<void> removed = context.files.remove_tree(path); !removed) {
            return removed.error();
        }
        if (std::string sentence = sentence_for(entry); !sentence.empty()) {
            sentences.push_back(std::move(sentence));
        }
    }
    return sentences;
}

void restore_ballast(const Context& context) {
    const std::filesystem::path path = context.layout.ballast();
    if (allocated_bytes_of(path) >= ballast_size) return;
    (void)context.files.remove_file(path);
    if (!context.files.make_filled_file(path, ballast_size)) (void)context.files.remove_file(path);
}

Result<void> run_with_ballast(const Context& context, Result<void> (*operation)(void*),
                              void* argument) {
    Result<void> done = operation(argument);
    if (!done && done.error().code == ErrorCode::no_space &&
        context.files.remove_file(context.layout.ballast())) {
        done = operation(argument);
    }
    restore_ballast(context);
    return done;
}

}  // namespace cowtgt::store
