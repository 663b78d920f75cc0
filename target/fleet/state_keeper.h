#pragma once

#include <condition_variable>
#include <deque>
#include <filesystem>
#include <functional>
#include <mutex>
#include <string>
#include <thread>

#include "cow-store/base/result.h"

namespace cowtgt::fleet {

/// Stores what of a logical unit survives a restart: a small text file per instance, replaced
/// atomically and synced. A thread of its own does it, so that neither a ring nor the control
/// thread waits for a disk.
///
/// Threads: keep() from any; `kept` is called on the keeper's thread, in order.
class StateKeeper {
public:
    StateKeeper();
    /// Stores what it was given before it ends.
    ~StateKeeper();
    StateKeeper(const StateKeeper&) = delete;
    StateKeeper& operator=(const StateKeeper&) = delete;

    using Kept = std::function<void(const Result<void>&)>;
    void keep(std::filesystem::path file, std::string text, Kept kept);

private:
    struct Job {
        std::filesystem::path file;
        std::string text;
        Kept kept;
    };
    void run();

    std::mutex mutex_;
    std::condition_variable wake_;
    std::deque<Job> jobs_;  ///< guarded by mutex_
    bool ending_ = false;   ///< guarded by mutex_
    std::thread thread_;
};

}  // namespace cowtgt::fleet
