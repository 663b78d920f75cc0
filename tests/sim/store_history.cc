#include "tests/sim/store_history.h"

#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <iterator>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "cow-store/base/check.h"
#include "cow-store/file_posix.h"
#include "tests/sim/machine.h"
#include "tests/sim/store_model.h"
#include "tests/sim/store_operations.h"

namespace cowtgt::sim {

namespace {

namespace fs = std::filesystem;

constexpr std::size_t machines_max = 2;
constexpr std::size_t queue_depth = 4;
constexpr std::uint64_t turns_max = 40;       ///< of the machines between two operations
constexpr std::uint64_t recovery_stride = 8;  ///< one of so many recoveries is cut, too
constexpr std::uint64_t second_stride = 16;   ///< one of so many is followed by a second history
constexpr std::uint32_t second_operations = 4;
constexpr std::uint64_t second_steps = 80;  ///< one of the first so many is cut
constexpr Value template_value = Value{1} << 40;

/// Where one store is: the folder itself, what is kept of it, and what its cuts leave.
struct Place {
    fs::path folder;

    fs::path store() const { return folder / "store"; }
    fs::path keep() const { return folder / "keep"; }
    Place cut() const { return {folder / "cut"}; }
    void make() const {
        fs::create_directories(store());
        fs::create_directories(keep());
    }
};

store::Environment quiet_environment() {
    store::Environment environment;
    environment.lock_patience = std::chrono::milliseconds{0};
    return environment;
}

/// What may be found after a cut.
struct Expected {
    StoreModel before;
    std::optional<StoreModel> after;  ///< an operation is under way
    LiveDisks live;
    CutKind kind = CutKind::power_loss;
};

/// What was found: the model then knows what was read.
struct Found {
    StoreModel model;
    std::string problem;
};

/// Opens the store after a cut and reads all of it.
Found open_and_compare(const fs::path& folder, const store::Environment& environment,
                       const Expected& expected) {
    const auto store = store::Store::open(folder, store::Locking::exclusive, environment);
    if (!store) return {{}, "cannot open the store: " + store.error().message};
    Result<StoreModel> found = read_store(**store);
    if (!found) return {{}, "cannot read the store: " + found.error().message};
    std::string problem = difference(*found, expected.before, expected.live, expected.kind);
    if (!problem.empty() && expected.after) {
        const std::string other = difference(*found, *expected.after, expected.live, expected.kind);
        problem = other.empty() ? "" : problem + "; or: " + other;
    }
    return {std::move(*found), problem};
}

/// Goes on through all histories of one run, so that no name and no value comes twice.
struct Numbers {
    std::uint64_t names = 0;
    Value next_value = 1;
};

class History {
public:
    /// `model` is what the store at `place` holds.
    History(Place place, StoreModel model, const StoreHistoryOptions& options, Numbers& numbers,
            StoreStatistics& statistics)
        : place_(std::move(place)),
          model_(std::move(model)),
          options_(options),
          numbers_(numbers),
          statistics_(statistics),
          random_(options.seed * 31 + numbers.next_value),
          disk_(place_.store(), place_.keep(), random_(), options.syncs) {}

    /// Cuts at every step of the store and some of the disks; or at `only_step` and nowhere else.
    void run(std::optional<std::uint64_t> only_step) {
        only_step_ = only_step;
        store::Environment environment = quiet_environment();
        environment.before_step = [this](std::string_view what) {
            store_step(what);
            return 0;
        };
        Result<std::unique_ptr<store::Store>> opened =
            store::Store::open(place_.store(), store::Locking::exclusive, environment);
        CHECK(opened);
        store_ = std::move(*opened);
        for (std::uint32_t left = options_.operations; left > 0 && is_well(); --left) {
            start_or_stop_a_machine();
            run_machines(below(random_, turns_max));
            operate();
        }
        while (!machines_.empty())
            stop(*machines_.front());
        store_.reset();
        if (!is_well()) return;
        const Expected expected{model_, {}, {}, CutKind::process_death};
        report(open_and_compare(place_.store(), quiet_environment(), expected).problem, "the end");
    }

private:
    bool is_well() const { return statistics_.first_problem.empty(); }

    void report(const std::string& problem, std::string_view where) {
        if (problem.empty() || !is_well()) return;
        statistics_.first_problem = "seed " + std::to_string(options_.seed) + " step " +
                                    std::to_string(steps_) + ", " + doing_ + ", " +
                                    std::string(where) + ": " + problem;
    }

    void start_or_stop_a_machine() {
        if (machines_.size() == machines_max || (!machines_.empty() && below(random_, 3) == 0)) {
            stop(*machines_.front());
            return;
        }
        if (model_.instances.empty()) return;
        const auto chosen =
            std::next(model_.instances.begin(),
                      static_cast<std::ptrdiff_t>(below(random_, model_.instances.size())));
        if (machine_of(chosen->first) != nullptr) return;
        doing_ = "opening " + chosen->first;
        machines_.push_back(std::make_unique<Machine>(*store_, disk_, chosen->first, chosen->second,
                                                      random_, numbers_.next_value,
                                                      [this] { request_step(); }));
    }

    Machine* machine_of(std::string_view name) const {
        for (const auto& machine : machines_) {
            if (machine->name() == name) return machine.get();
        }
        return nullptr;
    }

