#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <string_view>

#include "cow-store/base/result.h"

/// What a command is about to do to both the store and machines.toml, on disk, so that after a
/// kill in between the next command brings the two together again.
///
/// It is written without a sync: it must survive the death of the process, and after a power loss
/// the store's own promises hold without it (a machine may then lack its line).
namespace cowtgt::control {

/// In the store.
inline constexpr std::string_view intent_file_name = "unfinished.json";

struct Intent {
    enum class Kind { clone, remove, rename };

    Kind kind = Kind::clone;
    std::string name;
    std::string to;    ///< rename: the new name
    std::string line;  ///< clone: the value of its line in machines.toml
};

class IntentFile {
public:
    explicit IntentFile(std::filesystem::path file) : file_(std::move(file)) {}

    Result<void> write(const Intent& intent) const;
    /// Nothing when there is none, or when it was torn: then nothing had begun.
    std::optional<Intent> read() const;
    void clear() const;

private:
    std::filesystem::path file_;
};

}  // namespace cowtgt::control
