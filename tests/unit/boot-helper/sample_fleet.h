#pragma once

#include <string>

#include "boot-helper/core/fleet.h"

namespace cowtgt::boot {

inline config::MacAddress mac_of(const char* text) {
    return *config::parse_mac(text);
}

inline Reached reached_by_ipv4() {
    return {{"10.0.0.1", 8080, false}, "10.0.0.21"};
}
inline Reached reached_by_ipv6() {
    return {{"fd00::1", 8080, true}, "fd00::21"};
}

/// web1, with a kernel, in a site that listens on both IP versions.
inline Machine sample_machine() {
    Machine machine;
    machine.name = "web1";
    machine.mac = mac_of("52:54:00:12:34:01");
    machine.template_ref = "debian12@3";
    machine.uuid = "0f6f3a4e-9b1d-4d53-8a35-1f2f6f3b8d11";
    machine.dialect = Dialect::initramfs_tools;
    machine.kernel = Blob{std::string(64, 'a'), "vmlinuz-6.1.0-50-amd64", 8'000'000, "/k"};
    machine.initrd = Blob{std::string(64, 'b'), "initrd.img-6.1.0-50-amd64", 30'000'000, "/i"};
    machine.root_label = "root";
    return machine;
}

inline Fleet sample_fleet() {
    Fleet fleet;
    fleet.prefix = "iqn.2026-01.lan.example";
    fleet.version = "0.1.0";
    fleet.portals = {{"::", 3260, true}};
    fleet.http = {"10.0.0.1", 8080, false};
    fleet.machines = {sample_machine()};
    return fleet;
}

}  // namespace cowtgt::boot
