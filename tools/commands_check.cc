#include <string>

#include "target/control/check_job.h"
#include "tools/cowtgt_command.h"
#include "tools/cowtgt_progress.h"
#include "tools/cowtgt_site.h"
#include "tools/exit_codes.h"

namespace cowtgt::tools {

using nlohmann::json;

namespace {

struct Words {
    std::string name;
    bool repair = false;
    bool accept_copy = false;
};

json arguments_of(const Words& words) {
    json arguments = {{"repair", words.repair}, {"accept_copy", words.accept_copy}};
    if (!words.name.empty()) arguments["name"] = words.name;
    return arguments;
}

Result<json> run_check(const config::Config& config, const Words& words) {
    auto site = open_site(config);
    if (!site) return site.error();
    ProgressLine line("checking");
    const store::Progress progress = [&line](std::uint64_t done, std::uint64_t total) {
        line.update(done, total);
    };
    if (site->daemon) return site->daemon->call("check", arguments_of(words), -1, progress);
    auto job = site->offline->operations->begin_check(arguments_of(words));
    if (!job) return job.error();
    return job->run({}, progress);
}

std::string joined_words(const json& list) {
    std::string text;
    for (const json& word : list)
        text += (text.empty() ? "" : ", ") + word.get<std::string>();
    return text;
}

std::string render_ranges(const json& ranges) {
    constexpr std::size_t shown_max = 8;
    std::string text;
    for (std::size_t i = 0; i < ranges.size() && i < shown_max; ++i) {
        text += (i == 0 ? "" : ", ") + std::to_string(ranges[i].value("begin", std::uint64_t{0})) +
                "-" + std::to_string(ranges[i].value("end", std::uint64_t{1}) - 1);
    }
    if (ranges.size() > shown_max) {
        text += " and " + std::to_string(ranges.size() - shown_max) + " more";
    }
    return text;
}

std::string render_check(const json& report) {
    std::string text;
    for (const json& finding : report.at("findings")) {
        text += finding.value("kind", "") + ": " + finding.value("sentence", "") + "\n";
        if (!finding.at("guest").empty()) {
            text += "    bytes of the disk: " + render_ranges(finding.at("guest")) + "\n";
        }
        if (!finding.at("objects").empty()) {
            text += "    part of: " + joined_words(finding.at("objects")) + "\n";
        }
    }
    text += report.value("clean", false) ? "clean" : "NOT CLEAN";
    return text + ": " + std::to_string(report.value("files", std::uint64_t{0})) + " files, " +
           std::to_string(report.value("bytes", std::uint64_t{0}) >> 20) + " MiB compared\n";
}

}  // namespace

void add_check(CLI::App& app, Invocation& invocation) {
    Words& words = invocation.words<Words>();
    CLI::App* check = add_command(
        app, invocation, "check", "find what is not what it was: documents, maps, sealed data",
        "Examples:\n  cowtgt check\n  cowtgt check web01 --repair\n\n"
        "An instance is checked with the template below it. It may be in use: the check reads at "
        "a\n"
        "bounded rate. What a running machine wrote since its last snapshot has no hashes yet; of\n"
        "that only the map is checked. Ends with 1 if something is wrong.",
        [&words, &invocation](const config::Config& config) {
            invocation.status = [](const json& report) {
                return report.value("clean", false) ? 0 : exit_code(ErrorCode::corrupt);
            };
            return run_check(config, words);
        },
        render_check);
    check->add_option("name", words.name, "instance, template or TEMPLATE@VERSION (all)")
        ->type_name("NAME");
    check->add_flag("--repair", words.repair,
                    "put right what can be derived, and open fenced layers again");
    check->add_flag("--accept-copy", words.accept_copy,
                    "take over a layer that was copied while it was written");
}

}  // namespace cowtgt::tools
