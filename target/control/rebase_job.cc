#include "target/control/rebase_job.h"

#include <memory>
#include <nlohmann/json.hpp>

namespace cowtgt::control {

using nlohmann::json;

namespace {

constexpr std::size_t conflicts_shown_max = 10'000;

json describe(const store::Merge& merge, const KeepWishes& wishes) {
    json conflicts = json::array();
    for (const store::MergeConflict& conflict : merge.conflicts()) {
        if (conflicts.size() == conflicts_shown_max) break;
        conflicts.push_back({{"offset", conflict.offset}, {"length", conflict.length}});
    }
    return {{"name", wishes.name},
            {"template", merge.to()},
            {"dry_run", wishes.dry_run},
            {"kept_bytes", merge.kept_bytes()},
            {"conflict_bytes", merge.conflict_bytes()},
            {"conflict_count", merge.conflicts().size()},
            {"conflicts", std::move(conflicts)},
            {"unclean", merge.unclean()}};
}

Result<void> check_is_possible(const store::Merge& merge, const KeepWishes& wishes) {
    if (wishes.force) return {};
    if (!merge.unclean().empty()) {
        return Error{ErrorCode::refused, wishes.name + " was not shut down: " + merge.unclean() +
                                             "; boot it and shut it down first, or say --force"};
    }
    if (merge.conflicts().empty()) return {};
    return Error{ErrorCode::refused,
                 std::to_string(merge.conflict_bytes()) + " bytes were changed by " + wishes.name +
                     " and differ between " + merge.from() + " and " + merge.to() +
                     ", first at byte " + std::to_string(merge.conflicts().front().offset) +
                     "; see: cowtgt rebase -n --keep, or say --force to keep those of " +
                     wishes.name};
}

}  // namespace

Result<json> RebaseJob::merge(const store::Pace& pace, store::Merge*& made) {
    auto looked = store::Merge::look(store_->context(), wishes_.name, wishes_.to, pace);
    if (!looked) return looked.error();
    merge_ = std::make_unique<store::Merge>(std::move(*looked));
    json answer = describe(*merge_, wishes_);
    if (wishes_.dry_run) return answer;
    if (auto possible = check_is_possible(*merge_, wishes_); !possible) return possible.error();
    if (auto written = merge_->write(store_->context(), pace); !written) return written.error();
    made = merge_.get();
    return answer;
}

Result<json> RebaseJob::run(const store::Pace& pace) {
    store::Merge* made = nullptr;
    Result<json> answer = merge(pace, made);
    if (made == nullptr) merge_.reset();  // it has the instance open
    const Result<void> ended = end_(made);
    merge_.reset();
    if (answer && !ended) return ended.error();
    return answer;
}

}  // namespace cowtgt::control
