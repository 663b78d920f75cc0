#include "boot-helper/core/scripts.h"

#include <algorithm>

#include "boot-helper/core/command_line.h"
#include "target/config/names.h"

namespace cowtgt::boot {

namespace {

constexpr std::size_t firmware_text_max = 64;
/// How long iPXE waits before it asks again: for somebody to mend what it shows, and for adopting.
constexpr std::string_view retry_seconds = "10";
constexpr std::string_view unknown_poll_seconds = "15";

/// Letters, digits and a few harmless characters; the rest is left out, so that nothing a client
/// sends can end a line or be expanded in a script.
std::string harmless(std::string_view text) {
    std::string kept;
    for (const char c : text.substr(0, firmware_text_max)) {
        const bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
        if (letter || (c >= '0' && c <= '9') || c == '-' || c == '.' || c == '_') kept += c;
    }
    return kept;
}

/// For a line of echo: nothing that iPXE expands or ends a command at.
std::string echo_text(std::string_view text) {
    std::string kept;
    for (const char c : text) {
        const bool special = c == '$' || c == '|' || c == '&' || c == '#' || c == ';' || c < 0x20;
        kept += special ? ' ' : c;
    }
    return kept;
}

std::string seed_url(const Machine& machine, const Reached& reached,
                     const config::Endpoint& portal) {
    if (!machine.seed) return {};
    // The machine asks from the address that its session has, so it must be told the same family.
    const config::Endpoint server{
        portal.ipv6 == reached.local.ipv6 ? reached.local.address : portal.address,
        reached.local.port, portal.ipv6};
    return "http://" + authority_of(server) + "/v1/seed/" + machine.name + "/";
}

CommandLineSite site_of(const Fleet& fleet, const Machine& machine, const Reached& reached,
                        const config::Endpoint& portal) {
    return {fleet.prefix, portal, seed_url(machine, reached, portal), DiskSource::explicitly,
            reached.local.ipv6 && portal.ipv6};
}

/// Ends a script: what is shown is seen, then the machine asks for its script again, for ever,
/// since a machine that is switched on before its server must boot in the end. If even that fails
/// the firmware goes on with its next boot device.
std::string retry_lines(const Machine& machine, std::string_view what) {
    return "echo cowtgt: " + machine.name + ": " + echo_text(what) + ", next try in " +
           std::string(retry_seconds) + " s\nsleep " + std::string(retry_seconds) +
           "\nchain --replace /v1/boot?mac=" + to_hyphen_string(*machine.mac) +
           "&platform=${platform}&arch=${buildarch} || exit 1\n";
}

std::string script_head(const Machine& machine) {
    return "#!ipxe\n# " + machine.name + " " + machine.template_ref + "\n";
}

std::string refusal_script(const Machine& machine, const std::string& why) {
    return script_head(machine) + "echo cowtgt: " + echo_text(why) + "\n" +
           retry_lines(machine, "no boot");
}

/// A setting by its bytes in hex: nothing in the value is taken for the script's own.
std::string hex_setting(std::string_view name, std::string_view value) {
    constexpr std::string_view digits = "0123456789abcdef";
    std::string line = "set " + std::string(name) + ":hex ";
    for (std::size_t i = 0; i < value.size(); ++i) {
        const auto byte = static_cast<unsigned char>(value[i]);
        if (i > 0) line += ':';
        line += digits[byte >> 4];
        line += digits[byte & 15];
    }
    return line + "\n";
}

/// iPXE authenticates with these, and its iBFT hands them on.
std::string chap_lines(const Machine& machine) {
    if (!machine.chap || !machine.chap->secrets) return {};
    const config::ChapSecrets& secrets = *machine.chap->secrets;
    std::string lines =
        hex_setting("username", secrets.user) + hex_setting("password", secrets.secret);
    if (!secrets.mutual_user.empty()) {
        lines += hex_setting("reverse-username", secrets.mutual_user) +
                 hex_setting("reverse-password", secrets.mutual_secret);
    }
    return lines;
}

std::string identity_lines(const Fleet& fleet, const Machine& machine) {
    return "set hostname " + machine.name + "\nset initiator-iqn " +
           config::initiator_name(fleet.prefix, machine.name) + "\n" + chap_lines(machine);
}

std::string disk_script(const Fleet& fleet, const Machine& machine, const Firmware& firmware,
                        const config::Endpoint& portal) {
    std::string script = script_head(machine) + identity_lines(fleet, machine);
    script += "sanboot --drive 0x80 ";
    if (firmware.is_efi() && !machine.efi_program.empty()) {
        script += "--filename " + machine.efi_program + " ";
    }
    script += san_uri(fleet.prefix, machine, portal) + " ||\n";
    return script + retry_lines(machine, "the disk does not boot");
}

Result<std::string> kernel_script(const Fleet& fleet, const Machine& machine,
                                  const Reached& reached, const config::Endpoint& portal) {
    CommandLineSite site = site_of(fleet, machine, reached, portal);
    // iPXE's iBFT carries IPv4 only.
    site.source = portal.ipv6 ? DiskSource::explicitly : DiskSource::ibft;
    const Result<std::string> line = command_line(machine, site);
    if (!line) return line.error();
    if (!machine.kernel || !machine.initrd) {
        return Error{ErrorCode::not_found,
                     machine.name + ": no kernel was taken from " + machine.template_ref +
                         "; import it with --kernel and --initrd, or set boot=disk"};
    }
    std::string script = script_head(machine) + identity_lines(fleet, machine);
    if (site.source == DiskSource::ibft) {
        script +=
            "sanhook --drive 0x80 " + san_uri(fleet.prefix, machine, portal) + " || goto failed\n";
    }
    // initrd= is what the kernel's EFI stub looks for; BIOS kernels ignore it.
    script += "kernel " + blob_path(*machine.kernel, machine) + " initrd=initrd " + *line +
              " || goto failed\n";
    script += "initrd --name initrd " + blob_path(*machine.initrd, machine) +
              " || goto failed\nboot || goto failed\n:failed\nimgfree ||\n";
    if (site.source == DiskSource::ibft) script += "sanunhook --drive 0x80 ||\n";
    return script + retry_lines(machine, "the boot failed");
}

/// GRUB takes a word in single quotes as it is.
std::string grub_quoted(std::string_view text) {
    std::string quoted = "'";
    for (const char c : text) {
        if (c == '\'') {
            quoted += "'\\''";
        } else {
            quoted += c;
        }
    }
    return quoted + "'";
}

std::string grub_quoted_words(std::string_view words) {
    std::string quoted;
    while (!words.empty()) {
        const std::string_view word = words.substr(0, words.find(' '));
        words.remove_prefix(std::min(word.size() + 1, words.size()));
        if (!word.empty()) quoted += " " + grub_quoted(word);
    }
    return quoted;
}

std::string grub_device(const Reached& reached) {
    return "(http," + authority_of(reached.local) + ")";
}

std::string grub_retry(const config::MacAddress& mac, const Reached& reached,
                       std::string_view seconds) {
    return "sleep " + std::string(seconds) + "\nconfigfile " + grub_device(reached) +
           "/v1/grub?mac=" + to_hyphen_string(mac) + "\n";
}

}  // namespace

Firmware firmware_of(const Target& target) {
    return {harmless(target.query_value("uuid")), harmless(target.query_value("arch")),
            harmless(target.query_value("platform")), harmless(target.query_value("serial"))};
}

std::string chain_script() {
    // ${netX} is the card that was used last, which is the one this script came through. When the
    // script was a file (autoexec.ipxe on a stick) the network is not up yet.
    return "#!ipxe\n"
           "isset ${netX/ip} || isset ${netX/ip6} || dhcp ||\n"
           "set tries:int32 0\n"
           ":again\n"
           "chain --replace /v1/boot?mac=${netX/mac:hexhyp}&uuid=${uuid}&arch=${buildarch}"
           "&platform=${platform}&serial=${serial:uristring} ||\n"
           "inc tries\n"
           "iseq ${tries} 30 && exit 1 ||\n"
           "sleep 2\n"
           "goto again\n";
}

std::string machine_script(const Fleet& fleet, const Machine& machine, const Reached& reached,
                           const Firmware& firmware) {
    const Result<config::Endpoint> portal = choose_portal(fleet, reached, machine.network);
    if (!portal) return refusal_script(machine, portal.error().message);
    if (const auto fine = check_chap(machine); !fine) {
        return refusal_script(machine, fine.error().message);
    }
    if (machine.mode == BootMode::disk) return disk_script(fleet, machine, firmware, *portal);
    const Result<std::string> script = kernel_script(fleet, machine, reached, *portal);
    return script ? *script : refusal_script(machine, script.error().message);
}

std::string unknown_script(const config::MacAddress& mac, const Firmware& firmware) {
    std::string script =
        "#!ipxe\n"
        "echo\n"
        "echo cowtgt does not know this machine yet.\n"
        "echo   MAC     " +
        to_string(mac) + "\n";
    if (!firmware.uuid.empty()) script += "echo   UUID    " + firmware.uuid + "\n";
    if (!firmware.serial.empty()) script += "echo   serial  " + firmware.serial + "\n";
    script +=
        "echo To take it in, type on the server:\n"
        "echo   cowtgt adopt " +
        to_string(mac) +
        " NAME TEMPLATE\n"
        ":again\n"
        "sleep " +
        std::string(unknown_poll_seconds) +
        "\n"
        "chain --replace /v1/boot?mac=" +
        to_hyphen_string(mac);
    if (!firmware.uuid.empty()) script += "&uuid=" + firmware.uuid;
    if (!firmware.serial.empty()) script += "&serial=" + firmware.serial;
    return script + "&arch=${buildarch}&platform=${platform} ||\ngoto again\n";
}

std::string grub_script(const Fleet& fleet, const Machine& machine, const Reached& reached) {
    const Result<std::string> line = explicit_command_line(fleet, machine, reached);
    std::string why;
    if (!line) why = line.error().message;
    if (!machine.kernel || !machine.initrd) why = "no kernel was taken from its template";
    if (!why.empty()) {
        return "echo " + grub_quoted("cowtgt: " + machine.name + ": " + why) + "\n" +
               grub_retry(*machine.mac, reached, retry_seconds);
    }
    const std::string device = grub_device(reached);
    return "set timeout=0\nset default=0\nmenuentry " +
           grub_quoted(machine.name + " " + machine.template_ref) + " {\n    linux " + device +
           blob_path(*machine.kernel, machine) + grub_quoted_words(*line) + "\n    initrd " +
           device + blob_path(*machine.initrd, machine) + "\n}\n";
}

std::string unknown_grub_script(const config::MacAddress& mac, const Reached& reached) {
    return "echo 'cowtgt does not know this machine yet. On the server:'\necho '  cowtgt adopt " +
           to_string(mac) + " NAME TEMPLATE'\n" + grub_retry(mac, reached, unknown_poll_seconds);
}

Result<std::string> explicit_command_line(const Fleet& fleet, const Machine& machine,
                                          const Reached& reached) {
    const Result<config::Endpoint> portal = choose_portal(fleet, reached, machine.network);
    if (!portal) return portal.error();
    return command_line(machine, site_of(fleet, machine, reached, *portal));
}

std::string blob_path(const Blob& blob, const Machine& machine) {
    std::string path = "/v1/blob/" + blob.sha256 + "/" + blob.name;
    if (machine.mac) path += "?mac=" + to_hyphen_string(*machine.mac);
    return path;
}

}  // namespace cowtgt::boot
