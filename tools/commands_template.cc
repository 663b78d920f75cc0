#include "tools/cowtgt_command.h"

#include <algorithm>

#include "tools/cowtgt_images.h"
#include "tools/cowtgt_render.h"

namespace cowtgt::tools {

using nlohmann::json;

namespace {

struct Words {
    std::string source, label;
    ImportWords import;
    bool dry_run = false;
};

}  // namespace

void add_templates(CLI::App& app, Invocation& invocation) {
    Words& words = invocation.words<Words>();
    CLI::App* group = app.add_subcommand("template", "import and look after templates");
    group->require_subcommand(1);
    group->fallthrough();
    group->footer("Each has help of its own: cowtgt template import --help");
    const auto ref_argument = [&words] { return json{{"template", words.source}}; };

    CLI::App* import = add_command(
        *group, invocation, "import", "make an image the next version of a template",
        "Examples:\n  cowtgt template import debian-12.qcow2 --name debian12\n"
        "  cowtgt template import https://example.org/debian-12.raw.xz --name debian12\n\n"
        "Raw images are taken as they are, qcow2, vmdk and vhdx go through qemu-img. Any of them\n"
        "may be packed with gzip, xz or zstd, and come from a disk, a pipe or a web server.",
        [&words](const config::Config& config) { return import_image(config, words.import); },
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
    for (CLI::App* command : {show, remove, tag, note}) {
        command->add_option("template", words.source, "NAME, NAME@VERSION or NAME@TAG")
            ->required()
            ->type_name("TEMPLATE");
    }
    note->add_option("text", words.label, "one line")->type_name("TEXT");
    tag->add_option("tag", words.label, "a word such as stable")->required()->type_name("TAG");
}

}  // namespace cowtgt::tools
