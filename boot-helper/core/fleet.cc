#include "boot-helper/core/fleet.h"

#include <algorithm>

#include "cow-store/base/uuid.h"

namespace cowtgt::boot {

namespace {

constexpr std::size_t sha256_hex_digits = 64;

/// The version 5 UUIDs of prefixes lie in this name space of our own; it never changes.
constexpr Uuid machine_id_name_space{{0x5e, 0x0c, 0x1b, 0x8a, 0x39, 0xd4, 0x4f, 0x6e, 0x9a, 0x27,
                                      0x61, 0xf0, 0x13, 0xc8, 0x7d, 0x52}};

}  // namespace

std::string_view to_string(Dialect dialect) {
    switch (dialect) {
        case Dialect::dracut:
            return "dracut";
        case Dialect::initramfs_tools:
            return "debian";
        case Dialect::ibft:
            return "ibft";
        case Dialect::unknown:
            break;
    }
    return "unknown";
}

std::string_view to_string(BootMode mode) {
    return mode == BootMode::kernel ? "kernel" : "disk";
}

const Machine* Fleet::find_name(std::string_view name) const {
    const auto found = std::find_if(machines.begin(), machines.end(),
                                    [&](const Machine& machine) { return machine.name == name; });
    return found == machines.end() ? nullptr : &*found;
}

const Machine* Fleet::find_mac(const config::MacAddress& mac) const {
    const auto found = std::find_if(machines.begin(), machines.end(),
                                    [&](const Machine& machine) { return machine.mac == mac; });
    return found == machines.end() ? nullptr : &*found;
}

const Blob* Fleet::find_blob(std::string_view sha256) const {
    if (sha256.size() != sha256_hex_digits) return nullptr;
    for (const Machine& machine : machines) {
        for (const std::optional<Blob>* blob : {&machine.kernel, &machine.initrd}) {
            if (blob->has_value() && (*blob)->sha256 == sha256) return &**blob;
        }
    }
    return nullptr;
}

std::string bracketed(const config::Endpoint& endpoint) {
    return endpoint.ipv6 ? "[" + endpoint.address + "]" : endpoint.address;
}

std::string authority_of(const config::Endpoint& endpoint) {
    return bracketed(endpoint) + ":" + std::to_string(endpoint.port);
}

Result<config::Endpoint> choose_portal(const Fleet& fleet, const Reached& reached,
                                       Network network) {
    const bool want_ipv6 =
        network == Network::as_firmware ? reached.local.ipv6 : network == Network::ipv6;
    const config::Endpoint* other = nullptr;
    const config::Endpoint* wildcard = nullptr;
    for (const config::Endpoint& portal : fleet.portals) {
        // A socket bound to :: serves IPv4 too.
        if (portal.is_wildcard() && (portal.ipv6 || !want_ipv6)) wildcard = &portal;
        if (portal.is_wildcard() || portal.ipv6 != want_ipv6) continue;
        if (portal.address == reached.local.address) return portal;
        if (other == nullptr) other = &portal;
    }
    if (wildcard != nullptr && reached.local.ipv6 == want_ipv6) {
        return config::Endpoint{reached.local.address, wildcard->port, want_ipv6};
    }
    if (other != nullptr) return *other;
    const std::string version = want_ipv6 ? "IPv6" : "IPv4";
    return Error{ErrorCode::not_found, "no iSCSI portal with an " + version +
                                           " address: add one to listen in cowtgt.toml"};
}

std::string machine_id(std::string_view prefix, std::string_view name) {
    std::string text =
        to_string(make_name_uuid(make_name_uuid(machine_id_name_space, prefix), name));
    std::erase(text, '-');
    return text;
}

}  // namespace cowtgt::boot
