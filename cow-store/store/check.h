#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "cow-store/base/result.h"
#include "cow-store/store/content.h"
#include "cow-store/store/layout.h"

/// `cowtgt check`: reads what the store promises to keep, and says what is not what it was.
namespace cowtgt::store {

struct CheckOptions {
    std::string name;          ///< an instance, a template or one version of it; empty: everything
    bool repair = false;       ///< what can be derived is put right, fenced layers are opened again
    bool accept_copy = false;  ///< layers that were copied while they were written are taken over
};

/// What a check needs of whoever uses the store meanwhile.
struct CheckHost {
    Pace pace;  ///< before each read; may be empty
    Progress progress;
    /// Whether somebody may be writing to the layer of an instance.
    std::function<bool(std::string_view instance)> is_in_use;
    /// Runs `work` while nobody has the instance's layer open.
    std::function<Result<void>(std::string_view instance,
                               const std::function<Result<void>()>& work)>
        at_rest;
};

struct ByteRange {
    std::uint64_t begin = 0;  ///< bytes
    std::uint64_t end = 0;    ///< bytes

    friend bool operator==(const ByteRange&, const ByteRange&) = default;
};

struct CheckFinding {
    enum class Kind {
        damage,    ///< bytes are not what they were, or a file is gone
        refused,   ///< nothing is known to be wrong, but it is not used before somebody decides
        repaired,  ///< was damage, and is put right
        notice,    ///< good to know
    };
    Kind kind = Kind::damage;
    std::string file{};
    ByteRange place{};                   ///< in the file; equal ends: all of it
    std::vector<ByteRange> guest{};      ///< bytes of the disk that are hit
    std::vector<std::string> objects{};  ///< "instance web01": whose disk it is part of
    std::string sentence{};              ///< what is wrong, and what to do
};

struct CheckReport {
    std::vector<CheckFinding> findings;
    std::uint64_t files = 0;  ///< that were looked at
    std::uint64_t bytes = 0;  ///< that were read and compared

    bool is_clean() const;  ///< neither damage nor anything refused
};

/// Reads documents, the metadata of layers, and all of each image and sealed layer.
/// Errors: not_found for the name; whatever is wrong with the store is in the report.
/// Threads: any, beside whatever is done with the store.
Result<CheckReport> check_store(const Context& context, const CheckOptions& options,
                                const CheckHost& host);

}  // namespace cowtgt::store
