#include "boot-helper/core/documents.h"

#include <algorithm>
#include <array>
#include <span>

#include "boot-helper/core/reports.h"
#include "boot-helper/core/scripts.h"
#include "boot-helper/core/seed.h"

namespace cowtgt::boot {

namespace {

constexpr std::string_view text_plain = "text/plain; charset=utf-8";
constexpr std::string_view application_json = "application/json";

/// Everything that a handler may look at. `part` are the segments that a row leaves open.
struct Asked {
    const Target& target;
    std::span<const std::string> part;
    const Fleet& fleet;
    const Reached& reached;
    std::int64_t now_ms;
};

Outcome text(std::string body) {
    return {Document{200, text_plain, std::move(body)}, {}};
}
Outcome json_text(std::string body) {
    return {Document{200, application_json, std::move(body)}, {}};
}
Outcome refuse(int status, std::string_view sentence) {
    return {plain_answer(status, sentence), {}};
}
Outcome refuse(const Error& error) {
    return refuse(error.code == ErrorCode::not_found ? 404 : 409, error.message);
}

BootEvent script_event(const Asked& asked, const config::MacAddress& mac, const Machine* machine) {
    const Firmware firmware = firmware_of(asked.target);
    return {Sighting::script_asked,
            machine == nullptr ? "" : machine->name,
            mac,
            firmware.uuid,
            firmware.arch,
            asked.reached.peer};
}

Outcome chain(const Asked&) {
    return text(chain_script());
}

Outcome boot_script(const Asked& asked) {
    const Result<config::MacAddress> mac = config::parse_mac(asked.target.query_value("mac"));
    if (!mac) return refuse(400, mac.error().message);
    const Machine* machine = asked.fleet.find_mac(*mac);
    const Firmware firmware = firmware_of(asked.target);
    Outcome outcome =
        text(machine == nullptr ? unknown_script(*mac, firmware)
                                : machine_script(asked.fleet, *machine, asked.reached, firmware));
    outcome.event = script_event(asked, *mac, machine);
    return outcome;
}

/// The interface that pixiecore asks: anything but 200 means that it leaves the machine alone.
Outcome boot_json(const Asked& asked) {
    constexpr std::string_view suffix = ".json";
    const std::string& file = asked.part[0];
    if (!file.ends_with(suffix)) return refuse(404, "there is /v1/boot/MAC.json");
    const Result<config::MacAddress> mac =
        config::parse_mac(std::string_view(file).substr(0, file.size() - suffix.size()));
    if (!mac) return refuse(400, mac.error().message);
    const Machine* machine = asked.fleet.find_mac(*mac);
    Outcome outcome;
    if (machine == nullptr) {
        outcome = refuse(404, "no machine has the MAC " + to_string(*mac) +
                                  "; take it in with: cowtgt adopt " + to_string(*mac) +
                                  " NAME TEMPLATE");
    } else {
        const Result<std::string> line =
            explicit_command_line(asked.fleet, *machine, asked.reached);
        if (!line) return refuse(line.error());
        if (!machine->kernel || !machine->initrd) {
            return refuse(404, "no kernel was taken from " + machine->template_ref);
        }
        outcome = json_text(boot_report(*machine, *line, asked.reached));
    }
    outcome.event = script_event(asked, *mac, machine);
    return outcome;
}

Outcome grub(const Asked& asked) {
    const Result<config::MacAddress> mac = config::parse_mac(asked.target.query_value("mac"));
    if (!mac) return refuse(400, mac.error().message);
    const Machine* machine = asked.fleet.find_mac(*mac);
    Outcome outcome = text(machine == nullptr ? unknown_grub_script(*mac, asked.reached)
                                              : grub_script(asked.fleet, *machine, asked.reached));
    outcome.event = script_event(asked, *mac, machine);
    return outcome;
}

Outcome cmdline(const Asked& asked) {
    const Machine* machine = asked.fleet.find_name(asked.part[0]);
    if (machine == nullptr) return refuse(404, "no machine is called " + asked.part[0]);
    const Result<std::string> line = explicit_command_line(asked.fleet, *machine, asked.reached);
    return line ? text(*line + "\n") : refuse(line.error());
}

Outcome blob(const Asked& asked) {
    const Blob* found = asked.fleet.find_blob(asked.part[0]);
    if (found == nullptr || found->name != asked.part[1]) {
        return refuse(404, "no template in use has this kernel or initrd");
    }
    Outcome outcome{BlobAnswer{*found}, {}};
    const Result<config::MacAddress> mac = config::parse_mac(asked.target.query_value("mac"));
    const Machine* machine = mac ? asked.fleet.find_mac(*mac) : nullptr;
    if (machine == nullptr) return outcome;
    const bool kernel = machine->kernel && machine->kernel->sha256 == found->sha256;
    const bool initrd = machine->initrd && machine->initrd->sha256 == found->sha256;
    if (!kernel && !initrd) return outcome;
    outcome.event = BootEvent{kernel ? Sighting::kernel_asked : Sighting::initrd_asked,
                              machine->name,
                              *mac,
                              "",
                              "",
                              asked.reached.peer};
    return outcome;
}

Outcome firmware(const Asked& asked) {
    return {FirmwareAnswer{asked.part[0]}, {}};
}

/// user-data may hold secrets: only who is logged in to the machine's disk is given it.
Outcome seed(const Asked& asked) {
    const Machine* machine = asked.fleet.find_name(asked.part[0]);
    if (machine == nullptr || !machine->seed) return refuse(404, "there is no such seed");
    const auto& allowed = machine->session_addresses;
    if (std::find(allowed.begin(), allowed.end(), asked.reached.peer) == allowed.end()) {
        return refuse(403, "the seed of " + machine->name +
                               " is given to the address that is logged in to its disk; this is " +
                               asked.reached.peer);
    }
    std::optional<std::string> document = seed_document(*machine, asked.part[1]);
    return document ? text(std::move(*document)) : refuse(404, "there is no such seed");
}

Outcome health(const Asked&) {
    return text("ok\n");
}
Outcome machines(const Asked& asked) {
    return json_text(machines_report(asked.fleet));
}
Outcome status(const Asked& asked) {
    return json_text(status_report(asked.fleet, asked.now_ms));
}
Outcome metrics(const Asked& asked) {
    return {Document{200, "text/plain; version=0.0.4; charset=utf-8", metrics_text(asked.fleet)},
            {}};
}

/// "*" stands for any one segment.
struct Route {
    std::array<std::string_view, 4> path;
    Outcome (*handle)(const Asked&);
};

// The first row that fits is taken.
constexpr std::array routes = {
    Route{{"boot.ipxe"}, chain},
    Route{{"autoexec.ipxe"}, chain},
    Route{{"ipxe", "autoexec.ipxe"}, chain},  // beside the program that asks for it
    Route{{"ipxe", "*"}, firmware},
    Route{{"healthz"}, health},
    Route{{"metrics"}, metrics},
    Route{{"v1", "boot"}, boot_script},
    Route{{"v1", "boot", "*"}, boot_json},
    Route{{"v1", "grub"}, grub},
    Route{{"v1", "cmdline", "*"}, cmdline},
    Route{{"v1", "blob", "*", "*"}, blob},
    Route{{"v1", "seed", "*", "*"}, seed},
    Route{{"v1", "machines"}, machines},
    Route{{"v1", "status"}, status},
};

bool fits(const Route& route, const std::vector<std::string>& segments) {
    const auto end = std::find(route.path.begin(), route.path.end(), std::string_view{});
    return std::equal(route.path.begin(), end, segments.begin(), segments.end(),
                      [](std::string_view wanted, const std::string& segment) {
                          return wanted == "*" || wanted == segment;
                      });
}

std::size_t fixed_segments(const Route& route) {
    const auto open = std::find(route.path.begin(), route.path.end(), "*");
    return static_cast<std::size_t>(open - route.path.begin());
}

}  // namespace

Document plain_answer(int status, std::string_view sentence) {
    return {status, text_plain, std::string(sentence) + "\n"};
}

Outcome answer_request(std::string_view target, const Fleet& fleet, const Reached& reached,
                       std::int64_t now_ms) {
    const std::variant<Target, BadTarget> parsed = parse_target(target);
    if (const auto* bad = std::get_if<BadTarget>(&parsed)) return refuse(bad->status, bad->why);
    const auto& asked_for = std::get<Target>(parsed);
    for (const Route& route : routes) {
        if (!fits(route, asked_for.segments)) continue;
        const std::size_t fixed = std::min(fixed_segments(route), asked_for.segments.size());
        return route.handle(
            {asked_for, std::span(asked_for.segments).subspan(fixed), fleet, reached, now_ms});
    }
    return refuse(404, "there is nothing here; a boot begins at /boot.ipxe");
}

}  // namespace cowtgt::boot
