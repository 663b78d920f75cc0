#include "tools/cowtgt_command.h"

#include <algorithm>
#include <array>

#include "tools/cowtgt_images.h"

namespace cowtgt::tools {

using nlohmann::json;

namespace {

struct Words {
    std::string name, file, address;
};

std::string render_export(const json& result) {
    return "exported " + result.value("name", "") + " to " + result.value("file", "") + "\n";
}

/// A kind of text for other programs, printed to standard output.
struct TextKind {
    const char* word;
    const char* description;
    bool needs_machine;
};
constexpr std::array text_kinds = {
    TextKind{"dnsmasq", "lines for dnsmasq: DHCP, names, and the way to the boot scripts", false},
    TextKind{"kea", "the same for Kea's DHCPv4 server", false},
    TextKind{"isc", "the same for ISC dhcpd", false},
    TextKind{"hosts", "lines for /etc/hosts", false},
    TextKind{"ethers", "lines for /etc/ethers", false},
    TextKind{"qemu", "the command that runs an instance in QEMU", true},
    TextKind{"libvirt", "the domain that runs an instance in libvirt", true},
};

void add_text(CLI::App& group, Invocation& invocation, Words& words, const TextKind& kind) {
    const std::string example = std::string("Example:\n  cowtgt export ") + kind.word +
                                (kind.needs_machine ? " web01" : " --address 10.0.0.1");
    CLI::App* command = add_command(group, invocation, kind.word, kind.description, example,
                                    asking("export text",
                                           [&words, &kind] {
                                               json arguments = {{"kind", kind.word}};
                                               if (!words.name.empty())
                                                   arguments["name"] = words.name;
                                               if (!words.address.empty())
                                                   arguments["address"] = words.address;
                                               return arguments;
                                           }),
                                    [](const json& result) { return result.value("text", ""); });
    command
        ->add_option("--address", words.address,
                     "by which machines reach this host, if http in cowtgt.toml does not say it")
        ->type_name("ADDRESS");
    if (!kind.needs_machine) return;
    command->add_option("name", words.name, "name of the instance")->required()->type_name("NAME");
}

}  // namespace

void add_export(CLI::App& app, Invocation& invocation) {
    Words& words = invocation.words<Words>();
    CLI::App* group = app.add_subcommand("export", "write out what others can use");
    group->require_subcommand(1);
    group->fallthrough();
    group->footer(
        "Examples:\n  cowtgt export raw web01 web01.raw\n"
        "  cowtgt export dnsmasq >/etc/dnsmasq.d/cowtgt.conf");
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
    for (const TextKind& kind : text_kinds)
        add_text(*group, invocation, words, kind);
    raw->add_option("file", words.file, "file or block device, or - for standard output")
        ->required()
        ->type_name("FILE");
    qcow2->add_option("file", words.file, "file")->required()->type_name("FILE");
}

}  // namespace cowtgt::tools
