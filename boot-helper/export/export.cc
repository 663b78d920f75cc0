#include "boot-helper/export/export.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "target/config/names.h"

namespace cowtgt::boot {

namespace {

using json = nlohmann::ordered_json;

// Debian's names of the iPXE programs: for BIOS by TFTP, and for UEFI with the firmware's own
// network driver, which works on every card.
constexpr std::string_view bios_program = "undionly.kpxe";
constexpr std::string_view efi_program = "snponly.efi";

std::string http_url(const Fleet& fleet, std::string_view path) {
    return "http://" + authority_of(fleet.http) + std::string(path);
}
std::string efi_url(const Fleet& fleet) {
    return http_url(fleet, "/ipxe/" + std::string(efi_program));
}
std::string script_url(const Fleet& fleet) {
    return http_url(fleet, "/boot.ipxe");
}

/// DHCP over IPv4 may name an address of IPv6: iPXE reaches that as well. Firmware that loads by
/// HTTP does not.
std::string dnsmasq_ipv4(const Fleet& fleet) {
    std::string text =
        "# Firmware loads iPXE, iPXE loads its script. TFTP (enable-tftp, "
        "tftp-root=/usr/lib/ipxe)\n"
        "# is for PXE only; UEFI HTTP boot needs none.\n"
        "dhcp-match=set:ipxe,175\n"
        "dhcp-match=set:bios,option:client-arch,0\n"
        "dhcp-match=set:efi,option:client-arch,7\n"
        "dhcp-match=set:efi,option:client-arch,9\n"
        "dhcp-boot=tag:!ipxe,tag:bios," +
        std::string(bios_program) + "\ndhcp-boot=tag:!ipxe,tag:efi," + std::string(efi_program) +
        "\n";
    if (!fleet.http.ipv6) {
        text +=
            "dhcp-match=set:efihttp,option:client-arch,16\n"
            "dhcp-option-force=tag:efihttp,60,HTTPClient\n"
            "dhcp-boot=tag:!ipxe,tag:efihttp," +
            efi_url(fleet) + "\n";
    }
    return text + "dhcp-boot=tag:ipxe," + script_url(fleet) + "\n";
}

std::string dnsmasq_ipv6(const Fleet& fleet) {
    std::string text =
        "# IPv6: machines take addresses by SLAAC, and have names in DNS by those of DHCPv4\n"
        "enable-ra\n"
        "dhcp-range=::,constructor:*,ra-stateless,ra-names\n";
    if (fleet.http.ipv6) {
        text +=
            "dhcp-userclass=set:ipxe6,iPXE\n"
            "dhcp-option=tag:!ipxe6,option6:bootfile-url," +
            efi_url(fleet) + "\ndhcp-option=tag:ipxe6,option6:bootfile-url," + script_url(fleet) +
            "\n";
    }
    return text;
}

Result<std::string> export_dnsmasq(const Fleet& fleet, const Machine*) {
    std::string text = "# cowtgt: the machines of " + fleet.prefix +
                       "\n# Made by `cowtgt export dnsmasq`; include it by conf-file=. Your own "
                       "dhcp-range stays.\n" +
                       dnsmasq_ipv4(fleet) + dnsmasq_ipv6(fleet) + "# Names\n";
    for (const Machine& machine : fleet.machines) {
        if (machine.mac) text += "dhcp-host=" + to_string(*machine.mac) + "," + machine.name + "\n";
    }
    return text;
}

json kea_class(std::string_view name, std::string_view test, const std::string& file) {
    return {{"name", name}, {"test", test}, {"boot-file-name", file}};
}

Result<std::string> export_kea(const Fleet& fleet, const Machine*) {
    json classes = json::array();
    classes.push_back(
        kea_class("cowtgt-ipxe", "substring(option[77].hex,0,4) == 'iPXE'", script_url(fleet)));
    classes.push_back(kea_class("cowtgt-bios",
                                "not member('cowtgt-ipxe') and option[93].hex == 0x0000",
                                std::string(bios_program)));
    classes.push_back(kea_class("cowtgt-efi",
                                "not member('cowtgt-ipxe') and (option[93].hex == 0x0007 or "
                                "option[93].hex == 0x0009)",
                                std::string(efi_program)));
    json http = kea_class("cowtgt-efi-http",
                          "not member('cowtgt-ipxe') and option[93].hex == 0x0010", efi_url(fleet));
    http["option-data"] = json::array(
        {{{"name", "vendor-class-identifier"}, {"data", "HTTPClient"}, {"always-send", true}}});
    classes.push_back(http);
    json reservations = json::array();
    for (const Machine& machine : fleet.machines) {
        if (!machine.mac) continue;
        reservations.push_back(
            {{"hw-address", to_string(*machine.mac)}, {"hostname", machine.name}});
    }
    const json config = {{"Dhcp4",
                          {{"reservations-global", true},
                           {"reservations-in-subnet", true},
                           {"client-classes", classes},
                           {"reservations", reservations}}}};
    return config.dump(2, ' ', false, json::error_handler_t::replace) + "\n";
}

Result<std::string> export_isc(const Fleet& fleet, const Machine*) {
    std::string text = "# cowtgt: the machines of " + fleet.prefix +
                       "\n# Made by `cowtgt export isc`; include it in dhcpd.conf.\n"
                       "option client-arch code 93 = unsigned integer 16;\n"
                       "if exists user-class and option user-class = \"iPXE\" {\n"
                       "    filename \"" +
                       script_url(fleet) +
                       "\";\n"
                       "} elsif option client-arch = 00:00 {\n"
                       "    filename \"" +
                       std::string(bios_program) +
                       "\";\n"
                       "} elsif option client-arch = 00:10 {\n"
                       "    option vendor-class-identifier \"HTTPClient\";\n"
                       "    filename \"" +
                       efi_url(fleet) +
                       "\";\n"
                       "} elsif option client-arch = 00:07 or option client-arch = 00:09 {\n"
                       "    filename \"" +
                       std::string(efi_program) +
                       "\";\n"
                       "}\n";
    for (const Machine& machine : fleet.machines) {
        if (!machine.mac) continue;
        text += "host " + machine.name + " { hardware ethernet " + to_string(*machine.mac) +
                "; option host-name \"" + machine.name + "\"; }\n";
    }
    return text;
}

/// Addresses are known of machines that are logged in only.
Result<std::string> export_hosts(const Fleet& fleet, const Machine*) {
    std::string text;
    for (const Machine& machine : fleet.machines) {
        for (const std::string& address : machine.session_addresses) {
            text += address + " " + machine.name + "\n";
        }
        if (machine.session_addresses.empty()) {
            text += "# " + machine.name + ": not logged in, so its address is not known\n";
        }
    }
    return text;
}

Result<std::string> export_ethers(const Fleet& fleet, const Machine*) {
    std::string text;
    for (const Machine& machine : fleet.machines) {
        if (machine.mac) text += to_string(*machine.mac) + " " + machine.name + "\n";
    }
    return text;
}

Result<config::Endpoint> portal_of(const Fleet& fleet, const Machine& machine) {
    return choose_portal(fleet, {fleet.http, ""}, machine.network);
}

std::string secret_file(const Machine& machine) {
    return machine.name + ".secret";
}

/// In quotes for a shell; a comma ends an option of QEMU unless it is doubled.
std::string qemu_chap(const Machine& machine) {
    if (!machine.chap) return {};
    std::string user;
    for (const char c : machine.chap->user) {
        if (c == ',') {
            user += ",,";
        } else if (c == '\'') {
            user += "'\\''";
        } else {
            user += c;
        }
    }
    return ",file.user='" + user + "',file.password-secret=chap";
}

/// The disk by QEMU's own initiator: no firmware and no initramfs take part.
Result<std::string> export_qemu(const Fleet& fleet, const Machine* machine) {
    const Result<config::Endpoint> portal = portal_of(fleet, *machine);
    if (!portal) return portal.error();
    std::string text;
    if (machine->chap) {
        text = "# " + secret_file(*machine) + ": the CHAP secret of " + machine->chap->user +
               ", without an end of line\n";
    }
    text += "qemu-system-x86_64 -name " + machine->name;
    if (!machine->uuid.empty()) text += " -uuid " + machine->uuid;
    if (machine->chap) text += " \\\n    -object secret,id=chap,file=" + secret_file(*machine);
    text +=
        " -m 2G \\\n    -drive if=virtio,format=raw,file.driver=iscsi,file.transport=tcp,"
        "file.portal=" +
        authority_of(*portal) + ",file.target=" + config::target_name(fleet.prefix, machine->name) +
        ",file.lun=0,file.initiator-name=" + config::initiator_name(fleet.prefix, machine->name) +
        qemu_chap(*machine) + " \\\n    -netdev user,id=net0 -device virtio-net-pci,netdev=net0";
    if (machine->mac) text += ",mac=" + to_string(*machine->mac);
    return text + "\n";
}

std::string xml_text(std::string_view text) {
    std::string escaped;
    for (const char c : text) {
        if (c == '&') {
            escaped += "&amp;";
        } else if (c == '<') {
            escaped += "&lt;";
        } else if (c == '\'') {
            escaped += "&apos;";
        } else {
            escaped += c;
        }
    }
    return escaped;
}

/// The secret itself is given to libvirt by virsh secret-define and secret-set-value.
std::string libvirt_chap(const Machine& machine) {
    if (!machine.chap) return {};
    return "        <auth username='" + xml_text(machine.chap->user) +
           "'><secret type='iscsi' usage='" + machine.name + "'/></auth>\n";
}

Result<std::string> export_libvirt(const Fleet& fleet, const Machine* machine) {
    const Result<config::Endpoint> portal = portal_of(fleet, *machine);
    if (!portal) return portal.error();
    std::string text = "<domain type='kvm'>\n  <name>" + machine->name + "</name>\n";
    if (!machine->uuid.empty()) text += "  <uuid>" + machine->uuid + "</uuid>\n";
    text +=
        "  <memory unit='GiB'>2</memory>\n"
        "  <vcpu>2</vcpu>\n"
        "  <os><type arch='x86_64' machine='q35'>hvm</type></os>\n"
        "  <devices>\n"
        "    <disk type='network' device='disk'>\n"
        "      <driver name='qemu' type='raw' discard='unmap'/>\n"
        "      <source protocol='iscsi' name='" +
        config::target_name(fleet.prefix, machine->name) +
        "/0'>\n"
        "        <host name='" +
        portal->address + "' port='" + std::to_string(portal->port) +
        "'/>\n"
        "        <initiator><iqn name='" +
        config::initiator_name(fleet.prefix, machine->name) + "'/></initiator>\n" +
        libvirt_chap(*machine) +
        "      </source>\n"
        "      <target dev='vda' bus='virtio'/>\n"
        "    </disk>\n"
        "    <interface type='network'>\n";
    if (machine->mac) text += "      <mac address='" + to_string(*machine->mac) + "'/>\n";
    return text +
           "      <source network='default'/>\n"
           "      <model type='virtio'/>\n"
           "    </interface>\n"
           "    <console type='pty'/>\n"
           "  </devices>\n"
           "</domain>\n";
}

struct ExportRow {
    ExportKind kind;
    std::string_view word;
    bool needs_machine;
    bool names_http;  ///< the address goes into the text
    Result<std::string> (*make)(const Fleet&, const Machine*);
};

constexpr std::array rows = {
    ExportRow{ExportKind::dnsmasq, "dnsmasq", false, true, export_dnsmasq},
    ExportRow{ExportKind::kea, "kea", false, true, export_kea},
    ExportRow{ExportKind::isc, "isc", false, true, export_isc},
    ExportRow{ExportKind::hosts, "hosts", false, false, export_hosts},
    ExportRow{ExportKind::ethers, "ethers", false, false, export_ethers},
    ExportRow{ExportKind::qemu, "qemu", true, false, export_qemu},
    ExportRow{ExportKind::libvirt, "libvirt", true, false, export_libvirt},
};

const ExportRow& row_of(ExportKind kind) {
    const ExportRow& row = rows[static_cast<std::size_t>(kind)];
    CHECK(row.kind == kind);
    return row;
}

}  // namespace

Result<ExportKind> parse_export_kind(std::string_view word) {
    std::string words;
    for (const ExportRow& row : rows) {
        if (row.word == word) return row.kind;
        words += (words.empty() ? "" : ", ") + std::string(row.word);
    }
    return Error{ErrorCode::usage,
                 "'" + std::string(word) + "' is nothing to export; there are " + words};
}

bool needs_machine(ExportKind kind) {
    return row_of(kind).needs_machine;
}

Result<std::string> export_text(const Fleet& fleet, ExportKind kind, std::string_view machine) {
    const ExportRow& row = row_of(kind);
    if (row.names_http && (fleet.http.address.empty() || fleet.http.is_wildcard())) {
        return Error{ErrorCode::refused,
                     "the configuration has no HTTP address that others could "
                     "be told: set http in cowtgt.toml to one, not to all"};
    }
    const Machine* found = row.needs_machine ? fleet.find_name(machine) : nullptr;
    if (row.needs_machine && found == nullptr) {
        return Error{ErrorCode::not_found, "no machine is called '" + std::string(machine) + "'"};
    }
    return row.make(fleet, found);
}

}  // namespace cowtgt::boot
