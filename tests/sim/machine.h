#pragma once

#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "cow-store/store/open_instance.h"
#include "tests/sim/requests.h"
#include "tests/sim/store_disk.h"
#include "tests/sim/store_model.h"

namespace cowtgt::sim {

/// A file that is only read: sealed layers and images below a live layer.
class ReadOnlyFile final : public AsyncFile {
public:
    explicit ReadOnlyFile(int fd) : fd_(fd) {}

    void submit(FileOperation& operation) override { under_way_.push_back(&operation); }
    bool read_now(std::uint64_t offset, MutableBytes into) override;
    int append_now(std::uint64_t offset, Bytes from) override;
    DirectIoAlignment alignment() const override { return {.memory = 1, .offset = 1}; }

    bool idle() const { return under_way_.empty(); }
    void complete_one();

private:
    int fd_;
    std::vector<FileOperation*> under_way_;
};

/// A machine that is running: an instance of a store, open, with random requests on its disk. What
/// it writes goes to the simulated disk.
class Machine {
public:
    /// Opens the instance. `on_step` is called at each step of the live layer's file.
    Machine(store::Store& store, StoreDisk& disk, std::string name, const InstanceModel& instance,
            Random& random, Value& next_value, std::function<void()> on_step);
    Machine(const Machine&) = delete;
    Machine& operator=(const Machine&) = delete;
    ~Machine() = default;

    const std::string& name() const { return name_; }
    const DiskModel& model() const { return model_; }
    /// Empty, or what was wrong with an answer.
    const std::string& problem() const { return requests_.problem; }
    /// One event of its loop, or one more request. False: nothing can happen but requests.
    bool turn(std::size_t queue_depth);
    /// Waits for its requests and closes the disk; its content is in the store's file afterwards.
    void close();

private:
    bool one_event();

    std::string name_;
    StoreDisk& disk_;
    Random& random_;
    DiskModel model_;
    Requests requests_;
    std::unique_ptr<store::OpenedInstance> opened_;
    std::filesystem::path live_path_;
    std::shared_ptr<File> live_;
    std::vector<std::unique_ptr<ReadOnlyFile>> below_;  ///< the base last
    std::unique_ptr<Volume> volume_;
    bool raised_ = false;
};

}  // namespace cowtgt::sim
