#include "boot-helper/core/reports.h"

#include <array>
#include <cmath>
#include <cstdio>
#include <map>
#include <nlohmann/json.hpp>

#include "boot-helper/core/scripts.h"
#include "cow-store/base/check.h"
#include "target/config/names.h"

namespace cowtgt::boot {

namespace {

using json = nlohmann::ordered_json;

constexpr std::array all_stages = {Stage::off,    Stage::script,         Stage::kernel,
                                   Stage::initrd, Stage::firmware_login, Stage::linux_login,
                                   Stage::ready};

/// Bytes that are no UTF-8 are replaced, so this cannot fail.
std::string text_of_json(const json& value) {
    return value.dump(2, ' ', false, json::error_handler_t::replace) + "\n";
}

/// RFC 3339 in UTC. The civil date of a day number, by the 400-year cycle of the calendar.
std::string utc_time(std::int64_t time_ms) {
    const std::int64_t seconds = time_ms / 1'000;
    const std::int64_t days = seconds / 86'400;
    const std::int64_t second = seconds % 86'400;
    const std::int64_t from_march = days + 719'468;  // days since 0000-03-01
    const std::int64_t cycle = from_march / 146'097;
    const std::int64_t day_of_cycle = from_march % 146'097;
    const std::int64_t year_of_cycle =
        (day_of_cycle - day_of_cycle / 1'460 + day_of_cycle / 36'524 - day_of_cycle / 146'096) /
        365;
    const std::int64_t day_of_year =
        day_of_cycle - (365 * year_of_cycle + year_of_cycle / 4 - year_of_cycle / 100);
    const std::int64_t month_from_march = (5 * day_of_year + 2) / 153;
    const std::int64_t day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    const std::int64_t month = month_from_march < 10 ? month_from_march + 3 : month_from_march - 9;
    const std::int64_t year = year_of_cycle + cycle * 400 + (month <= 2 ? 1 : 0);
    std::array<char, 40> text{};
    const int length = std::snprintf(
        text.data(), text.size(), "%04d-%02d-%02dT%02d:%02d:%02dZ", static_cast<int>(year),
        static_cast<int>(month), static_cast<int>(day), static_cast<int>(second / 3'600),
        static_cast<int>(second / 60 % 60), static_cast<int>(second % 60));
    return {text.data(), static_cast<std::size_t>(length)};
}

json time_or_null(std::int64_t time_ms) {
    return time_ms == 0 ? json(nullptr) : json(utc_time(time_ms));
}

json describe_machine(const Fleet& fleet, const Machine& machine) {
    const std::string initiator = config::initiator_name(fleet.prefix, machine.name);
    return {{"name", machine.name},
            {"mac", machine.mac ? json(to_string(*machine.mac)) : json(nullptr)},
            {"template", machine.template_ref},
            {"target", config::target_name(fleet.prefix, machine.name)},
            {"initiator", machine.mac ? json(initiator) : json(nullptr)},
            {"uuid", machine.uuid},
            {"mode", to_string(machine.mode)},
            {"initramfs", to_string(machine.dialect)},
            {"kernel", machine.kernel ? json(machine.kernel->name) : json(nullptr)},
            {"machine_id", machine_id(fleet.prefix, machine.name)},
            {"stage", to_string(machine.stage.stage)},
            {"since", time_or_null(machine.stage.since_ms)},
            {"stuck", machine.stage.stuck}};
}

std::map<Stage, std::size_t> count_stages(const Fleet& fleet) {
    std::map<Stage, std::size_t> counts;
    for (const Stage stage : all_stages)
        counts[stage] = 0;
    for (const Machine& machine : fleet.machines)
        ++counts[machine.stage.stage];
    return counts;
}

/// A label value, Prometheus' exposition formats: backslash, quote and line feed are escaped.
std::string label_value(std::string_view value) {
    std::string text;
    for (const char c : value) {
        if (c == '\\' || c == '"') text += '\\';
        if (c == '\n') {
            text += "\\n";
        } else {
            text += c;
        }
    }
    return text;
}

std::string number_text(double value) {
    if (value == std::floor(value) && std::fabs(value) < 1e15) {
        return std::to_string(static_cast<std::int64_t>(value));
    }
    std::array<char, 40> text{};
    const int length = std::snprintf(text.data(), text.size(), "%.9g", value);
    return {text.data(), static_cast<std::size_t>(length)};
}

std::vector<Metric> fleet_metrics(const Fleet& fleet) {
    std::vector<Metric> metrics;
    metrics.push_back(
        {"cowtgt_build_info", "Version of the daemon.", "gauge", {{"version", fleet.version}}, 1});
    for (const Machine& machine : fleet.machines) {
        const bool up = machine.stage.stage >= Stage::linux_login;
        metrics.push_back({"cowtgt_machine_up",
                           "Whether an operating system is logged in to the machine's disk.",
                           "gauge",
                           {{"machine", machine.name}},
                           up ? 1.0 : 0.0});
    }
    for (const Machine& machine : fleet.machines) {
        metrics.push_back(
            {"cowtgt_machine_stage",
             "How far the machine's boot has come: 1 for its stage.",
             "gauge",
             {{"machine", machine.name}, {"stage", std::string(to_string(machine.stage.stage))}},
             1});
    }
    for (const Machine& machine : fleet.machines) {
        metrics.push_back({"cowtgt_machine_stuck",
                           "Whether the machine is longer in a stage of its boot than its limit.",
                           "gauge",
                           {{"machine", machine.name}},
                           machine.stage.stuck ? 1.0 : 0.0});
    }
    metrics.push_back({"cowtgt_unknown_machines",
                       "MACs that asked for a boot script and are no machine.",
                       "gauge",
                       {},
                       static_cast<double>(fleet.unknown.size())});
    return metrics;
}

/// Samples of one name stand together, under one HELP and TYPE.
void append_metrics(std::string& text, const std::vector<Metric>& metrics) {
    std::map<std::string_view, std::vector<const Metric*>> families;
    for (const Metric& metric : metrics)
        families[metric.name].push_back(&metric);
    for (const auto& [name, samples] : families) {
        const std::string family(name);
        text += "# HELP " + family + " " + samples.front()->help + "\n";
        text += "# TYPE " + family + " " + samples.front()->type + "\n";
        for (const Metric* sample : samples) {
            text += family;
            std::string labels;
            for (const auto& [label, value] : sample->labels) {
                labels += (labels.empty() ? "" : ",") + label + "=\"" + label_value(value) + "\"";
            }
            if (!labels.empty()) text += "{" + labels + "}";
            text += " " + number_text(sample->value) + "\n";
        }
    }
}

}  // namespace

std::string machines_report(const Fleet& fleet) {
    json machines = json::array();
    for (const Machine& machine : fleet.machines) {
        machines.push_back(describe_machine(fleet, machine));
    }
    return text_of_json(machines);
}

std::string status_report(const Fleet& fleet, std::int64_t now_ms) {
    json by_stage = json::object();
    for (const auto& [stage, count] : count_stages(fleet))
        by_stage[to_string(stage)] = count;
    json stuck = json::array();
    for (const Machine& machine : fleet.machines) {
        if (!machine.stage.stuck) continue;
        stuck.push_back({{"name", machine.name},
                         {"stage", to_string(machine.stage.stage)},
                         {"text", describe(machine.stage, now_ms)}});
    }
    json unknown = json::array();
    for (const UnknownMachine& machine : fleet.unknown) {
        unknown.push_back({{"mac", to_string(machine.mac)},
                           {"uuid", machine.uuid},
                           {"arch", machine.arch},
                           {"address", machine.address},
                           {"last_seen", time_or_null(machine.last_seen_ms)},
                           {"count", machine.count},
                           {"adopt", "cowtgt adopt " + to_string(machine.mac) + " NAME TEMPLATE"}});
    }
    return text_of_json({{"version", fleet.version},
                         {"prefix", fleet.prefix},
                         {"machines", {{"total", fleet.machines.size()}, {"stages", by_stage}}},
                         {"stuck", stuck},
                         {"unknown", unknown},
                         {"problems", fleet.problems}});
}

std::string boot_report(const Machine& machine, std::string_view command_line,
                        const Reached& reached) {
    CHECK(machine.kernel && machine.initrd);
    const std::string server = "http://" + authority_of(reached.local);
    return text_of_json({{"kernel", server + blob_path(*machine.kernel, machine)},
                         {"initrd", json::array({server + blob_path(*machine.initrd, machine)})},
                         {"cmdline", command_line},
                         {"message", machine.name + " " + machine.template_ref}});
}

std::string metrics_text(const Fleet& fleet) {
    std::vector<Metric> metrics = fleet_metrics(fleet);
    metrics.insert(metrics.end(), fleet.metrics.begin(), fleet.metrics.end());
    std::string text;
    append_metrics(text, metrics);
    return text;
}

}  // namespace cowtgt::boot
