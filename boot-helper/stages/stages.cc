#include "boot-helper/stages/stages.h"

#include <algorithm>
#include <array>

#include "cow-store/base/check.h"

namespace cowtgt::boot {

namespace {

constexpr std::int64_t second_ms = 1'000;
constexpr std::int64_t minute_ms = 60 * second_ms;

struct StageRow {
    Stage stage;
    std::string_view name;
    std::int64_t limit_ms;  ///< longer is stuck; 0: may last
};

// The limits are several times what the slowest machines need: an initrd is read and unpacked, and
// the network waited for, before Linux logs in; a firmware without IPv6 routers waits 14 s.
constexpr std::array stage_rows = {
    StageRow{Stage::off, "off", 0},
    StageRow{Stage::script, "script", 1 * minute_ms},
    StageRow{Stage::kernel, "kernel", 2 * minute_ms},
    StageRow{Stage::initrd, "initrd", 3 * minute_ms},
    StageRow{Stage::firmware_login, "firmware", 5 * minute_ms},
    StageRow{Stage::linux_login, "linux", 0},
    StageRow{Stage::ready, "ready", 0},
};

const StageRow& row_of(Stage stage) {
    const StageRow& row = stage_rows[static_cast<std::size_t>(stage)];
    CHECK(row.stage == stage);
    return row;
}

/// Which stages a sighting leads to a stage from. Every other pair changes nothing: a second path
/// of Linux, a kernel fetched by a browser.
struct StageChange {
    Sighting sighting;
    std::uint8_t from;  ///< bits of Stage
    Stage to;
    bool begins_boot;  ///< or restarts one
};

constexpr std::uint8_t bit(Stage stage) {
    return static_cast<std::uint8_t>(1U << static_cast<unsigned>(stage));
}
constexpr std::uint8_t in_firmware =
    bit(Stage::script) | bit(Stage::kernel) | bit(Stage::initrd) | bit(Stage::firmware_login);

constexpr std::array stage_changes = {
    StageChange{Sighting::script_asked,
                bit(Stage::off) | bit(Stage::linux_login) | bit(Stage::ready), Stage::script, true},
    // The script asked for again: the boot failed and goes round.
    StageChange{Sighting::script_asked, in_firmware, Stage::script, false},
    // The sanhook of kernel mode logs in before the kernel is fetched.
    StageChange{Sighting::kernel_asked, bit(Stage::script) | bit(Stage::firmware_login),
                Stage::kernel, false},
    StageChange{Sighting::initrd_asked,
                bit(Stage::script) | bit(Stage::kernel) | bit(Stage::firmware_login), Stage::initrd,
                false},
    StageChange{Sighting::firmware_login, bit(Stage::script), Stage::firmware_login, false},
    // Only power-on brings the firmware back when no script was asked for.
    StageChange{Sighting::firmware_login,
                bit(Stage::off) | bit(Stage::linux_login) | bit(Stage::ready),
                Stage::firmware_login, true},
    StageChange{Sighting::linux_login, static_cast<std::uint8_t>(in_firmware | bit(Stage::off)),
                Stage::linux_login, false},
    StageChange{Sighting::linux_goes_on,
                static_cast<std::uint8_t>(in_firmware | bit(Stage::off) | bit(Stage::linux_login)),
                Stage::ready, false},
    // Between the firmware's session and that of Linux there is none: only a booted machine that
    // has no session any more is off.
    StageChange{Sighting::last_session_ended, bit(Stage::linux_login) | bit(Stage::ready),
                Stage::off, false},
};

const StageChange* find_change(Sighting sighting, Stage from) {
    for (const StageChange& change : stage_changes) {
        if (change.sighting == sighting && (change.from & bit(from)) != 0) return &change;
    }
    return nullptr;
}

/// For a machine that goes round between stages, none of which lasts.
constexpr std::int64_t boot_limit_ms = 10 * minute_ms;

bool is_stuck(const StageReport& report, std::int64_t now_ms) {
    const std::int64_t limit_ms = row_of(report.stage).limit_ms;
    if (limit_ms == 0) return false;
    return now_ms - report.since_ms > limit_ms || now_ms - report.boot_began_ms > boot_limit_ms;
}

std::string short_time(std::int64_t span_ms) {
    const std::int64_t seconds = std::max<std::int64_t>(span_ms, 0) / second_ms;
    if (seconds < 60) return std::to_string(seconds) + " s";
    if (seconds < 3'600) return std::to_string(seconds / 60) + " min";
    if (seconds < 86'400) return std::to_string(seconds / 3'600) + " h";
    return std::to_string(seconds / 86'400) + " d";
}

}  // namespace

std::string_view to_string(Stage stage) {
    return row_of(stage).name;
}

std::string describe(const StageReport& report, std::int64_t now_ms) {
    std::string text(to_string(report.stage));
    if (report.since_ms == 0) return text;
    if (is_stuck(report, now_ms)) text = "stuck at " + text;
    return text + " for " + short_time(now_ms - report.since_ms);
}

bool StageTracker::see(std::string_view name, Sighting sighting, std::int64_t now_ms) {
    auto found = machines_.find(name);
    const Stage from = found == machines_.end() ? Stage::off : found->second.report.stage;
    const StageChange* change = find_change(sighting, from);
    if (change == nullptr) return false;
    if (found == machines_.end()) found = machines_.emplace(std::string(name), Entry{}).first;
    Entry& entry = found->second;
    const std::int64_t began_ms = change->begins_boot ? now_ms : entry.report.boot_began_ms;
    const bool told = entry.told && !change->begins_boot && change->to <= entry.told_stage;
    entry = {{change->to, now_ms, began_ms, false}, told, entry.told_stage};
    return change->to != from;
}

void StageTracker::forget(std::string_view name) {
    const auto found = machines_.find(name);
    if (found != machines_.end()) machines_.erase(found);
}

StageReport StageTracker::report(std::string_view name, std::int64_t now_ms) const {
    const auto found = machines_.find(name);
    if (found == machines_.end()) return {};
    StageReport report = found->second.report;
    report.stuck = is_stuck(report, now_ms);
    return report;
}

std::vector<StuckEvent> StageTracker::newly_stuck(std::int64_t now_ms) {
    std::vector<StuckEvent> events;
    for (auto& [name, entry] : machines_) {
        if (entry.told || !is_stuck(entry.report, now_ms)) continue;
        entry.told = true;
        entry.told_stage = entry.report.stage;
        events.push_back({name, entry.report.stage, entry.report.since_ms});
    }
    return events;
}

void UnknownMachines::see(const Sight& sight, std::int64_t now_ms) {
    auto found = machines_.find(sight.mac);
    if (found == machines_.end()) {
        if (machines_.size() == entries_max) {
            machines_.erase(std::min_element(
                machines_.begin(), machines_.end(), [](const auto& a, const auto& b) {
                    return a.second.last_seen_ms < b.second.last_seen_ms;
                }));
        }
        found = machines_.emplace(sight.mac, UnknownMachine{}).first;
        found->second.mac = sight.mac;
        found->second.first_seen_ms = now_ms;
    }
    UnknownMachine& machine = found->second;
    machine.uuid = sight.uuid;
    machine.arch = sight.arch;
    machine.address = sight.address;
    machine.last_seen_ms = now_ms;
    ++machine.count;
}

void UnknownMachines::forget(const config::MacAddress& mac) {
    machines_.erase(mac);
}

std::vector<UnknownMachine> UnknownMachines::list() const {
    std::vector<UnknownMachine> machines;
    for (const auto& [mac, machine] : machines_)
        machines.push_back(machine);
    std::stable_sort(machines.begin(), machines.end(),
                     [](const UnknownMachine& a, const UnknownMachine& b) {
                         return a.last_seen_ms > b.last_seen_ms;
                     });
    return machines;
}

}  // namespace cowtgt::boot
