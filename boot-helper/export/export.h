#pragma once

#include <array>
#include <string>
#include <string_view>

#include "boot-helper/core/fleet.h"
#include "cow-store/base/result.h"

/// What other programs must be told about the machines, generated, so that nothing is written down
/// twice. cowtgt hands out no addresses itself.
namespace cowtgt::boot {

enum class ExportKind : std::uint8_t { dnsmasq, kea, isc, hosts, ethers, qemu, libvirt };
/// usage for a word that names none, with those that do.
Result<ExportKind> parse_export_kind(std::string_view word);
/// Whether it is about one machine rather than all.
bool needs_machine(ExportKind kind);

/// The text for `kind`. `machine` is the name for qemu and libvirt, else empty.
/// Errors: not_found for an unknown machine; refused when the configuration's HTTP address is
/// missing or means all addresses, since a file for others must name one.
Result<std::string> export_text(const Fleet& fleet, ExportKind kind, std::string_view machine);

}  // namespace cowtgt::boot
