#include "tools/render_boot.h"

#include <nlohmann/json.hpp>

#include "target/config/size.h"
#include "tools/cowtgt_render.h"
#include "tools/render_parts.h"

namespace cowtgt::tools {

using nlohmann::json;

namespace {

std::string render_findings(const json& findings) {
    std::string result;
    for (const json& finding : findings) {
        result += "  " + text(finding, "severity") + ": " + text(finding, "what") + ": " +
                  text(finding, "breaks") + "; " + text(finding, "mend") + "\n";
    }
    return result;
}

std::string boot_text(const json& boot) {
    if (at(boot, "kernel").is_null()) {
        return text(boot, "mode") + ": no kernel, since " + text(boot, "no_kernel_because");
    }
    const std::string words = text(boot, "words");
    return text(boot, "mode") + ", kernel " + text(boot, "kernel_version") + ", initramfs " +
           text(boot, "initramfs") + (words.empty() ? "" : ", with " + words);
}

std::string count_text(std::size_t count, std::string_view what) {
    return std::to_string(count) + " " + std::string(what);
}

}  // namespace

std::string render_boot(const json& boot) {
    if (!boot.is_object()) return "";
    return field("boot", boot_text(boot)) + render_findings(at(boot, "findings"));
}

std::string render_template_boot(const json& info) {
    return text(info, "ref") + "\n" + field("boot", boot_text(at(info, "boot")));
}

std::string render_check(const json& check) {
    std::string result = text(check, "ref") + "\n" + field("boot", boot_text(at(check, "boot"))) +
                         render_findings(at(check, "findings"));
    if (!at(check, "fine").empty()) result += "  fine: " + joined(at(check, "fine"), " ") + "\n";
    return result;
}

std::string stage_word(const json& instance) {
    const json& boot = at(instance, "boot");
    if (!boot.is_object()) return "-";
    const json& stuck = at(boot, "stuck");
    const bool is_stuck = stuck.is_boolean() && stuck.get<bool>();
    return (is_stuck ? "stuck:" : "") + text(boot, "stage");
}

std::string stage_text(const json& instance) {
    const json& boot = at(instance, "boot");
    if (!boot.is_object()) return "not known: cowtgtd does not run";
    const std::string since = text(boot, "since");
    return text(boot, "text") + (since.empty() ? "" : ", since " + since);
}

std::string render_unknown(const json& machines) {
    if (machines.empty()) return "no unknown machine has asked for a boot script\n";
    std::vector<std::vector<std::string>> rows = {
        {"MAC", "ADDRESS", "LAST SEEN", "COUNT", "ARCH", "ADOPT WITH"}};
    for (const json& machine : machines) {
        rows.push_back({text(machine, "mac"), or_dash(text(machine, "address")),
                        text(machine, "last_seen"), text(machine, "count"),
                        or_dash(text(machine, "arch")),
                        "cowtgt adopt " + text(machine, "mac") + " NAME TEMPLATE"});
    }
    return render_table(rows, {3});
}

std::string render_adopted(const json& instance) {
    return text(instance, "mac") + " is " + text(instance, "name") + ", on " +
           text(instance, "template") + "; it boots when it asks next\n";
}

std::string render_plan(const json& plan) {
    std::string result;
    for (const json& machine : at(plan, "create")) {
        const std::uint64_t bytes = number(machine, "size_bytes");
        result += "+ " + text(machine, "name") + "  of " + text(machine, "template") +
                  (text(machine, "mac").empty() ? "" : "  " + text(machine, "mac")) +
                  (bytes == 0 ? "" : "  " + config::short_size(bytes)) + "\n";
    }
    for (const json& change : at(plan, "change")) {
        result += "~ " + text(change, "from") + "\n  " + text(change, "to") + "\n";
    }
    for (const json& name : at(plan, "unlisted")) {
        result += "- " + name.get<std::string>() +
                  "  has no line any more: it keeps its disk, and any initiator may log in\n";
    }
    for (const json& note : at(plan, "notes"))
        result += "! " + note.get<std::string>() + "\n";
    if (at(plan, "create").empty() && at(plan, "change").empty() && at(plan, "unlisted").empty()) {
        return result + "nothing to do\n";
    }
    return result + count_text(at(plan, "create").size(), "to make, ") +
           count_text(at(plan, "change").size(), "to change, ") +
           count_text(at(plan, "unlisted").size(), "without a line; do it with: cowtgt apply\n");
}

std::string render_applied(const json& result) {
    std::string lines;
    for (const json& name : at(result, "created"))
        lines += "made " + name.get<std::string>() + "\n";
    for (const json& name : at(result, "changed"))
        lines += "changed " + name.get<std::string>() + "\n";
    for (const json& failure : at(result, "failed")) {
        lines += "failed " + text(failure, "name") + ": " + text(failure, "why") + "\n";
    }
    return lines.empty() ? "nothing to do\n" : lines;
}

}  // namespace cowtgt::tools
