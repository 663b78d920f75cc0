#include "tests/sim/machine.h"

#include <cerrno>
#include <cstring>
#include <utility>

#include "cow-store/base/check.h"
#include "cow-store/file_posix.h"

namespace cowtgt::sim {

namespace {

constexpr std::uint32_t ring_bytes = 4096;  ///< so small that checkpoints come often

void read_whole(int fd, std::uint64_t offset, MutableBytes into) {
    const std::size_t got = read_some_at(fd, offset, into, "a sealed file").value();
    std::memset(into.data() + got, 0, into.size() - got);
}

DiskModel model_of(const InstanceModel& instance) {
    DiskModel model(windows_of(instance.size_bytes));
    for (const auto& [offset, value] : instance.values)
        model.set(offset, value);
    return model;
}

}  // namespace

bool ReadOnlyFile::read_now(std::uint64_t offset, MutableBytes into) {
    if ((offset / sector_size) % 2 == 0) return false;
    read_whole(fd_, offset, into);
    return true;
}

int ReadOnlyFile::append_now(std::uint64_t, Bytes) {
    return EROFS;
}

void ReadOnlyFile::complete_one() {
    FileOperation& operation = *under_way_.back();
    under_way_.pop_back();
    CHECK(operation.kind == FileOperation::Kind::read);
    read_whole(fd_, operation.offset, operation.data);
    operation.done(operation, 0);
}

Machine::Machine(store::Store& store, StoreDisk& disk, std::string name,
                 const InstanceModel& instance, Random& random, Value& next_value,
                 std::function<void()> on_step)
    : name_(std::move(name)),
      disk_(disk),
      random_(random),
      model_(model_of(instance)),
      requests_(model_, next_value, random, {}) {
    auto opened = store.open_instance(name_);
    CHECK(opened);
    opened_ = std::move(*opened);
    disk_.step("");
    live_path_ = std::filesystem::read_symlink("/proc/self/fd/" +
                                               std::to_string(opened_->live_buffered.get()));
    live_ = disk_.take(live_path_);
    live_->on_step = std::move(on_step);

    store::merge_maps(opened_->below);
    SealedLayers sealed{{}, opened_->below.merged};
    for (const store::OpenedLayer& layer : opened_->below.layers) {
        below_.push_back(std::make_unique<ReadOnlyFile>(layer.file.file.get()));
        sealed.layers.push_back({layer.map, below_.back().get(), layer.overlap_limit});
    }
    below_.push_back(std::make_unique<ReadOnlyFile>(opened_->below.base.file.get()));
    VolumeOptions options;
    options.ring_bytes = ring_bytes;
    options.ready = {[](void* owner, Volume&) { static_cast<Machine*>(owner)->raised_ = true; },
                     this};
    volume_ =
        std::make_unique<Volume>(std::move(opened_->layer), *live_, std::move(sealed),
                                 BaseImage{below_.back().get(), opened_->below.base_size}, options);
}

void Machine::close() {
    bool closed = false;
    while (requests_.under_way() > 0)
        CHECK(one_event());
    volume_->close([&closed](const BlockOutcome& outcome) {
        closed = true;
        CHECK(outcome.status == BlockStatus::good);
    });
    while (!closed)
        CHECK(one_event());
    while (one_event()) {
    }
    live_->on_step = nullptr;
    volume_.reset();
    model_.flush_answered(model_.flush_begins());
    disk_.give_back(live_path_);
    opened_.reset();
}

bool Machine::turn(std::size_t queue_depth) {
    if (requests_.under_way() < queue_depth && below(random_, 2) == 0) {
        requests_.ask(*volume_);
        return true;
    }
    return one_event();
}

bool Machine::one_event() {
    const bool files_idle = live_->idle();
    if (raised_ && (files_idle || below(random_, 2) == 0)) {
        raised_ = false;
        if (volume_->run_ready()) raised_ = true;
        return true;
    }
    for (const auto& file : below_) {
        if (file->idle() || (!files_idle && below(random_, 2) == 0)) continue;
        file->complete_one();
        return true;
    }
    if (files_idle) return false;
    live_->complete_one();
    return true;
}

}  // namespace cowtgt::sim
