#pragma once

#include <nlohmann/json_fwd.hpp>
#include <utility>

#include "cow-store/base/result.h"
#include "cow-store/store/check.h"
#include "target/control/live_instances.h"

namespace cowtgt::control {

/// A check of the store that has begun. May be run and destroyed on another thread than the
/// operations.
class CheckJob {
public:
    /// Arguments: name, repair, accept_copy. Errors: usage.
    static Result<CheckJob> make(const store::Store& store, LiveInstances& live,
                                 const nlohmann::json& arguments);

    /// The report: clean, files, bytes, findings [{kind (damage|refused|repaired|notice), file,
    /// begin, end, guest [{begin, end}], objects, sentence}].
    Result<nlohmann::json> run(const store::Pace& pace, const store::Progress& progress);

private:
    CheckJob(const store::Store& store, LiveInstances& live, store::CheckOptions options)
        : store_(&store), live_(&live), options_(std::move(options)) {}

    const store::Store* store_;
    LiveInstances* live_;
    store::CheckOptions options_;
};

}  // namespace cowtgt::control
