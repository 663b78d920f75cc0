#pragma once

#include <functional>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <utility>

#include "cow-store/base/result.h"
#include "cow-store/store/merge.h"
#include "cow-store/store/store.h"

namespace cowtgt::control {

struct KeepWishes {
    std::string name;
    store::TemplateRef to;
    bool dry_run = false;
    bool force = false;  ///< the instance's blocks win where there are conflicts
};

/// A rebase that keeps what the instance wrote. While it exists the instance is offline; may be run
/// and destroyed on another thread than the operations.
class RebaseJob {
public:
    /// Ends it on the control thread: installs the merge, unless there is nothing to install
    /// (null), and serves the instance again.
    using End = std::function<Result<void>(store::Merge* merge)>;
    RebaseJob(const store::Store& store, KeepWishes wishes, End end)
        : store_(&store), wishes_(std::move(wishes)), end_(std::move(end)) {}

    /// name, template, dry_run, kept_bytes, conflict_bytes, conflict_count, conflicts [{offset,
    /// length}, the first of them], unclean (empty: the file systems are whole). Once.
    Result<nlohmann::json> run(const store::Pace& pace);

private:
    Result<nlohmann::json> merge(const store::Pace& pace, store::Merge*& made);

    const store::Store* store_;
    KeepWishes wishes_;
    End end_;
    std::unique_ptr<store::Merge> merge_;
};

}  // namespace cowtgt::control
