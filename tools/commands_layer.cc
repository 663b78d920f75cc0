#include "tools/cowtgt_command.h"

#include <algorithm>

#include "tools/cowtgt_render.h"
#include "tools/cowtgt_site.h"

namespace cowtgt::tools {

using nlohmann::json;

namespace {

struct Words {
    std::string name, to, size, label;
    bool dry_run = false;
    bool require_clean = false;
    bool keep = false;
    bool force = false;
};

/// NAME@LABEL, or NAME and LABEL.
json snapshot_arguments(const Words& words) {
    const std::size_t at = words.name.find('@');
    json arguments = {{"name", words.name.substr(0, at)}, {"dry_run", words.dry_run}};
    arguments["label"] = at == std::string::npos
                             ? words.label
                             : words.name.substr(std::min(at + 1, words.name.size()));
    return arguments;
}

std::string render_snapshot_change(const json& result) {
    const std::string would = result.value("dry_run", false) ? "would have " : "";
    if (result.contains("restored")) {
        return would + "restored " + result.value("restored", "") + "\n";
    }
    return would + "removed " + result.value("removed", "") + "\n";
}

Result<json> run_rebase(const config::Config& config, const Words& words) {
    auto site = open_site(config);
    if (!site) return site.error();
    json arguments = {{"name", words.name}, {"template", words.to}, {"dry_run", words.dry_run}};
    if (!words.keep && words.force) {
        return Error{ErrorCode::usage, "--force says what wins in a merge; it needs --keep"};
    }
    if (!words.keep) return ask(*site, "rebase", arguments);
    arguments["keep"] = true;
    arguments["force"] = words.force;
    if (site->daemon) return site->daemon->call("rebase", arguments);
    auto job = site->offline->operations->begin_rebase(arguments);
    if (!job) return job.error();
    return job->run({});
}

std::string render_rebase(const json& result) {
    const bool dry_run = result.value("dry_run", false);
    std::string said = (dry_run ? "would have put " : "put ") + result.value("name", "") + " on " +
                       result.value("template", "") + "\n";
    if (!result.contains("kept_bytes")) return said;
    constexpr std::size_t shown_max = 20;
    said += "kept " + std::to_string(result.value("kept_bytes", std::uint64_t{0})) +
            " bytes that it wrote, " +
            std::to_string(result.value("conflict_bytes", std::uint64_t{0})) +
            " of them in conflict\n";
    const json& conflicts = result.at("conflicts");
    for (std::size_t i = 0; i < conflicts.size() && i < shown_max; ++i) {
        said += "  at byte " + std::to_string(conflicts[i].value("offset", std::uint64_t{0})) +
                ": " + std::to_string(conflicts[i].value("length", std::uint64_t{0})) + "\n";
    }
    if (conflicts.size() > shown_max) said += "  and more; see --json\n";
    const std::string unclean = result.value("unclean", "");
    return unclean.empty() ? said : said + "not shut down: " + unclean + "\n";
}

void add_snapshot(CLI::App& app, Invocation& invocation, Words& words) {
    CLI::App* group = add_command(
        app, invocation, "snapshot", "keep what an instance holds now, in constant time",
        "Examples:\n  cowtgt snapshot web01 before-upgrade\n  cowtgt snapshot ls web01\n"
        "  cowtgt snapshot restore web01@before-upgrade\n  cowtgt clone web01@before-upgrade "
        "web02\n\n"
        "It may be in use: its initiators notice a pause at most.",
        asking("snapshot",
               [&words] {
                   json arguments = {{"name", words.name}};
                   if (!words.label.empty()) arguments["label"] = words.label;
                   return arguments;
               }),
        [](const json& result) { return "made " + result.value("ref", "") + "\n"; });
    group->require_subcommand(0, 1);
    CLI::App* list = add_command(*group, invocation, "ls", "list the snapshots of an instance", "",
                                 asking("snapshot ls",
                                        [&words] {
                                            return json{{"name", words.name}};
                                        }),
                                 render_snapshots);
    CLI::App* remove =
        add_command(*group, invocation, "rm", "forget a snapshot",
                    "Refused while instances that were cloned from it are there.",
                    asking("snapshot rm", [&words] { return snapshot_arguments(words); }),
                    render_snapshot_change);
    CLI::App* restore =
        add_command(*group, invocation, "restore", "put an instance back to what it was",
                    "What was written since is lost, unless another snapshot has it.",
                    asking("snapshot restore", [&words] { return snapshot_arguments(words); }),
                    render_snapshot_change);
    for (CLI::App* command : {list, remove, restore, group}) {
        CLI::Option* name = command->add_option("name", words.name, "instance, or NAME@LABEL");
        name->type_name("NAME");
        if (command != group) name->required();
        if (command == list) continue;
        command->add_option("label", words.label, "of the snapshot")->type_name("LABEL");
        if (command != group) {
            command->add_flag("-n,--dry-run", words.dry_run, "only say what would happen");
        }
    }
}

}  // namespace

void add_layers(CLI::App& app, Invocation& invocation) {
    Words& words = invocation.words<Words>();
    add_snapshot(app, invocation, words);
    CLI::App* resize = add_command(
        app, invocation, "resize", "make the disk of an instance larger, also while it is used",
        "Example:\n  cowtgt resize web01 80G",
        asking("resize",
               [&words] {
                   return json{{"name", words.name}, {"size", words.size}};
               }),
        render_instance);
    resize->add_option("name", words.name, "name of the instance")->required()->type_name("NAME");
    resize->add_option("size", words.size, "of the disk")->required()->type_name("SIZE");
    CLI::App* rebase = add_command(
        app, invocation, "rebase", "put an instance on another version of its template, or another",
        "Example:\n  cowtgt rebase web01 debian12@4\n\n"
        "Everything written to it is lost; it keeps its name, MAC and the seed of its identity.\n"
        "With --keep what it wrote stays, merged by blocks of 4 KiB: -n --keep lists the blocks\n"
        "that both it and the other version changed, which are refused without --force. Blocks\n"
        "are not files: a file system is merged well only where one side left it alone. The\n"
        "instance must be shut down, and is offline meanwhile.",
        [&words](const config::Config& config) { return run_rebase(config, words); },
        render_rebase);
    rebase->add_flag("--keep", words.keep, "what was written since, by blocks");
    rebase->add_flag("--force", words.force,
                     "with --keep: where both changed, the instance's blocks win");
    rebase->add_option("name", words.name, "name of the instance")->required()->type_name("NAME");
    rebase->add_option("template", words.to, "NAME, NAME@VERSION or NAME@TAG")
        ->required()
        ->type_name("TEMPLATE");
    rebase->add_flag("-n,--dry-run", words.dry_run, "only say what would happen");
    CLI::App* commit = add_command(
        app, invocation, "commit", "make an instance's disk the next version of a template",
        "Example:\n  cowtgt commit web01 debian12\n\n"
        "Nothing is copied. A file system whose journal was not replayed, as that of a running\n"
        "machine, keeps its UUID in the clones.",
        asking("commit",
               [&words] {
                   return json{{"name", words.name},
                               {"template", words.to},
                               {"require_clean", words.require_clean}};
               }),
        render_template);
    commit->add_option("name", words.name, "name of the instance")->required()->type_name("NAME");
    commit->add_option("template", words.to, "name of the template")
        ->required()
        ->type_name("TEMPLATE");
    commit->add_flag("--require-clean", words.require_clean,
                     "refuse if a file system would keep its UUID in clones");
}

}  // namespace cowtgt::tools
