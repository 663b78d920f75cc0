#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "boot-helper/core/fleet.h"

/// The fleet for programs: JSON with fields that keep their meaning, and Prometheus' text.
namespace cowtgt::boot {

/// /v1/machines: an array of {name, mac (null), template, target, initiator (null: any), uuid,
/// mode, initramfs, kernel (null), machine_id, stage, since (null), stuck}.
std::string machines_report(const Fleet& fleet);

/// /v1/status: {version, prefix, machines {total, by stage}, stuck [{name, stage, text}],
/// unknown [{mac, uuid, arch, address, last_seen, count, adopt}], problems [sentence]}.
std::string status_report(const Fleet& fleet, std::int64_t now_ms);

/// /v1/boot/MAC.json, as pixiecore reads it: {kernel, initrd [], cmdline, message}.
/// Requires: the machine has a kernel and an initrd.
std::string boot_report(const Machine& machine, std::string_view command_line,
                        const Reached& reached);

/// /metrics in Prometheus' text format 0.0.4.
std::string metrics_text(const Fleet& fleet);

}  // namespace cowtgt::boot
