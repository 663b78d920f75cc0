#include "target/fleet/state_keeper.h"

#include <utility>

#include "target/config/text_file.h"

namespace cowtgt::fleet {

StateKeeper::StateKeeper() : thread_([this] { run(); }) {}

StateKeeper::~StateKeeper() {
    {
        const std::lock_guard lock(mutex_);
        ending_ = true;
    }
    wake_.notify_one();
    thread_.join();
}

void StateKeeper::keep(std::filesystem::path file, std::string text, Kept kept) {
    {
        const std::lock_guard lock(mutex_);
        jobs_.push_back({std::move(file), std::move(text), std::move(kept)});
    }
    wake_.notify_one();
}

void StateKeeper::run() {
    std::unique_lock lock(mutex_);
    while (true) {
        wake_.wait(lock, [this] { return ending_ || !jobs_.empty(); });
        if (jobs_.empty()) return;
        const Job job = std::move(jobs_.front());
        jobs_.pop_front();
        lock.unlock();
        job.kept(config::replace_text_file(job.file, job.text));
        lock.lock();
    }
}

}  // namespace cowtgt::fleet
