#include <chrono>
#include <cstdint>
#include <string>
#include <thread>

#include "tools/cowtgt_command.h"
#include "tools/cowtgt_progress.h"
#include "tools/cowtgt_render.h"
#include "tools/cowtgt_site.h"

namespace cowtgt::tools {

using nlohmann::json;

namespace {

struct Words {
    std::string name;
    bool wait = false;
    bool cancel = false;
};

std::string state_of(const json& instance) {
    const json flatten = instance.value("flatten", json());
    return flatten.is_null() ? "" : flatten.value("state", "");
}

/// Asks how far it is until it has ended.
Result<json> wait_for_end(Site& site, const std::string& name, json instance) {
    constexpr std::chrono::milliseconds pause{200};
    ProgressLine line("flattening " + name);
    while (state_of(instance) == "running") {
        const json& progress = instance.at("flatten");
        line.update(progress.value("done_bytes", std::uint64_t{0}),
                    progress.value("total_bytes", std::uint64_t{0}));
        std::this_thread::sleep_for(pause);
        auto asked = ask(site, "show", {{"name", name}});
        if (!asked) return asked;
        instance = std::move(*asked);
    }
    if (state_of(instance) == "failed") {
        return Error{ErrorCode::failed, instance.at("flatten").value("reason", "")};
    }
    if (state_of(instance) == "cancelled") {
        return Error{ErrorCode::failed, "the flattening of " + name + " was cancelled"};
    }
    return instance;
}

Result<json> run_flatten(const config::Config& config, const Words& words) {
    auto site = open_site(config);
    if (!site) return site.error();
    auto instance = ask(*site, "flatten", {{"name", words.name}, {"cancel", words.cancel}});
    if (!instance || words.cancel || !words.wait) return instance;
    return wait_for_end(*site, words.name, std::move(*instance));
}

std::string render_flatten(const json& instance) {
    const std::string name = instance.value("name", "");
    const std::string state = state_of(instance);
    if (state == "running") return name + " is being flattened; see: cowtgt show " + name + "\n";
    if (state == "cancelled") {
        return name + " stays on " + instance.value("template", "") +
               "; what was copied is kept, and another flatten goes on from there\n";
    }
    return name + " stands on no template any more\n";
}

}  // namespace

void add_flatten(CLI::App& app, Invocation& invocation) {
    Words& words = invocation.words<Words>();
    CLI::App* flatten = add_command(
        app, invocation, "flatten", "make an instance independent of its template",
        "Example:\n  cowtgt flatten web01 --wait\n\n"
        "What it reads of its template is copied, but for zeros, in the background and at a "
        "bounded\n"
        "rate; the instance may be in use. Afterwards the template version may be removed, and\n"
        "reset has nothing to go back to. A cowtgtd that is started again goes on with it. "
        "Refused\n"
        "while there are snapshots. Without cowtgtd the command does it itself.",
        [&words](const config::Config& config) { return run_flatten(config, words); },
        render_flatten);
    flatten->add_option("name", words.name, "name of the instance")->required()->type_name("NAME");
    flatten->add_flag("--wait", words.wait, "until it is done");
    flatten->add_flag("--cancel", words.cancel, "end it; the instance stays on its template");
}

}  // namespace cowtgt::tools
