#include "boot-helper/core/command_line.h"

#include <algorithm>
#include <array>
#include <vector>

#include "target/config/names.h"

namespace cowtgt::boot {

namespace {

using Words = std::vector<std::string>;

Error refuse(const Machine& machine, const std::string& why) {
    return {ErrorCode::refused, machine.name + ": " + why};
}

/// Words that one dialect needs to find the disk.
struct DialectRow {
    Dialect dialect;
    DiskSource source;
    bool ipv6;
    Words (*words)(const Machine&, const CommandLineSite&);
};

std::string target_of(const Machine& machine, const CommandLineSite& site) {
    return config::target_name(site.prefix, machine.name);
}
std::string initiator_of(const Machine& machine, const CommandLineSite& site) {
    return config::initiator_name(site.prefix, machine.name);
}

/// The names under which a dialect knows user and secret, and those of the target.
struct ChapWordNames {
    std::string_view user, secret, mutual_user, mutual_secret;
};
constexpr ChapWordNames dracut_chap = {
    "rd.iscsi.username=", "rd.iscsi.password=", "rd.iscsi.in.username=", "rd.iscsi.in.password="};
constexpr ChapWordNames initramfs_tools_chap = {
    "iscsi_username=", "iscsi_password=", "iscsi_in_username=", "iscsi_in_password="};

void append_chap(Words& words, const Machine& machine, const ChapWordNames& names) {
    if (!machine.chap || !machine.chap->secrets) return;
    const config::ChapSecrets& secrets = *machine.chap->secrets;
    words.push_back(std::string(names.user) + secrets.user);
    words.push_back(std::string(names.secret) + secrets.secret);
    if (secrets.mutual_user.empty()) return;
    words.push_back(std::string(names.mutual_user) + secrets.mutual_user);
    words.push_back(std::string(names.mutual_secret) + secrets.mutual_secret);
}

Words dracut_ibft(const Machine&, const CommandLineSite&) {
    return {"ip=ibft", "rd.iscsi.firmware=1", "rd.iscsi.ibft=1"};
}

/// dracut.cmdline(7): netroot=iscsi:SERVER:PROTOCOL:PORT:LUN:TARGET, the server as in RFC 4173.
Words dracut_explicitly(const Machine& machine, const CommandLineSite& site) {
    Words words = {site.portal.ipv6 ? "ip=auto6" : "ip=dhcp", "rd.neednet=1",
                   "netroot=" + san_uri(site.prefix, machine, site.portal),
                   "rd.iscsi.initiator=" + initiator_of(machine, site)};
    append_chap(words, machine, dracut_chap);
    return words;
}

Words initramfs_tools_ibft(const Machine&, const CommandLineSite&) {
    return {"iscsi_auto", "ip=dhcp"};
}

/// klibc's ipconfig knows no IPv6 and would ask for DHCPv4 for minutes where there is none. A
/// link-local IPv4 address brings the interface up at once; the kernel then finds its IPv6 address
/// by itself. The address is made from the MAC, so that two machines do not share it.
std::string ipconfig_words(const Machine& machine, const CommandLineSite& site) {
    if (!site.ipv6_only) return "ip=dhcp";
    const std::uint8_t high = machine.mac ? machine.mac->bytes[4] : 1;
    const std::uint8_t low = machine.mac ? machine.mac->bytes[5] : 1;
    // RFC 3927 section 2.1 keeps 169.254.0.x and 169.254.255.x back; .0 and .255 look like networks
    const int third = 1 + high % 254;
    const int fourth = 1 + low % 254;
    return "ip=169.254." + std::to_string(third) + "." + std::to_string(fourth) +
           ":::255.255.0.0:" + machine.name + "::none";
}

Words initramfs_tools_explicitly(const Machine& machine, const CommandLineSite& site) {
    Words words = {ipconfig_words(machine, site),
                   "iscsi_initiator=" + initiator_of(machine, site),
                   "iscsi_target_name=" + target_of(machine, site),
                   "iscsi_target_ip=" + site.portal.address,
                   "iscsi_target_port=" + std::to_string(site.portal.port),
                   "iscsi_target_group=1"};
    append_chap(words, machine, initramfs_tools_chap);
    return words;
}

Words no_words(const Machine&, const CommandLineSite&) {
    return {};
}

/// Each dialect ignores the words of the others.
Words unknown_ibft(const Machine&, const CommandLineSite&) {
    return {"ip=dhcp", "iscsi_auto", "rd.iscsi.firmware=1", "rd.iscsi.ibft=1"};
}
Words unknown_explicitly(const Machine& machine, const CommandLineSite& site) {
    Words words = dracut_explicitly(machine, site);
    const Words more = initramfs_tools_explicitly(machine, site);
    words.insert(words.end(), more.begin() + 1, more.end());  // both have ip=dhcp
    return words;
}

constexpr std::array dialect_rows = {
    DialectRow{Dialect::dracut, DiskSource::ibft, false, dracut_ibft},
    DialectRow{Dialect::dracut, DiskSource::explicitly, false, dracut_explicitly},
    DialectRow{Dialect::dracut, DiskSource::explicitly, true, dracut_explicitly},
    DialectRow{Dialect::initramfs_tools, DiskSource::ibft, false, initramfs_tools_ibft},
    DialectRow{Dialect::initramfs_tools, DiskSource::explicitly, false, initramfs_tools_explicitly},
    DialectRow{Dialect::initramfs_tools, DiskSource::explicitly, true, initramfs_tools_explicitly},
    DialectRow{Dialect::ibft, DiskSource::ibft, false, no_words},
    DialectRow{Dialect::unknown, DiskSource::ibft, false, unknown_ibft},
    DialectRow{Dialect::unknown, DiskSource::explicitly, false, unknown_explicitly},
};

Result<Words> disk_words(const Machine& machine, const CommandLineSite& site) {
    for (const DialectRow& row : dialect_rows) {
        if (row.dialect == machine.dialect && row.source == site.source &&
            row.ipv6 == site.portal.ipv6) {
            return row.words(machine, site);
        }
    }
    return refuse(machine, "its initramfs (" + std::string(to_string(machine.dialect)) +
                               ") finds its disk only by an iBFT, which iPXE makes for IPv4 only; "
                               "set initramfs to dracut or debian if it is one of them");
}

Result<std::string> root_word(const Machine& machine) {
    if (!machine.root_label.empty()) return "root=LABEL=" + machine.root_label;
    if (!machine.root_uuid.empty()) return "root=UUID=" + machine.root_uuid;
    return refuse(machine,
                  "its template's root file system has neither label nor UUID; give it a "
                  "label (e2label) and import it again, or add root= to its words");
}

/// What neither the kernel, a loader nor the shell of an initramfs takes for its own.
bool is_plain_word(std::string_view text) {
    return std::all_of(text.begin(), text.end(), [](char c) {
        const bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
        return letter || (c >= '0' && c <= '9') ||
               std::string_view("-._~+/=").find(c) != std::string_view::npos;
    });
}

/// The secrets as words of the command line.
Result<void> check_chap_words(const Machine& machine) {
    if (!machine.chap || !machine.chap->secrets) return {};
    const config::ChapSecrets& secrets = *machine.chap->secrets;
    for (const std::string& text :
         {secrets.user, secrets.secret, secrets.mutual_user, secrets.mutual_secret}) {
        if (is_plain_word(text)) continue;
        return refuse(
            machine,
            "its CHAP users and secrets go on the kernel's command line where there is no "
            "iBFT, and there they may have letters, digits and -._~+/= only; choose "
            "others with: cowtgt set " +
                machine.name + " chap=USER");
    }
    return {};
}

bool has_word(std::string_view words, std::string_view beginning) {
    return (" " + std::string(words)).find(" " + std::string(beginning)) != std::string::npos;
}

void append(std::string& line, std::string_view word) {
    if (!line.empty()) line += ' ';
    line += word;
}

}  // namespace

Result<void> check_chap(const Machine& machine) {
    if (!machine.chap || machine.chap->secrets) return {};
    return refuse(
        machine,
        "its initiator must authenticate with CHAP, and boot scripts tell no secrets "
        "over HTTP unless cowtgt.toml has chap_over_http = true (everybody on the network "
        "can read them then), or run: cowtgt set " +
            machine.name + " chap=none");
}

Result<void> check_extra_words(std::string_view words) {
    const auto is_plain = [](char c) { return c >= 0x20 && c < 0x7f; };
    if (!std::all_of(words.begin(), words.end(), is_plain)) {
        return Error{ErrorCode::usage, "the command line must be printable ASCII in one line"};
    }
    if (words.find("${") != std::string_view::npos) {
        return Error{ErrorCode::usage, "'${' on the command line would be expanded by iPXE"};
    }
    while (!words.empty()) {
        const std::string_view word = words.substr(0, words.find(' '));
        words.remove_prefix(std::min(word.size() + 1, words.size()));
        if (word == "||" || word == "&&" || word == ";" || word.starts_with('#')) {
            return Error{ErrorCode::usage,
                         "'" + std::string(word) + "' on the command line would end it for iPXE"};
        }
    }
    return {};
}

std::string san_uri(std::string_view prefix, const Machine& machine,
                    const config::Endpoint& portal) {
    return "iscsi:" + bracketed(portal) + "::" + std::to_string(portal.port) +
           ":0:" + config::target_name(prefix, machine.name);
}

Result<std::string> command_line(const Machine& machine, const CommandLineSite& site) {
    if (const auto fine = check_extra_words(machine.extra_words + machine.root_label); !fine) {
        return refuse(machine, fine.error().message);
    }
    if (const auto fine = check_chap(machine); !fine) return fine.error();
    if (site.source == DiskSource::explicitly) {
        if (const auto fine = check_chap_words(machine); !fine) return fine.error();
    }
    std::string line;
    if (!has_word(machine.extra_words, "root=")) {
        Result<std::string> root = root_word(machine);
        if (!root) return root.error();
        append(line, *root);
    }
    if (!has_word(machine.extra_words, "ro ") && !machine.extra_words.ends_with(" ro") &&
        machine.extra_words != "ro") {
        append(line, "rw");
    }
    const Result<Words> words = disk_words(machine, site);
    if (!words) return words.error();
    for (const std::string& word : *words)
        append(line, word);
    append(line, "systemd.hostname=" + machine.name);
    append(line, "systemd.machine_id=" + machine_id(site.prefix, machine.name));
    // Which network card to use where there are several; 01 is Ethernet.
    if (machine.mac) append(line, "BOOTIF=01-" + to_hyphen_string(*machine.mac));
    for (const std::string& console : machine.consoles)
        append(line, "console=" + console);
    if (!site.seed_url.empty()) append(line, "ds=nocloud;s=" + site.seed_url);
    if (!machine.extra_words.empty()) append(line, machine.extra_words);
    if (line.size() >= command_line_bytes_max) {
        return refuse(machine, "its command line has " + std::to_string(line.size()) +
                                   " bytes, and the kernel takes " +
                                   std::to_string(command_line_bytes_max - 1) +
                                   ": shorten the words that its settings add");
    }
    return line;
}

}  // namespace cowtgt::boot
