#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>

#include "cow-store/store/reshape.h"
#include "cow-store/store/workplace.h"
#include "target/control/arguments.h"
#include "target/control/describe.h"
#include "target/control/intent.h"
#include "target/control/operations.h"

/// The commands that destroy: rm, reset, rebase, template rm. With dry_run each makes the checks
/// that it would make, and changes nothing.
namespace cowtgt::control {

using nlohmann::json;

namespace {

struct Doomed {
    std::string name;
    bool dry_run = false;
};

Result<Doomed> doomed_arguments(const json& arguments, const char* what) {
    if (auto known = only_arguments(arguments, {what, "dry_run"}); !known) return known.error();
    auto name = text_argument(arguments, what);
    if (!name) return name.error();
    auto dry_run = flag_argument(arguments, "dry_run");
    if (!dry_run) return dry_run.error();
    return Doomed{std::move(*name), *dry_run};
}

}  // namespace

Result<json> Operations::remove(const json& arguments) {
    auto doomed = doomed_arguments(arguments, "name");
    if (!doomed) return doomed.error();
    const std::string& name = doomed->name;
    if (auto possible = try_stop(name); !possible) return possible.error();
    const Result<std::uint64_t> bytes = store_.try_remove_instance(name);
    if (!bytes) return bytes.error();
    const json answer = {{"removed", name}, {"freed_bytes", *bytes}, {"dry_run", doomed->dry_run}};
    if (doomed->dry_run) return answer;

    if (auto stopped = stop_for_change(name); !stopped) return stopped.error();
    const IntentFile intent(config_.store / intent_file_name);
    // On a full disk there is no room even for this before the ballast goes.
    Result<void> done = store::with_ballast(store_.context(), [&intent, &name] {
        return intent.write({Intent::Kind::remove, name, "", ""});
    });
    if (done) done = store_.remove_instance(name);
    if (!done) {
        // Whatever keeps it from being served again is less news than why it is still there.
        if (store_.find_instance(name)) (void)serve(name, "kept");
        intent.clear();
        return done.error();
    }
    if (auto edited = machines_.remove(name); !edited) return edited.error();
    if (auto edited = forget_secret(name); !edited) return edited.error();
    intent.clear();
    return answer;
}

Result<json> Operations::reset(const json& arguments) {
    auto doomed = doomed_arguments(arguments, "name");
    if (!doomed) return doomed.error();
    const std::string& name = doomed->name;
    if (doomed->dry_run) {
        if (auto possible = try_stop(name); !possible) return possible.error();
    } else {
        if (auto stopped = stop_for_change(name); !stopped) return stopped.error();
        const Result<void> done = store_.reset_instance(name);
        const Result<void> served = serve(name, "reset");
        if (!done) return done.error();
        if (!served) return served.error();
    }
    auto info = store_.find_instance(name);
    if (!info) return info.error();
    json answer = describe(*info);
    answer["dry_run"] = doomed->dry_run;
    return answer;
}

Result<json> Operations::rebase(const json& arguments) {
    if (auto known = only_arguments(arguments, {"name", "template", "dry_run"}); !known) {
        return known.error();
    }
    auto name = text_argument(arguments, "name");
    if (!name) return name.error();
    auto to = text_argument(arguments, "template");
    if (!to) return to.error();
    auto dry_run = flag_argument(arguments, "dry_run");
    if (!dry_run) return dry_run.error();
    const auto ref = store::parse_template_ref(*to);
    if (!ref) return ref.error();
    if (auto possible = try_stop(*name); !possible) return possible.error();
    const auto version = store::Reshape(store_).try_rebase(*name, *ref);
    if (!version) return version.error();
    json answer = {{"name", *name},
                   {"template", template_ref_text(version->name, version->version)},
                   {"dry_run", *dry_run}};
    if (*dry_run) return answer;

    if (auto stopped = stop_for_change(*name); !stopped) return stopped.error();
    const auto info = store::Reshape(store_).rebase(*name, *ref);
    Result<void> edited;
    if (config::Machine machine = machines_.find(*name); info && !machine.template_ref.empty()) {
        machine.template_ref = template_ref_text(info->template_name, info->template_version);
        edited = machines_.put(machine);
    }
    const Result<void> served = serve(*name, "rebased");
    if (!info) return info.error();
    if (!edited) return edited.error();
    if (!served) return served.error();
    return answer;
}

Result<RebaseJob> Operations::begin_rebase(const json& arguments) {
    auto known = only_arguments(arguments, {"name", "template", "dry_run", "keep", "force"});
    if (!known) return known.error();
    auto name = text_argument(arguments, "name");
    if (!name) return name.error();
    auto to = text_argument(arguments, "template");
    if (!to) return to.error();
    auto dry_run = flag_argument(arguments, "dry_run");
    if (!dry_run) return dry_run.error();
    auto force = flag_argument(arguments, "force");
    if (!force) return force.error();
    auto ref = store::parse_template_ref(*to);
    if (!ref) return ref.error();
    if (auto possible = try_stop(*name); !possible) return possible.error();
    if (auto version = store::Reshape(store_).try_rebase(*name, *ref); !version) {
        return version.error();
    }
    if (auto stopped = stop_for_change(*name); !stopped) return stopped.error();
    const std::shared_ptr<void> held = hold(*name);
    return RebaseJob(store_, {*name, std::move(*ref), *dry_run, *force},
                     [this, name = *name, held](store::Merge* merge) {
                         return live_.at_rest(name, [&] { return end_rebase(name, merge); });
                     });
}

Result<void> Operations::end_rebase(const std::string& name, store::Merge* merge) {
    Result<void> done;
    if (merge != nullptr) {
        const auto info = merge->install(store_.context());
        config::Machine machine = machines_.find(name);
        if (!info) {
            done = info.error();
        } else if (!machine.template_ref.empty()) {
            machine.template_ref = template_ref_text(info->template_name, info->template_version);
            done = machines_.put(machine);
        }
    }
    const Result<void> served = serve(name, merge == nullptr ? "looked at" : "rebased");
    return done ? served : done;
}

Result<json> Operations::template_remove(const json& arguments) {
    auto doomed = doomed_arguments(arguments, "template");
    if (!doomed) return doomed.error();
    auto ref = store::parse_template_ref(doomed->name);
    if (!ref) return ref.error();
    // Without a version or a tag all versions go, so all are named in the answer.
    auto templates = store_.templates();
    if (!templates) return templates.error();
    const bool all = ref->version == 0 && ref->tag.empty();
    if (!all) {
        auto one = store_.find_template(*ref);
        if (!one) return one.error();
        ref->version = one->version;
        ref->tag.clear();
    }
    json removed = json::array();
    for (const store::TemplateInfo& info : *templates) {
        if (info.name == ref->name && (all || info.version == ref->version)) {
            removed.push_back(template_ref_text(info.name, info.version));
        }
    }
    const Result<std::uint64_t> bytes = store_.try_remove_template(*ref);
    if (!bytes) return bytes.error();
    if (!doomed->dry_run) {
        if (auto done = store_.remove_template(*ref); !done) return done.error();
    }
    return json{
        {"removed", std::move(removed)}, {"freed_bytes", *bytes}, {"dry_run", doomed->dry_run}};
}

}  // namespace cowtgt::control
