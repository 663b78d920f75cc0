#include "boot-helper/image/lint.h"

#include <algorithm>
#include <array>
#include <set>
#include <span>

namespace cowtgt::boot {

namespace {

using Texts = std::vector<std::string>;

/// One rule about images. `look` names what breaks it, one sentence each; nothing: it is kept.
struct Check {
    std::string_view code;
    Severity severity;
    Texts (*look)(const LintSubject&, FileTree& root);
    std::string_view breaks;
    std::string_view mend;
};

constexpr std::string_view rewritten =
    "a clone's copy names the clone's UUID, or, where that is not safe, the UUID stays the same "
    "(cowtgt template show says which)";
constexpr std::string_view seal = "run cowtgt-seal in the image before the import";

std::string_view trimmed(std::string_view text) {
    const std::size_t first = text.find_first_not_of(" \t\r");
    if (first == std::string_view::npos) return {};
    return text.substr(first, text.find_last_not_of(" \t\r") - first + 1);
}

/// The lines of a text that are no comments, each with its number from 1.
struct Line {
    std::size_t number = 0;
    std::string_view text;
};
std::vector<Line> lines_of(std::string_view text) {
    std::vector<Line> lines;
    for (std::size_t number = 1; !text.empty(); ++number) {
        const std::string_view line = text.substr(0, text.find('\n'));
        text.remove_prefix(std::min(line.size() + 1, text.size()));
        const std::string_view content = trimmed(line);
        if (!content.empty() && content.front() != '#') lines.push_back({number, content});
    }
    return lines;
}

std::string_view first_word(std::string_view line) {
    return line.substr(0, line.find_first_of(" \t"));
}
std::string_view second_word(std::string_view line) {
    line.remove_prefix(first_word(line).size());
    return first_word(trimmed(line));
}

std::string at_line(std::string_view file, const Line& line) {
    return std::string(file) + ":" + std::to_string(line.number) + ": " + std::string(line.text);
}

/// Files of a folder whose names begin and end so.
Texts files_like(FileTree& tree, const std::string& folder, std::string_view beginning,
                 std::string_view ending) {
    Texts files;
    const Result<std::vector<FileEntry>> entries = tree.list(folder);
    if (!entries) return files;
    for (const FileEntry& entry : *entries) {
        if (entry.type == FileEntry::Type::directory) continue;
        if (entry.name.starts_with(beginning) && entry.name.ends_with(ending)) {
            files.push_back(folder + "/" + entry.name);
        }
    }
    return files;
}

Texts with_suffix(Texts texts, std::string_view suffix) {
    for (std::string& text : texts)
        text += suffix;
    return texts;
}

void append(Texts& to, Texts more) {
    to.insert(to.end(), std::make_move_iterator(more.begin()), std::make_move_iterator(more.end()));
}

Texts ssh_host_keys(const LintSubject&, FileTree& root) {
    return with_suffix(files_like(root, "/etc/ssh", "ssh_host_", "_key"), " is in the image");
}

/// Units by which distributions and cowtgt-seal make missing keys.
Texts ssh_key_maker(const LintSubject&, FileTree& root) {
    if (!root.has_file("/usr/sbin/sshd")) return {};
    for (const char* maker :
         {"/etc/systemd/system/cowtgt-ssh-keys.service",
          "/usr/lib/systemd/system/sshd-keygen@.service",
          "/usr/lib/systemd/system/sshd-keygen.service", "/usr/bin/cloud-init",
          "/usr/lib/systemd/system/sshd-keygen.target", "/usr/sbin/sshd-gen-keys-start"}) {
        if (root.find(maker)) return {};
    }
    return {"sshd is installed, and nothing makes its host keys at the first boot"};
}

Texts fixed_machine_id(const LintSubject&, FileTree& root) {
    Texts found;
    for (const char* file : {"/etc/machine-id", "/var/lib/dbus/machine-id"}) {
        const std::string text = root.read_text(file);
        const std::string_view id = trimmed(std::string_view(text).substr(0, text.find('\n')));
        if (!id.empty() && id != "uninitialized")
            found.push_back(std::string(file) + " is not empty");
        if (!found.empty()) break;  // the second is mostly a link to the first
    }
    return found;
}

Texts fixed_hostname(const LintSubject&, FileTree& root) {
    const std::string text = root.read_text("/etc/hostname");
    for (const Line& line : lines_of(text)) {
        if (line.text == "localhost" || line.text == "localhost.localdomain") continue;
        return {"/etc/hostname says " + std::string(line.text)};
    }
    return {};
}

Texts fixed_initiator_name(const LintSubject&, FileTree& root) {
    constexpr std::string_view file = "/etc/iscsi/initiatorname.iscsi";
    const std::string text = root.read_text(file);
    for (const Line& line : lines_of(text)) {
        if (line.text.starts_with("InitiatorName=")) return {at_line(file, line)};
    }
    return {};
}

Texts dhcp_leases(const LintSubject&, FileTree& root) {
    Texts found;
    append(found, files_like(root, "/var/lib/dhcp", "", ".leases"));
    append(found, files_like(root, "/var/lib/dhclient", "", ".leases"));
    append(found, files_like(root, "/var/lib/dhclient", "", ".lease"));
    append(found, files_like(root, "/var/lib/dhcpcd", "", ".lease"));
    append(found, files_like(root, "/var/lib/NetworkManager", "", ".lease"));
    append(found, files_like(root, "/var/lib/systemd/network", "", ".lease"));
    for (const char* file : {"/var/lib/dhcpcd/duid", "/etc/dhcpcd.duid",
                             "/var/lib/dhcpv6/dhcp6c_duid", "/var/lib/NetworkManager/secret_key"}) {
        if (root.has_file(file)) found.emplace_back(file);
    }
    return with_suffix(std::move(found), " is in the image");
}

using Words = std::span<const std::string_view>;

/// Names of devices that depend on what else is plugged in.
constexpr std::array<std::string_view, 6> device_names = {
    "/dev/sd", "/dev/vd", "/dev/hd", "/dev/nvme", "/dev/disk/by-id/", "/dev/disk/by-path/"};
/// What a clone changes; the clone then rewrites the file, or keeps the UUID.
constexpr std::array<std::string_view, 5> uuid_names = {
    "UUID=", "PARTUUID=", "\"UUID=", "/dev/disk/by-uuid/", "/dev/disk/by-partuuid/"};
constexpr std::array<std::string_view, 2> loader_device_words = {"root=/dev/sd", "root=/dev/vd"};
constexpr std::array<std::string_view, 5> loader_uuid_words = {
    "root=UUID=", "root=PARTUUID=", "--fs-uuid", "search.fs_uuid", "search.part_uuid"};

/// Lines of a table whose device begins so.
Texts lines_naming(FileTree& root, const char* file, std::string_view (*device)(std::string_view),
                   Words names) {
    Texts found;
    const std::string text = root.read_text(file);
    for (const Line& line : lines_of(text)) {
        const bool is_named = std::any_of(
            names.begin(), names.end(),
            [&](std::string_view beginning) { return device(line.text).starts_with(beginning); });
        if (is_named) found.push_back(at_line(file, line));
    }
    return found;
}

Texts fstab_devices(const LintSubject&, FileTree& root) {
    return lines_naming(root, "/etc/fstab", first_word, device_names);
}
Texts fstab_uuids(const LintSubject&, FileTree& root) {
    return lines_naming(root, "/etc/fstab", first_word, uuid_names);
}
Texts crypttab_devices(const LintSubject&, FileTree& root) {
    return lines_naming(root, "/etc/crypttab", second_word, device_names);
}
Texts crypttab_uuids(const LintSubject&, FileTree& root) {
    return lines_naming(root, "/etc/crypttab", second_word, uuid_names);
}

/// The first line of a boot loader's file that has one of these words.
Texts words_in_loader_file(FileTree& tree, const std::string& shown, const std::string& path,
                           Words words) {
    const std::string text = tree.read_text(path);
    for (const Line& line : lines_of(text)) {
        for (const std::string_view word : words) {
            if (line.text.find(word) != std::string_view::npos) {
                return {shown + ":" + std::to_string(line.number) + " finds its disk by " +
                        std::string(word)};
            }
        }
    }
    return {};
}

Texts loader_words(const LintSubject& subject, FileTree& root, Words words) {
    Texts found;
    const auto look = [&](FileTree& tree, const std::string& mount, const std::string& path) {
        append(found, words_in_loader_file(tree, mount + path, path, words));
    };
    for (const char* path : {"/boot/grub/grub.cfg", "/boot/grub2/grub.cfg", "/etc/default/grub",
                             "/etc/kernel/cmdline"}) {
        look(root, "", path);
    }
    if (FileTree* boot = subject.image.boot(); boot != nullptr) {
        look(*boot, "/boot", "/grub/grub.cfg");
        look(*boot, "/boot", "/grub2/grub.cfg");
    }
    FileTree* efi = subject.image.efi();
    if (efi == nullptr) return found;
    const Result<std::vector<FileEntry>> vendors = efi->list("/EFI");
    if (!vendors) return found;
    for (const FileEntry& vendor : *vendors) {
        if (vendor.type != FileEntry::Type::directory) continue;
        look(*efi, "/boot/efi", "/EFI/" + vendor.name + "/GRUB.CFG");
    }
    return found;
}

Texts loader_devices(const LintSubject& subject, FileTree& root) {
    return loader_words(subject, root, loader_device_words);
}
Texts loader_uuids(const LintSubject& subject, FileTree& root) {
    return loader_words(subject, root, loader_uuid_words);
}

Texts resume_device(const LintSubject&, FileTree& root) {
    Texts found;
    Texts files = files_like(root, "/etc/initramfs-tools/conf.d", "", "");
    files.emplace_back("/etc/default/grub");
    files.emplace_back("/etc/kernel/cmdline");
    for (const std::string& file : files) {
        const std::string text = root.read_text(file);
        for (const Line& line : lines_of(text)) {
            std::string padded = " " + std::string(line.text);
            for (char& c : padded)
                c = c == '"' ? ' ' : c;
            const bool resumes = padded.find(" resume=") != std::string::npos ||
                                 padded.find(" RESUME=") != std::string::npos;
            if (resumes && padded.find("RESUME=none") == std::string::npos) {
                found.push_back(at_line(file, line));
            }
        }
    }
    return found;
}

Texts kernel_fit(const LintSubject& subject, FileTree&) {
    if (subject.kernel) return {};
    const Result<Kernel> newest = choose_kernel(subject.image, "");
    return {newest ? "kernel " + newest->version + " was not taken" : newest.error().message};
}

Texts initramfs_login(const LintSubject& subject, FileTree&) {
    if (!subject.initrd || subject.initrd->has_login) return {};
    std::string what =
        "the initrd of " + (subject.kernel ? subject.kernel->version : "the kernel") + " (" +
        std::string(to_string(subject.initrd->dialect)) + ") cannot log in to an iSCSI target";
    if (!subject.initrd->unread_because.empty()) what = subject.initrd->unread_because;
    return {what};
}

/// Modules that the kernel has built in, by its own list.
std::string builtin_modules(FileTree& root, const Kernel& kernel) {
    std::string text = root.read_text("/lib/modules/" + kernel.version + "/modules.builtin");
    std::replace(text.begin(), text.end(), '-', '_');
    return text;
}

Texts initramfs_modules(const LintSubject& subject, FileTree& root) {
    if (!subject.initrd || !subject.kernel || !subject.initrd->unread_because.empty()) return {};
    const std::set<std::string>& modules = subject.initrd->modules;
    const std::string builtin = builtin_modules(root, *subject.kernel);
    const auto has = [&](const std::string& name) {
        return modules.contains(name) || builtin.find("/" + name + ".ko") != std::string::npos;
    };
    std::string missing;
    for (const char* name : {"iscsi_tcp", "iscsi_ibft", "sd_mod"}) {
        if (!has(name)) missing += (missing.empty() ? "" : ", ") + std::string(name);
    }
    Texts found;
    if (!missing.empty()) found.push_back("the initrd has no " + missing);
    constexpr std::array cards = {"virtio_net", "e1000",     "e1000e",  "igb", "igc",     "ixgbe",
                                  "i40e",       "ice",       "r8169",   "tg3", "bnxt_en", "bnx2x",
                                  "mlx4_en",    "mlx5_core", "vmxnet3", "ena", "atlantic"};
    if (std::none_of(cards.begin(), cards.end(), has)) {
        found.emplace_back("the initrd has no driver of a network card");
    }
    return found;
}

Texts unclean(const LintSubject& subject, FileTree& root) {
    Texts found;
    if (!root.is_clean()) {
        found.push_back(describe(*subject.image.root_partition()) + " was not cleanly unmounted");
    }
    FileTree* boot = subject.image.boot();
    if (boot != nullptr && !boot->is_clean()) {
        found.emplace_back("the file system of /boot was not cleanly unmounted");
    }
    return found;
}

Texts root_label_missing(const LintSubject& subject, FileTree&) {
    if (!subject.image.root_label().empty()) return {};
    return {describe(*subject.image.root_partition()) + " has no label"};
}

Texts efi_fallback(const LintSubject& subject, FileTree&) {
    FileTree* efi = subject.image.efi();
    if (efi == nullptr) return {};
    if (efi->has_file("/EFI/BOOT/BOOTX64.EFI") || efi->has_file("/EFI/BOOT/BOOTAA64.EFI"))
        return {};
    return {"the EFI system partition has no \\EFI\\BOOT\\BOOTX64.EFI"};
}

Texts random_seed(const LintSubject&, FileTree& root) {
    Texts found;
    for (const char* file : {"/var/lib/systemd/random-seed", "/var/lib/urandom/random-seed"}) {
        if (root.has_file(file)) found.push_back(std::string(file) + " is in the image");
    }
    return found;
}

Texts network_rules(const LintSubject&, FileTree& root) {
    Texts found;
    for (const char* file : {"/etc/udev/rules.d/70-persistent-net.rules",
                             "/etc/udev/rules.d/75-persistent-net-generator.rules"}) {
        if (root.has_file(file)) found.push_back(std::string(file) + " names cards by their MACs");
    }
    return found;
}

Texts cloud_state(const LintSubject&, FileTree& root) {
    if (!root.find("/var/lib/cloud/instance")) return {};
    return {"/var/lib/cloud holds the state of an instance"};
}

Texts iscsi_timeouts(const LintSubject&, FileTree& root) {
    constexpr std::string_view file = "/etc/iscsi/iscsid.conf";
    constexpr std::string_view key = "node.session.timeo.replacement_timeout";
    const std::string text = root.read_text(file);
    for (const Line& line : lines_of(text)) {
        if (!line.text.starts_with(key)) continue;
        const std::string_view value = trimmed(line.text.substr(line.text.find('=') + 1));
        if (value != "86400" && value != "-1") return {at_line(file, line)};
    }
    return {};
}

constexpr std::array checks = {
    Check{"unclean-filesystem", Severity::failure, unclean,
          "each clone replays the journal at its first boot, over its new identity",
          "shut the "
          "machine down cleanly, or run e2fsck on the image"},
    Check{"no-kernel", Severity::failure, kernel_fit, "machines cannot boot in kernel mode",
          "install a kernel, or give one by --kernel and "
          "--initrd, or boot in disk mode"},
    Check{"initramfs-iscsi", Severity::failure, initramfs_login,
          "the kernel starts and then finds no disk",
          "Debian: install open-iscsi, touch "
          "/etc/iscsi/iscsi.initramfs, update-initramfs -u; dracut: dracut -f --no-hostonly -a "
          "iscsi"},
    Check{"initramfs-modules", Severity::failure, initramfs_modules,
          "the kernel starts and then finds no network or no disk",
          "rebuild the initramfs for all "
          "machines: MODULES=most (Debian) or --no-hostonly (dracut)"},
    Check{"ssh-host-keys", Severity::failure, ssh_host_keys,
          "every clone has the same SSH identity, and its key is known to all", seal},
    Check{"ssh-key-maker", Severity::warning, ssh_key_maker, "sshd does not start on clones", seal},
    Check{"machine-id", Severity::failure, fixed_machine_id,
          "clones share their journal identity and DHCP client id, so they get one address", seal},
    Check{"hostname", Severity::warning, fixed_hostname,
          "clones call themselves by this name when nothing else tells them", seal},
    Check{"initiator-name", Severity::failure, fixed_initiator_name,
          "clones log in by one name and end each other's sessions", seal},
    Check{"dhcp-leases", Severity::warning, dhcp_leases,
          "clones ask for the address of the machine that the image was made on", seal},
    Check{"fstab", Severity::failure, fstab_devices,
          "the disk of a machine has another name there, and the boot waits for this one",
          "use LABEL= or UUID="},
    Check{"fstab-uuid", Severity::warning, fstab_uuids, rewritten,
          "LABEL= needs neither (cowtgt-seal writes it where there is a label)"},
    Check{"crypttab", Severity::failure, crypttab_devices,
          "the disk of a machine has another name there, and the boot waits for this one",
          "use LABEL= or UUID="},
    Check{"crypttab-uuid", Severity::warning, crypttab_uuids, rewritten, "LABEL= needs neither"},
    Check{"boot-loader", Severity::warning, loader_devices,
          "in disk mode the root of a machine may have another name", seal},
    Check{"boot-loader-uuid", Severity::warning, loader_uuids, rewritten,
          "a label needs neither (cowtgt-seal writes it)"},
    Check{"resume", Severity::warning, resume_device,
          "no machine wakes up from a disk on the network, and an initramfs that does not find its "
          "swap partition waits for it",
          seal},
    Check{"root-label", Severity::warning, root_label_missing,
          "the command line must name the root by the UUID of each clone", "e2label DEVICE root"},
    Check{"efi-fallback", Severity::warning, efi_fallback,
          "in disk mode UEFI machines start what their boot script names instead, or nothing",
          "cowtgt template set TEMPLATE efi=PATH (an import finds shim and GRUB by itself), or "
          "grub-install --removable in the image"},
    Check{"random-seed", Severity::warning, random_seed,
          "clones begin with the same seed of random numbers", seal},
    Check{"network-rules", Severity::warning, network_rules,
          "the network card of a clone gets another name than the configuration expects", seal},
    Check{"cloud-init", Severity::warning, cloud_state,
          "cloud-init takes a clone for the machine that the image was made on",
          "cloud-init clean"},
    Check{"iscsi-timeouts", Severity::warning, iscsi_timeouts,
          "a server that is away for two minutes makes the root read-only",
          "set "
          "node.session.timeo.replacement_timeout = 86400"},
};

}  // namespace

std::string_view to_string(Severity severity) {
    return severity == Severity::failure ? "failure" : "warning";
}

std::vector<Finding> lint(const LintSubject& subject) {
    std::vector<Finding> findings;
    FileTree* root = subject.image.root();
    if (root == nullptr) {
        findings.push_back({"no-root", Severity::warning, subject.image.no_root_because(),
                            "nothing in it was checked, and no kernel can be taken from it",
                            "check it by hand; give --kernel and --initrd"});
        return findings;
    }
    for (const Check& check : checks) {
        for (std::string& what : check.look(subject, *root)) {
            findings.push_back(
                {check.code, check.severity, std::move(what), check.breaks, check.mend});
        }
    }
    std::stable_sort(findings.begin(), findings.end(),
                     [](const Finding& a, const Finding& b) { return a.severity < b.severity; });
    return findings;
}

std::vector<std::string_view> lint_codes() {
    std::vector<std::string_view> codes;
    for (const Check& check : checks)
        codes.push_back(check.code);
    return codes;
}

}  // namespace cowtgt::boot
