#include "tools/cowtgt_command.h"

#include <algorithm>

#include "tools/cowtgt_images.h"
#include "tools/cowtgt_render.h"
#include "tools/render_boot.h"

namespace cowtgt::tools {

using nlohmann::json;

namespace {

struct Words {
    std::string source, label;
    ImportWords import;
    bool dry_run = false;
    std::string mode, initramfs;
    std::vector<std::string> settings;  ///< NAME=VALUE
    boot::CaptureOptions boot;
};

Result<json> run_import(const config::Config& config, Words& words) {
    if (!words.mode.empty()) {
        auto mode = boot::parse_boot_mode(words.mode);
        if (!mode) return mode.error();
        words.boot.mode = *mode;
    }
    if (!words.initramfs.empty()) {
        auto dialect = boot::parse_dialect(words.initramfs);
        if (!dialect) return dialect.error();
        words.boot.dialect = *dialect;
    }
    return import_image(config, words.import, words.boot);
}

/// {"mode": "disk"}; a word without "=" gets an empty value.
json settings_of(const std::vector<std::string>& words) {
    json settings = json::object();
    for (const std::string& word : words) {
        const std::size_t equals = std::min(word.find('='), word.size());
        settings[word.substr(0, equals)] = word.substr(std::min(equals + 1, word.size()));
    }
    return settings;
}

int has_failure(const json& check) {
    const json& findings = check.at("findings");
    return std::any_of(findings.begin(), findings.end(),
                       [](const json& finding) { return finding.at("severity") == "failure"; });
}

/// What machines of the template boot with, where that is not found out or not wanted.
void add_boot_options(CLI::App& import, Words& words) {
    import
        .add_option("--kernel-version", words.boot.kernel_version,
                    "which kernel of the image machines boot (usual: the newest)")
        ->type_name("VERSION");
    import
        .add_option("--kernel", words.boot.kernel,
                    "kernel of an image that cannot be looked into (not ext2, ext3 or ext4)")
        ->type_name("FILE");
    import.add_option("--initrd", words.boot.initrd, "its initrd")->type_name("FILE");
    import
        .add_option("--mode", words.mode,
                    "kernel: by HTTP (usual where there is one); disk: the image's boot loader")
        ->type_name("kernel|disk");
    import.add_option("--initramfs", words.initramfs, "what is in the initrd, if it is not seen")
        ->type_name("dracut|debian|ibft");
    import
        .add_option("--words", words.boot.extra_words,
                    "more for the kernel's command line, such as \"quiet console=ttyS0\"")
        ->type_name("WORDS");
}

void add_import(CLI::App& group, Invocation& invocation, Words& words) {
    CLI::App* import = add_command(
        group, invocation, "import", "make an image the next version of a template",
        "Examples:\n  cowtgt template import debian-12.qcow2 --name debian12\n"
        "  cowtgt template import https://example.org/debian-12.raw.xz --name debian12\n\n"
        "Raw images are taken as they are, qcow2, vmdk and vhdx go through qemu-img. Any of them\n"
        "may be packed with gzip, xz or zstd, and come from a disk, a pipe or a web server.",
        [&words](const config::Config& config) { return run_import(config, words); },
        render_import);
    import
        ->add_option("image", words.import.image,
                     "file, disk, http(s) URL, or - for standard input")
        ->required()
        ->type_name("IMAGE");
    import->add_option("--name", words.import.name, "name of the template")
        ->required()
        ->type_name("NAME");
    import->add_option("--sha256", words.import.sha256, "that the image must have, as it comes")
        ->type_name("HEX");
    import->add_option("--note", words.import.note, "a line for people, shown with the template")
        ->type_name("TEXT");
    add_boot_options(*import, words);
}

void add_template_name(CLI::App& command, Words& words) {
    command.add_option("template", words.source, "NAME, NAME@VERSION or NAME@TAG")
        ->required()
        ->type_name("TEMPLATE");
}

/// What is about the boots of its machines.
void add_boot(CLI::App& group, Invocation& invocation, Words& words) {
    CLI::App* check = add_command(
        group, invocation, "check", "what clones of a template would share, or could not boot with",
        "Example:\n  cowtgt template check debian12\n\n"
        "Each finding says what it breaks and how to mend it. Ends with 1 if one is a failure.",
        [&invocation, &words](const config::Config& config) {
            invocation.status = has_failure;
            return check_boot(config, words.source);
        },
        render_check);
    CLI::App* set = add_command(
        group, invocation, "set", "change how the machines of a template boot",
        "Settings:\n  mode=kernel|disk                  by HTTP, or by the disk's own boot loader\n"
        "  initramfs=dracut|debian|ibft      what is in the initrd\n"
        "  words=WORDS                       more for the kernel's command line\n"
        "  efi=PATH|none                     what UEFI machines start from the disk when it has "
        "no\n"
        "                                    \\EFI\\BOOT\\BOOTX64.EFI\n"
        "\nExample:\n  cowtgt template set debian12 words=\"quiet console=ttyS0\"\n\n"
        "It counts from the next boot on.",
        asking(
            "template set",
            [&words] {
                return json{{"template", words.source}, {"settings", settings_of(words.settings)}};
            }),
        render_template_boot);
    for (CLI::App* command : {check, set})
        add_template_name(*command, words);
    set->add_option("setting", words.settings, "what to change")
        ->required()
        ->type_name("SETTING=VALUE");
}

}  // namespace

void add_templates(CLI::App& app, Invocation& invocation) {
    Words& words = invocation.words<Words>();
    CLI::App* group = app.add_subcommand("template", "import and look after templates");
    group->require_subcommand(1);
    group->fallthrough();
    group->footer("Each has help of its own: cowtgt template import --help");
    const auto ref_argument = [&words] { return json{{"template", words.source}}; };
    add_import(*group, invocation, words);
    add_command(*group, invocation, "ls", "list all versions of all templates", "",
                asking("template ls", [] { return json::object(); }), render_templates);
    CLI::App* show =
        add_command(*group, invocation, "show", "what is on a template's disk, and who uses it",
                    "Example:\n  cowtgt template show debian12@3",
                    asking("template show", ref_argument), render_template);
    CLI::App* remove =
        add_command(*group, invocation, "rm", "remove a template that nobody uses",
                    "Without @VERSION all versions are removed.",
                    asking("template rm",
                           [&words] {
                               return json{{"template", words.source}, {"dry_run", words.dry_run}};
                           }),
                    render_removed);
    remove->add_flag("-n,--dry-run", words.dry_run, "only say what would happen");
    CLI::App* tag = add_command(
        *group, invocation, "tag", "make a tag name a version, whatever it named before",
        "Example:\n  cowtgt template tag debian12@3 stable\n\n"
        "Clones that name no version are made of the one tagged stable.",
        asking("template tag",
               [&words] {
                   return json{{"template", words.source}, {"tag", words.label}};
               }),
        render_template);
    CLI::App* note =
        add_command(*group, invocation, "note", "write a line for people beside a version",
                    "Example:\n  cowtgt template note debian12@3 \"with the new kernel\"\n\n"
                    "Without a text the note is removed.",
                    asking("template note",
                           [&words] {
                               return json{{"template", words.source}, {"note", words.label}};
                           }),
                    render_template);
    for (CLI::App* command : {show, remove, tag, note})
        add_template_name(*command, words);
    note->add_option("text", words.label, "one line")->type_name("TEXT");
    tag->add_option("tag", words.label, "a word such as stable")->required()->type_name("TAG");
    add_boot(*group, invocation, words);
}

}  // namespace cowtgt::tools
