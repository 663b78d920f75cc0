#include "target/fleet/caretaker.h"

#include <spdlog/spdlog.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <chrono>
#include <memory>
#include <vector>

namespace cowtgt::fleet {

namespace {

constexpr std::uint64_t bytes_per_second_max = std::uint64_t{64} << 20;

/// Behind all others on the processor and, where the disk's scheduler knows of it, on the disk.
void step_back() {
    constexpr int lowest_nice = 19;
    constexpr int io_of_a_thread = 1;        // IOPRIO_WHO_PROCESS
    constexpr int only_when_idle = 3 << 13;  // IOPRIO_CLASS_IDLE
    const auto self = static_cast<id_t>(::syscall(SYS_gettid));
    (void)::setpriority(PRIO_PROCESS, self, lowest_nice);
    (void)::syscall(SYS_ioprio_set, io_of_a_thread, 0, only_when_idle);
}

}  // namespace

Caretaker::Caretaker(store::Store& store, Executor executor)
    : store_(store), executor_(std::move(executor)), thread_([this] { run(); }) {}

Caretaker::~Caretaker() {
    {
        const std::lock_guard lock(mutex_);
        stopping_ = true;
    }
    changed_.notify_one();
    thread_.join();
}

void Caretaker::wake() {
    {
        const std::lock_guard lock(mutex_);
        woken_ = true;
    }
    changed_.notify_one();
}

void Caretaker::run() {
    step_back();
    while (true) {
        {
            std::unique_lock lock(mutex_);
            changed_.wait(lock, [this] { return woken_ || stopping_; });
            if (stopping_) return;
            woken_ = false;
        }
        look_after_files();
    }
}

void Caretaker::look_after_files() {
    if (Result<void> removed = store::remove_unused_sums(store_.context()); !removed) {
        spdlog::warn("background reason=\"{}\"", removed.error().message);
    }
    Result<std::vector<store::Verification>> pending =
        store::pending_verifications(store_.context());
    if (!pending) {
        spdlog::warn("background reason=\"{}\"", pending.error().message);
        return;
    }
    for (store::Verification& work : *pending) {
        look_after(work);
        const std::lock_guard lock(mutex_);
        if (stopping_) return;
    }
}

void Caretaker::look_after(store::Verification& work) {
    Result<void> done = store::verify(store_.context(), work,
                                      [this](std::uint64_t bytes) { return keep_pace(bytes); });
    if (!done) {
        const std::lock_guard lock(mutex_);
        if (!stopping_) spdlog::error("not verified reason=\"{}\"", done.error().message);
        return;
    }
    spdlog::info("verified file={}", work.file.path.string());
    const auto verified = std::make_shared<const store::Verification>(std::move(work));
    for (const store::Owner& owner : verified->owners) {
        executor_([&store = store_, verified, owner] {
            const Result<void> noted = store::settle(store.context(), *verified, owner);
            if (!noted) spdlog::warn("background reason=\"{}\"", noted.error().message);
        });
    }
}

Result<void> Caretaker::keep_pace(std::uint64_t bytes) {
    const std::chrono::microseconds pause(bytes * 1'000'000 / bytes_per_second_max);
    std::unique_lock lock(mutex_);
    if (changed_.wait_for(lock, pause, [this] { return stopping_; })) {
        return Error{ErrorCode::failed, "the daemon stops"};
    }
    return {};
}

}  // namespace cowtgt::fleet