    /// Closes its disk, and takes what it holds then into the model.
    void stop(Machine& machine) {
        doing_ = "closing " + machine.name();
        machine.close();
        report(machine.problem(), "requests");
        Result<Values> values = read_disk(*store_, machine.name());
        CHECK(values);
        StoreModel found = model_;
        found.instances.at(machine.name()).values = std::move(*values);
        report(
            difference(found, model_, {{machine.name(), &machine.model()}}, CutKind::process_death),
            "closed");
        model_ = std::move(found);
        std::erase_if(machines_, [&machine](const auto& other) { return other.get() == &machine; });
    }

    void run_machines(std::uint64_t turns) {
        for (; turns > 0 && !machines_.empty() && is_well(); --turns)
            machines_[below(random_, machines_.size())]->turn(queue_depth);
    }

    void operate() {
        const std::optional<StoreOperation> operation =
            draw_operation(model_, random_, ++numbers_.names);
        if (!operation || !is_well()) return;
        if (Machine* user = machine_of(operation->instance)) {
            stop(*user);
            return;  // what comes after is another operation
        }
        doing_ = operation->name + " " + operation->instance;
        after_ = operation->after;
        const Result<void> done = operation->make(*store_);
        if (done) {
            ++statistics_.operations[operation->name];
            model_ = operation->after;
        } else if (done.error().code != ErrorCode::in_use &&
                   done.error().code != ErrorCode::refused) {
            report(done.error().message, "the answer");
        }
        after_.reset();
        store_step("the answer");
    }

    void store_step(std::string_view what) {
        disk_.step(what);
        if (after_) run_machines(below(random_, 3));
        doing_step(what, 1);
    }

    void request_step() { doing_step("a request", options_.request_stride); }

    void doing_step(std::string_view what, std::uint64_t stride) {
        ++steps_;
        const bool wanted = only_step_ ? steps_ == *only_step_ : steps_ % stride == 0;
        if (wanted && is_well()) cut(what);
    }

    static CutKind pick(Random& random) {
        return below(random, 4) == 0 ? CutKind::process_death : CutKind::power_loss;
    }

    void cut(std::string_view where) {
        ++statistics_.cuts;
        const Place place = place_.cut();
        place.make();
        Expected expected{model_, after_, {}, pick(random_)};
        for (const auto& machine : machines_)
            expected.live[machine->name()] = &machine->model();
        disk_.cut_into(place.store(), expected.kind);
        const bool again = !only_step_ && below(random_, recovery_stride) == 0;
        const Found found = again ? open_and_cut_again(place, expected)
                                  : open_and_compare(place.store(), quiet_environment(), expected);
        report(found.problem, where);
        if (is_well() && !only_step_ && below(random_, second_stride) == 0) {
            ++statistics_.second_histories;
            StoreHistoryOptions options = options_;
            options.operations = second_operations;
            History(place, found.model, options, numbers_, statistics_)
                .run(below(random_, second_steps));
        }
        fs::remove_all(place.folder);
    }

    /// The recovery is cut as well, at each of its steps.
    Found open_and_cut_again(const Place& place, const Expected& expected) {
        StoreDisk disk(place.store(), place.keep(), random_(), options_.syncs);
        store::Environment environment = quiet_environment();
        environment.before_step = [&](std::string_view what) {
            disk.step(what);
            ++statistics_.cuts_in_recovery;
            const Place again = place.cut();
            again.make();
            Expected now = expected;
            const CutKind kind = pick(random_);
            if (kind == CutKind::power_loss) now.kind = kind;
            disk.cut_into(again.store(), kind);
            report(open_and_compare(again.store(), quiet_environment(), now).problem,
                   "recovery before " + std::string(what));
            fs::remove_all(again.folder);
            return 0;
        };
        return open_and_compare(place.store(), environment, expected);
    }

    Place place_;
    StoreModel model_;                 ///< but for the disks of machines
    std::optional<StoreModel> after_;  ///< while an operation is under way
    StoreHistoryOptions options_;
    Numbers& numbers_;
    StoreStatistics& statistics_;
    Random random_;
    StoreDisk disk_;
    std::unique_ptr<store::Store> store_;
    std::vector<std::unique_ptr<Machine>> machines_;
    std::optional<std::uint64_t> only_step_;
    std::uint64_t steps_ = 0;
    std::string doing_ = "the opening";
};

/// A store with one template, whose windows are full.
StoreModel make_store(const Place& place) {
    const fs::path image = place.folder / "image.raw";
    TemplateModel disk{template_bytes, {}};
    const Result<Descriptor> file = open_descriptor(image, O_RDWR | O_CREAT);
    CHECK(file && ::ftruncate(file->get(), template_bytes) == 0);
    for (const Window& window : windows_of(template_bytes)) {
        for (std::uint64_t at = 0; at < window.length; at += sector_size) {
            std::array<std::byte, sector_size> sector{};
            fill_sector(sector, template_value, window.offset + at);
            CHECK(write_all_at(file->get(), window.offset + at, sector, image.string()));
            disk.values[window.offset + at] = template_value;
        }
    }
    CHECK(store::Store::create(place.store()));
    const auto store = store::Store::open(place.store(), store::Locking::exclusive);
    CHECK(store);
    store::ImportOptions options;
    options.image = image;
    options.name = "debian12";
    CHECK((*store)->import_template(options));
    StoreModel model;
    model.templates[{"debian12", 1}] = std::move(disk);
    return model;
}

}  // namespace

StoreStatistics cut_store_history(const fs::path& folder, const StoreHistoryOptions& options) {
    const Place place{folder};
    place.make();
    StoreStatistics statistics;
    Numbers numbers;
    StoreModel model = make_store(place);
    History(place, std::move(model), options, numbers, statistics).run(std::nullopt);
    return statistics;
}

}  // namespace cowtgt::sim
