#pragma once

#include <condition_variable>
#include <cstdint>
#include <functional>
#include <mutex>
#include <thread>

#include "cow-store/store/store.h"
#include "cow-store/store/verification.h"

namespace cowtgt::fleet {

/// Hashes sealed layers and verifies restored files while the daemon serves: on a thread of its
/// own, behind everybody else's I/O, at a bounded rate, and only when somebody says that there may
/// be work. What a dead daemon had begun is begun again.
///
/// Threads: made and destroyed on the control thread; wake() on any.
class Caretaker {
public:
    /// Runs a function on the control thread, soon.
    using Executor = std::function<void(std::function<void()>)>;

    /// `store` outlives it, and whatever was given to `executor`.
    Caretaker(store::Store& store, Executor executor);
    /// Ends what it is doing, without waiting for the end of a file.
    ~Caretaker();
    Caretaker(const Caretaker&) = delete;
    Caretaker& operator=(const Caretaker&) = delete;

    /// Files may have been sealed.
    void wake();

private:
    void run();
    void look_after_files();
    void look_after(store::Verification& work);
    Result<void> keep_pace(std::uint64_t bytes);

    store::Store& store_;
    Executor executor_;
    std::mutex mutex_;
    std::condition_variable changed_;
    bool woken_ = true;      ///< guarded by mutex_
    bool stopping_ = false;  ///< guarded by mutex_
    std::thread thread_;
};

}  // namespace cowtgt::fleet
