#include <nlohmann/json.hpp>
#include <string>
#include <utility>

#include "cow-store/store/reshape.h"
#include "target/control/arguments.h"
#include "target/control/operations.h"

/// flatten: an instance becomes independent of its template.
namespace cowtgt::control {

using nlohmann::json;

namespace {

const char* state_name(FlattenProgress::State state) {
    switch (state) {
        case FlattenProgress::State::running:
            return "running";
        case FlattenProgress::State::done:
            return "done";
        case FlattenProgress::State::cancelled:
            return "cancelled";
        case FlattenProgress::State::failed:
            return "failed";
    }
    return "failed";
}

}  // namespace

json Operations::describe_flattening(std::string_view name) const {
    const auto progress = live_.flatten_progress(name);
    if (!progress) return nullptr;
    return {{"state", state_name(progress->state)},
            {"done_bytes", progress->done_bytes},
            {"total_bytes", progress->total_bytes},
            {"reason", progress->reason}};
}

Result<void> Operations::check_not_flattening(std::string_view name) const {
    const auto progress = live_.flatten_progress(name);
    if (!progress || progress->state != FlattenProgress::State::running) return {};
    return Error{ErrorCode::in_use, "'" + std::string(name) +
                                        "' is being flattened; wait for the end of that, or end "
                                        "it with: cowtgt flatten --cancel " +
                                        std::string(name)};
}

Result<json> Operations::flatten(const json& arguments) {
    if (auto known = only_arguments(arguments, {"name", "cancel"}); !known) return known.error();
    auto name = text_argument(arguments, "name");
    if (!name) return name.error();
    auto cancel = flag_argument(arguments, "cancel");
    if (!cancel) return cancel.error();
    if (auto there = store_.find_instance(*name); !there) return there.error();
    Result<void> done = *cancel ? live_.cancel_flatten(*name) : begin_flatten(*name);
    if (!done) return done.error();
    const auto info = store_.find_instance(*name);
    if (!info) return info.error();
    return describe(*info);
}

Result<void> Operations::begin_flatten(const std::string& name) {
    if (auto current = machines_.reload(); !current) return current;
    if (auto free = check_not_busy(name); !free) return free;
    if (machines_.find(name).ephemeral) {
        return Error{ErrorCode::refused, "'" + name +
                                             "' goes back to its template at each boot; first: "
                                             "cowtgt set " +
                                             name + " ephemeral=no"};
    }
    store::Reshape reshape(store_);
    if (auto possible = reshape.try_flatten(name); !possible) return possible;
    if (!live_.serves()) {
        if (auto flattened = reshape.flatten_now(name); !flattened) return flattened;
        return forget_template(name);
    }
    // Also for a daemon that is started again meanwhile.
    if (auto noted = reshape.note_flattening(name); !noted) return noted;
    return go_on_flattening(name);
}

Result<void> Operations::go_on_flattening(const std::string& name) {
    FlattenEnd end;
    end.finish = [this, name]() -> Result<void> {
        if (auto done = store::Reshape(store_).finish_flatten(name); !done) return done;
        return forget_template(name);
    };
    end.give_up = [this, name] { (void)store::Reshape(store_).forget_flattening(name); };
    return live_.begin_flatten(name, std::move(end));
}

/// The line of a machine that stands on no template names none.
Result<void> Operations::forget_template(const std::string& name) {
    if (auto current = machines_.reload(); !current) return current;
    config::Machine machine = machines_.find(name);
    if (machine.template_ref.empty()) return {};
    machine.template_ref.clear();
    if (auto edited = machines_.put(machine); !edited) return edited;
    applied_.insert_or_assign(name, machine);
    return {};
}

}  // namespace cowtgt::control
