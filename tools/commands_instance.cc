#include "tools/cowtgt_command.h"

#include <algorithm>

#include "tools/cowtgt_chap.h"
#include "tools/cowtgt_render.h"
#include "tools/cowtgt_site.h"

namespace cowtgt::tools {

using nlohmann::json;

namespace {

struct Words {
    std::string name, to, source, file, mac, size;
    std::vector<std::string> settings;  ///< NAME=VALUE
    std::string identity, identity_seed, rewrite_references;
    std::vector<std::string> labels, uuids;  ///< FS=VALUE
    bool grow = false;
    bool dry_run = false;
    bool ephemeral = false;
};

json clone_arguments(const Words& words) {
    json arguments = {{"template", words.source}, {"name", words.name}};
    if (!words.mac.empty()) arguments["mac"] = words.mac;
    if (!words.size.empty()) arguments["size"] = words.size;
    if (!words.identity.empty()) arguments["identity"] = words.identity;
    if (!words.identity_seed.empty()) arguments["identity_seed"] = words.identity_seed;
    if (!words.labels.empty()) arguments["labels"] = words.labels;
    if (!words.uuids.empty()) arguments["uuids"] = words.uuids;
    if (words.grow) arguments["grow"] = "yes";
    if (!words.rewrite_references.empty()) {
        arguments["rewrite_references"] = words.rewrite_references;
    }
    if (words.ephemeral) arguments["ephemeral"] = true;
    return arguments;
}

void add_clone(CLI::App& app, Invocation& invocation, Words& words) {
    CLI::App* clone = add_command(
        app, invocation, "clone", "make an instance of a template; it is served at once",
        "Example:\n  cowtgt clone debian12@3 web01 --mac 52:54:00:12:34:01 --size 40G\n\n"
        "Without a version the one tagged stable is taken, else the newest. With a MAC only the\n"
        "initiator PREFIX:init:NAME may log in, without one any may.",
        asking("clone", [&words] { return clone_arguments(words); }), render_clone);
    clone->add_option("template", words.source, "NAME, NAME@VERSION or NAME@TAG")
        ->required()
        ->type_name("TEMPLATE");
    clone->add_option("name", words.name, "name of the instance: a-z, 0-9 and -")
        ->required()
        ->type_name("NAME");
    clone->add_option("--mac", words.mac, "hardware address of the machine")->type_name("MAC");
    clone->add_option("--size", words.size, "of the disk, if larger than the template's")
        ->type_name("SIZE");
    clone->add_flag("--ephemeral", words.ephemeral, "back to the template at each boot");
    clone->add_flag("--grow", words.grow, "the last partition grows with the disk");
    clone
        ->add_option("--identity", words.identity,
                     "auto: new UUIDs where it is safe (usual); keep: the template's; require: all "
                     "new, or no clone")
        ->type_name("auto|keep|require");
    clone
        ->add_option("--rewrite-references", words.rewrite_references,
                     "files that name a new UUID. yes: rewritten where it is safe, else the UUID "
                     "is kept (usual); no: such UUIDs are kept; ignore: files stay, UUIDs change")
        ->type_name("yes|no|ignore");
    clone->add_option("--identity-seed", words.identity_seed, "the same seed, the same new UUIDs")
        ->type_name("TEXT");
    clone
        ->add_option("--label", words.labels,
                     "of the file system with the label or at the place FS; may be given again")
        ->type_name("FS=LABEL")
        ->allow_extra_args(false);
    clone->add_option("--uuid", words.uuids, "its UUID; may be given again")
        ->type_name("FS=UUID")
        ->allow_extra_args(false);
}

/// {"read-only": "yes"}; a word without "=" gets an empty value, which no setting takes.
json set_arguments(const Words& words) {
    json settings = json::object();
    for (const std::string& word : words.settings) {
        const std::size_t equals = std::min(word.find('='), word.size());
        settings[word.substr(0, equals)] = word.substr(std::min(equals + 1, word.size()));
    }
    return {{"name", words.name}, {"settings", std::move(settings)}};
}

/// What only CHAP was set about has no disk to show.
std::string render_set(const json& result) {
    if (result.contains("target")) return render_instance(result);
    const std::string name = result.value("name", "");
    const json user = result.value("chap", json());
    if (user.is_null()) return name + " asks nobody to authenticate\n";
    return "initiators of " + name + " authenticate as " + user.get<std::string>() + "\n";
}

Result<json> run_set(const config::Config& config, Words& words) {
    ChapWords chap = take_chap_words(words.name, words.settings);
    chap.secret_file = words.file;
    Result<json> result = json();
    if (!chap.is_empty() || !words.file.empty()) result = set_chap(config, chap);
    if (!result || words.settings.empty()) return result;
    auto site = open_site(config);
    if (!site) return site.error();
    return ask(*site, "set", set_arguments(words));
}

void add_set(CLI::App& app, Invocation& invocation, Words& words) {
    CLI::App* set = add_command(
        app, invocation, "set", "change what initiators see of an instance's disk",
        "Settings:\n  physical-block=512|4096  bytes, as READ CAPACITY(16) says (usual: 4096)\n"
        "  removable=yes|no         a medium that can be ejected (usual: no)\n"
        "  read-only=yes|no         writes are refused (usual: no)\n"
        "  write-cache=on|off       off: every write is durable when it is answered (usual: on)\n"
        "  ephemeral=yes|no         back to the template at each boot (usual: no)\n"
        "  quota=SIZE|none          what its layers may take on this host; writes of new blocks "
        "fail\n"
        "                           beyond it (usual: none)\n"
        "  from=RANGE,RANGE|any     addresses that may log in (usual: any)\n"
        "  chap=USER|none           who an initiator must prove to be; the secret is one line on\n"
        "                           standard input (usual: none)\n"
        "  mutual=USER              with chap=: who the target proves to be; a second line\n"
        "\nExample:\n  cowtgt set web01 read-only=yes\n\n"
        "It counts at once, also for initiators that are logged in.",
        [&words](const config::Config& config) { return run_set(config, words); }, render_set);
    set->add_option("--secret-file", words.file, "where the secrets are read instead")
        ->type_name("FILE");
    set->add_option("name", words.name, "name of the instance")->required()->type_name("NAME");
    set->add_option("setting", words.settings, "what to change")
        ->required()
        ->type_name("SETTING=VALUE");
}

}  // namespace

void add_instances(CLI::App& app, Invocation& invocation) {
    Words& words = invocation.words<Words>();
    const auto name_argument = [&words] { return json{{"name", words.name}}; };
    const auto doomed_argument = [&words] {
        return json{{"name", words.name}, {"dry_run", words.dry_run}};
    };
    const auto nothing = [] { return json::object(); };
    add_clone(app, invocation, words);
    add_set(app, invocation, words);
    add_command(app, invocation, "ls", "list the instances", "", asking("ls", nothing),
                render_instances);
    CLI::App* show = add_command(app, invocation, "show", "all about one instance",
                                 "Example:\n  cowtgt --json show web01",
                                 asking("show", name_argument), render_instance);
    CLI::App* remove =
        add_command(app, invocation, "rm", "remove an instance and all its data",
                    "Refused while an initiator is logged in, or instances are there\n"
                    "that were cloned from its snapshots.",
                    asking("rm", doomed_argument), render_removed);
    CLI::App* rename = add_command(
        app, invocation, "rename", "give an instance, and so its target, another name",
        "Example:\n  cowtgt rename web01 web02\n\nThe content and the identity on the disk stay.",
        asking("rename",
               [&words] {
                   return json{{"name", words.name}, {"to", words.to}};
               }),
        [&words](const json& result) {
            return "renamed " + words.name + " to " + words.to + ", served as " +
                   result.value("target", "") + "\n";
        });
    CLI::App* reset = add_command(
        app, invocation, "reset", "put an instance back to what its template is",
        "Everything written to it is lost; its identity on the disk stays.",
        asking("reset", doomed_argument), [](const json& result) {
            const bool dry_run = result.value("dry_run", false);
            return (dry_run ? "would have reset " : "reset ") + result.value("name", "") + " to " +
                   result.value("template", "") + "\n";
        });
    for (CLI::App* command : {remove, reset}) {
        command->add_flag("-n,--dry-run", words.dry_run, "only say what would happen");
    }
    for (CLI::App* command : {show, remove, rename, reset}) {
        command->add_option("name", words.name, "name of the instance")
            ->required()
            ->type_name("NAME");
    }
    rename->add_option("to", words.to, "its new name")->required()->type_name("NEW");
    add_command(app, invocation, "status", "what there is, and whether cowtgtd runs", "",
                asking("status", nothing), render_status);
}

}  // namespace cowtgt::tools
