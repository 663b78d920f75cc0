#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "boot-helper/stages/stages.h"
#include "cow-store/base/result.h"
#include "target/config/endpoint.h"
#include "target/config/machine.h"
#include "target/config/secrets_file.h"

/// Everything that the documents of the boot-helper are made of, as one value. The daemon makes a
/// new one when something changes and hands it out as shared_ptr<const Fleet>; nobody changes one
/// that is handed out.
namespace cowtgt::boot {

/// Which words on the kernel's command line the template's initramfs understands.
enum class Dialect : std::uint8_t {
    unknown,
    dracut,
    initramfs_tools,  ///< Debian's, with open-iscsi's hook
    ibft,             ///< takes everything from the iBFT by itself (mkinitcpio, NixOS)
};
/// "dracut", "debian", "ibft", "unknown": as in templates' settings and in JSON.
std::string_view to_string(Dialect dialect);

enum class BootMode : std::uint8_t {
    kernel,  ///< kernel and initrd by HTTP
    disk,    ///< the boot loader on the disk
};
std::string_view to_string(BootMode mode);

/// By which IP version the booted system reaches its disk.
enum class Network : std::uint8_t { as_firmware, ipv4, ipv6 };

/// A kernel or an initrd that was taken from a template.
struct Blob {
    std::string sha256;  ///< 64 hex digits, lower case
    std::string name;    ///< "vmlinuz-6.1.0-50-amd64": letters, digits and -._+~ only
    std::uint64_t size_bytes = 0;
    std::filesystem::path file;  ///< where the server reads it
};

/// What cloud-init's NoCloud source is given. meta-data is derived.
struct Seed {
    std::string user_data;
    std::string vendor_data;
    std::string network_config;  ///< empty: there is none, cloud-init falls back to DHCP
};

/// As whom the initiator of a disk authenticates.
struct Chap {
    std::string user;
    /// Only when the configuration lets secrets go over HTTP: a document cannot tell what is not
    /// here.
    std::optional<config::ChapSecrets> secrets;
};

/// One instance as the boot-helper sees it.
struct Machine {
    std::string name;
    std::optional<config::MacAddress> mac;  ///< absent: it has no boot script
    std::string template_ref;               ///< "debian12@3"
    std::string uuid;                       ///< of the instance, new at each clone
    BootMode mode = BootMode::kernel;
    Dialect dialect = Dialect::unknown;
    Network network = Network::as_firmware;
    std::optional<Blob> kernel;  ///< of the template version
    std::optional<Blob> initrd;
    std::string root_label;             ///< of the root file system; the same in all clones
    std::string root_uuid;              ///< of this clone, for roots without a label
    std::string extra_words;            ///< appended to the command line
    std::vector<std::string> consoles;  ///< "ttyS0,115200"
    std::string efi_program;            ///< "\EFI\debian\grubx64.efi" where BOOTX64.EFI is missing
    std::optional<Chap> chap;           ///< absent: nobody has to authenticate
    std::optional<Seed> seed;
    std::vector<std::string> session_addresses;  ///< of initiators that are logged in, no ports
    StageReport stage;
};

/// One sample for /metrics beside those that follow from the fleet itself.
struct Metric {
    std::string name;  ///< "cowtgt_sessions"
    std::string help;
    std::string type;  ///< "gauge" or "counter"
    std::vector<std::pair<std::string, std::string>> labels;
    double value = 0;
};

struct Fleet {
    std::string prefix;   ///< of the site's iSCSI names
    std::string version;  ///< of the daemon
    /// iSCSI portals, as configured: 0.0.0.0 and :: mean the address that a client reached by HTTP.
    std::vector<config::Endpoint> portals;
    config::Endpoint http;          ///< the address that exported configuration names
    std::vector<Machine> machines;  ///< by name
    std::vector<UnknownMachine> unknown;
    std::vector<std::string> problems;  ///< sentences: what, and what to do
    std::vector<Metric> metrics;

    const Machine* find_name(std::string_view name) const;
    const Machine* find_mac(const config::MacAddress& mac) const;
    /// The kernel or initrd with this hash, of whichever machine.
    const Blob* find_blob(std::string_view sha256) const;
};

/// How a client reached the HTTP server, in numbers: IPv4 addresses are never written as mapped
/// IPv6 ones.
struct Reached {
    config::Endpoint local;  ///< the address and port that it connected to
    std::string peer;        ///< its own address
};

/// "10.0.0.1:8080", "[fd00::1]:8080"
std::string authority_of(const config::Endpoint& endpoint);
/// "10.0.0.1", "[fd00::1]"
std::string bracketed(const config::Endpoint& endpoint);

/// The iSCSI portal for a client that reached us at `reached`: the same address if we listen
/// there, else the first one of the wanted IP version. not_found says what is missing.
Result<config::Endpoint> choose_portal(const Fleet& fleet, const Reached& reached, Network network);

/// The machine-id(5) of a machine: 32 hex digits that follow from the site's prefix and its name,
/// so that an instance that is reset or made again keeps it.
std::string machine_id(std::string_view prefix, std::string_view name);

}  // namespace cowtgt::boot
