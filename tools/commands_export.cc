#include "tools/cowtgt_command.h"

#include <algorithm>

#include "tools/cowtgt_images.h"

namespace cowtgt::tools {

using nlohmann::json;

namespace {

struct Words {
    std::string name, file;
};

std::string render_export(const json& result) {
    return "exported " + result.value("name", "") + " to " + result.value("file", "") + "\n";
}

}  // namespace

void add_export(CLI::App& app, Invocation& invocation) {
    Words& words = invocation.words<Words>();
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
        [&invocation, &words](const config::Config& config) {
            invocation.standard_output_taken = words.file == "-";
            return export_disk(config, words.name, words.file, control::ExportFormat::raw);
        },
        render_export);
    CLI::App* qcow2 = add_command(
        *group, invocation, "qcow2", "write the disk of an instance or a template as a qcow2 image",
        "Example:\n  cowtgt export qcow2 web01 web01.qcow2\n\n"
        "It stands alone, without a backing file, and zeros take no space in it.",
        [&words](const config::Config& config) {
            return export_disk(config, words.name, words.file, control::ExportFormat::qcow2);
        },
        render_export);
    for (CLI::App* command : {raw, qcow2}) {
        command->add_option("name", words.name, "instance, or template as NAME or NAME@VERSION")
            ->required()
            ->type_name("NAME|TEMPLATE");
    }
    raw->add_option("file", words.file, "file or block device, or - for standard output")
        ->required()
        ->type_name("FILE");
    qcow2->add_option("file", words.file, "file")->required()->type_name("FILE");
}

}  // namespace cowtgt::tools
