// The command: words in, one operation, its result as text or JSON out.

#include <CLI/CLI.hpp>
#include <algorithm>
#include <csignal>
#include <cstdio>
#include <functional>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "target/config/config.h"
#include "target/control/protocol.h"
#include "tools/cowtgt_chap.h"
#include "tools/cowtgt_images.h"
#include "tools/cowtgt_init.h"
#include "tools/cowtgt_render.h"
#include "tools/cowtgt_site.h"
#include "tools/exit_codes.h"

namespace cowtgt::tools {
namespace {

using nlohmann::json;

/// What the words on the command line come to.
struct Invocation {
    std::string config_file{config::default_config_file};
    bool as_json = false;
    std::function<Result<json>()> run;
    std::function<std::string(const json&)> render;
};

/// The words of one subcommand; alive until the program ends.
struct Words {
    std::string name, to, source, image, file, mac, size, label;
    bool dry_run = false;
    bool require_clean = false;
    std::vector<std::string> settings;  ///< NAME=VALUE
    std::string identity, identity_seed;
    std::vector<std::string> labels, uuids;  ///< FS=VALUE
    bool grow = false;
    InitOptions init;
};

/// Adds a subcommand whose work starts with reading the configuration.
CLI::App* add_command(CLI::App& parent, Invocation& invocation, const std::string& name,
                      const std::string& description, const std::string& footer,
                      std::function<Result<json>(const config::Config&)> run,
                      std::function<std::string(const json&)> render) {
    CLI::App* command = parent.add_subcommand(name, description);
    command->footer(footer);
    command->fallthrough();
    command->callback([&invocation, command, run = std::move(run), render = std::move(render)] {
        // The callback of a group runs after that of its subcommand, which is the one that counts.
        if (!command->get_subcommands().empty()) return;
        invocation.run = [&invocation, run]() -> Result<json> {
            auto config = config::load_config(invocation.config_file);
            if (!config) return config.error();
            return run(*config);
        };
        invocation.render = render;
    });
    return command;
}

/// An operation that the daemon or the store itself answers.
std::function<Result<json>(const config::Config&)> asking(std::string operation,
                                                          std::function<json()> arguments) {
    return [operation = std::move(operation),
            arguments = std::move(arguments)](const config::Config& config) -> Result<json> {
        auto site = open_site(config);
        if (!site) return site.error();
        return ask(*site, operation, arguments());
    };
}

std::string render_init(const json& result) {
    return "wrote " + result.value("config", "") + " and " + result.value("machines", "") +
           "\nmade the store " + result.value("store", "") +
           "\nnext: cowtgt template import IMAGE --name NAME, and start cowtgtd\n";
}

std::string render_removed(const json& result) {
    const json removed = result.value("removed", json());
    if (removed.is_string()) return "removed " + removed.get<std::string>() + "\n";
    std::string text;
    for (const json& ref : removed)
        text += "removed " + ref.get<std::string>() + "\n";
    return text;
}

std::string render_export(const json& result) {
    return "exported " + result.value("name", "") + " to " + result.value("file", "") + "\n";
}

void add_init(CLI::App& app, Invocation& invocation, Words& words) {
    CLI::App* init = app.add_subcommand("init", "make a configuration file and an empty store");
    init->fallthrough();
    init->footer(
        "Example:\n  cowtgt init --iqn iqn.2026-01.lan.example --listen 10.0.0.1:3260\n\n"
        "Paths may be relative. Whether the addresses exist on this host is not asked.");
    words.init.store = config::default_store;
    init->add_option("--iqn", words.init.iqn_prefix, "what every iSCSI name begins with")
        ->required()
        ->type_name("PREFIX");
    init->add_option("--store", words.init.store, "folder of templates and instances")
        ->type_name("DIR")
        ->capture_default_str();
    init->add_option("--listen", words.init.listen,
                     "where iSCSI is served; may be given again (default [::]:3260)")
        ->type_name("ADDR:PORT")
        ->allow_extra_args(false);
    init->add_option("--http", words.init.http, "where boot scripts are served (default: nowhere)")
        ->type_name("ADDR:PORT");
    init->callback([&invocation, &words] {
        invocation.run = [&invocation, &words] {
            words.init.config_file = invocation.config_file;
            return init_site(words.init);
        };
        invocation.render = render_init;
    });
}

void add_templates(CLI::App& app, Invocation& invocation, Words& words) {
    CLI::App* group = app.add_subcommand("template", "import and look after templates");
    group->require_subcommand(1);
    group->fallthrough();
    group->footer("Each has help of its own: cowtgt template import --help");
    const auto ref_argument = [&words] { return json{{"template", words.source}}; };

    CLI::App* import = add_command(
        *group, invocation, "import", "make an image the next version of a template",
        "Examples:\n  cowtgt template import debian-12.qcow2 --name debian12\n"
        "  xzcat disk.raw.xz | cowtgt template import - --name debian12\n\n"
        "Raw images are taken as they are, qcow2, vmdk and vhdx go through qemu-img.",
        [&words](const config::Config& config) {
            return import_image(config, words.image, words.name);
        },
        render_import);
    import->add_option("image", words.image, "file, or - for standard input (raw)")
        ->required()
        ->type_name("IMAGE");
    import->add_option("--name", words.name, "name of the template")->required()->type_name("NAME");

    add_command(*group, invocation, "ls", "list all versions of all templates", "",
                asking("template ls", [] { return json::object(); }), render_templates);
    CLI::App* show =
        add_command(*group, invocation, "show", "what is on a template's disk, and who uses it",
                    "Example:\n  cowtgt template show debian12@3",
                    asking("template show", ref_argument), render_template);
    CLI::App* remove = add_command(*group, invocation, "rm", "remove a template that nobody uses",
                                   "Without @VERSION all versions are removed.",
                                   asking("template rm", ref_argument), render_removed);
    CLI::App* tag = add_command(
        *group, invocation, "tag", "make a tag name a version, whatever it named before",
        "Example:\n  cowtgt template tag debian12@3 stable\n\n"
        "Clones that name no version are made of the one tagged stable.",
        asking("template tag",
               [&words] {
                   return json{{"template", words.source}, {"tag", words.label}};
               }),
        render_template);
    for (CLI::App* command : {show, remove, tag}) {
        command->add_option("template", words.source, "NAME, NAME@VERSION or NAME@TAG")
            ->required()
            ->type_name("TEMPLATE");
    }
    tag->add_option("tag", words.label, "a word such as stable")->required()->type_name("TAG");
}

json clone_arguments(const Words& words) {
    json arguments = {{"template", words.source}, {"name", words.name}};
    if (!words.mac.empty()) arguments["mac"] = words.mac;
    if (!words.size.empty()) arguments["size"] = words.size;
    if (!words.identity.empty()) arguments["identity"] = words.identity;
    if (!words.identity_seed.empty()) arguments["identity_seed"] = words.identity_seed;
    if (!words.labels.empty()) arguments["labels"] = words.labels;
    if (!words.uuids.empty()) arguments["uuids"] = words.uuids;
    if (words.grow) arguments["grow"] = "yes";
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
    clone->add_flag("--grow", words.grow, "the last partition grows with the disk");
    clone
        ->add_option("--identity", words.identity,
                     "auto: new UUIDs where it is safe (usual); keep: the template's; require: all "
                     "new, or no clone")
        ->type_name("auto|keep|require");
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

void add_instances(CLI::App& app, Invocation& invocation, Words& words) {
    const auto name_argument = [&words] { return json{{"name", words.name}}; };
    const auto nothing = [] { return json::object(); };
    add_clone(app, invocation, words);
    add_set(app, invocation, words);
    add_command(app, invocation, "ls", "list the instances", "", asking("ls", nothing),
                render_instances);
    CLI::App* show = add_command(app, invocation, "show", "all about one instance",
                                 "Example:\n  cowtgt --json show web01",
                                 asking("show", name_argument), render_instance);
    CLI::App* remove = add_command(app, invocation, "rm", "remove an instance and all its data",
                                   "Refused while an initiator is logged in.",
                                   asking("rm", name_argument), render_removed);
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
    CLI::App* reset =
        add_command(app, invocation, "reset", "put an instance back to what its template is",
                    "Everything written to it is lost; its identity on the disk stays.",
                    asking("reset", name_argument), [](const json& result) {
                        return "reset " + result.value("name", "") + " to " +
                               result.value("template", "") + "\n";
                    });
    for (CLI::App* command : {show, remove, rename, reset}) {
        command->add_option("name", words.name, "name of the instance")
            ->required()
            ->type_name("NAME");
    }
    rename->add_option("to", words.to, "its new name")->required()->type_name("NEW");
    add_command(app, invocation, "status", "what there is, and whether cowtgtd runs", "",
                asking("status", nothing), render_status);
}

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

void add_layers(CLI::App& app, Invocation& invocation, Words& words) {
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

void add_export(CLI::App& app, Invocation& invocation, Words& words) {
    CLI::App* group = app.add_subcommand("export", "write out what others can use");
    group->require_subcommand(1);
    group->fallthrough();
    group->footer("Example:\n  cowtgt export raw web01 web01.raw");
    CLI::App* raw = add_command(
        *group, invocation, "raw", "write the disk of an instance or a template as a raw image",
        "Examples:\n  cowtgt export raw web01 web01.raw\n"
        "  cowtgt export raw debian12@3 - | zstd > debian12.raw.zst\n\n"
        "A file becomes sparse. Sessions to the instance go on; what they write meanwhile may or\n"
        "may not be in the image.",
        [&words](const config::Config& config) {
            return export_raw(config, words.name, words.file);
        },
        render_export);
    raw->add_option("name", words.name, "instance, or template as NAME or NAME@VERSION")
        ->required()
        ->type_name("NAME|TEMPLATE");
    raw->add_option("file", words.file, "file or block device, or - for standard output")
        ->required()
        ->type_name("FILE");
}

/// Taken: a disk goes there, and nothing else may.
enum class StandardOutput { free, taken };

int finish(const Invocation& invocation, const Result<json>& result, StandardOutput output) {
    if (!result) {
        // One line, whatever the message has in it.
        std::string message = result.error().message;
        std::replace(message.begin(), message.end(), '\n', ' ');
        std::fprintf(stderr, "cowtgt: %s\n", message.c_str());
        if (invocation.as_json && output == StandardOutput::free) {
            std::fputs(control::encode_answer(result).c_str(), stdout);
        }
        return exit_code(result.error().code);
    }
    if (output == StandardOutput::taken) return 0;
    const std::string text =
        invocation.as_json ? control::json_text(*result, 2) + "\n" : invocation.render(*result);
    std::fputs(text.c_str(), stdout);
    if (std::fflush(stdout) != 0) {
        std::fputs("cowtgt: the result could not be written to standard output\n", stderr);
        return exit_code(ErrorCode::io);
    }
    return 0;
}

int run(int argc, char** argv) {
    CLI::App app(
        "cowtgt looks after templates and instances: disks cloned in an instant and served over "
        "iSCSI by cowtgtd.",
        "cowtgt");
    app.footer(
        "From nothing to a served disk:\n"
        "  cowtgt init --iqn iqn.2026-01.lan.example\n"
        "  cowtgt template import debian-12.qcow2 --name debian12\n"
        "  cowtgt clone debian12 web01\n"
        "  cowtgtd\n\n"
        "Exit codes: 0 ok, 1 failed, 2 usage, 4 not found, 5 refused (in use, exists).\n"
        "See cowtgt(1), cowtgt.toml(5), cowtgtd(8).");
    Invocation invocation;
    Words words;
    app.add_option("--config", invocation.config_file, "configuration file")
        ->type_name("FILE")
        ->capture_default_str();
    app.add_flag("--json", invocation.as_json, "print results as JSON");
    app.set_version_flag("--version", std::string("cowtgt ") + COWTGT_VERSION);
    app.require_subcommand(1);
    add_init(app, invocation, words);
    add_templates(app, invocation, words);
    add_instances(app, invocation, words);
    add_layers(app, invocation, words);
    add_export(app, invocation, words);
    try {
        app.parse(argc, argv);
    } catch (const CLI::Success& asked) {  // --help, --version
        return app.exit(asked);
    } catch (const CLI::ParseError& error) {
        std::fprintf(stderr, "cowtgt: %s; see cowtgt --help\n", error.what());
        return exit_usage;
    }
    const auto output = words.file == "-" ? StandardOutput::taken : StandardOutput::free;
    return finish(invocation, invocation.run(), output);
}

}  // namespace
}  // namespace cowtgt::tools

int main(int argc, char** argv) {
    // A reader of an export that goes away is an error like any other.
    std::signal(SIGPIPE, SIG_IGN);
    return cowtgt::tools::run(argc, argv);
}
