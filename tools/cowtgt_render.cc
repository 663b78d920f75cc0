#include "tools/cowtgt_render.h"

#include <algorithm>
#include <cstdint>
#include <nlohmann/json.hpp>

#include "target/config/size.h"
#include "target/control/protocol.h"
#include "tools/render_boot.h"
#include "tools/render_parts.h"

namespace cowtgt::tools {

using nlohmann::json;

namespace {

std::string where_and_kind(const json& item) {
    std::string result = text(item, "where") + " " + text(item, "kind");
    const std::string label = text(item, "label");
    return label.empty() ? result : result + " (" + label + ")";
}

/// A template has the values that are on its disk, an instance those before and after the clone.
enum class IdentityOf { template_version, instance };

std::string render_identity(const json& items, IdentityOf owner) {
    std::vector<std::vector<std::string>> rows;
    for (const json& item : items) {
        const std::string kept = text(item, "kept_because");
        const std::string note = text(item, "note");
        if (owner == IdentityOf::instance) {
            rows.push_back({"  ", where_and_kind(item), text(item, "old"),
                            kept.empty() ? "-> " + text(item, "new") : "kept: " + kept, note});
        } else {
            rows.push_back({"  ", where_and_kind(item), text(item, "value"),
                            kept.empty() ? "" : "will be kept: " + kept, note});
        }
    }
    return rows.empty() ? "" : "  identity\n" + render_table(rows, {});
}

std::string render_contents(const json& items) {
    std::vector<std::vector<std::string>> rows;
    for (const json& item : items) {
        const std::string problem = text(item, "problem");
        rows.push_back({"  ", text(item, "where"), size(item, "size_bytes"), text(item, "label"),
                        text(item, "uuid"), problem.empty() ? "clean" : problem});
    }
    return rows.empty() ? "" : "  contents\n" + render_table(rows, {2});
}

std::string fate_of_text(std::string_view becomes, const std::string& reason) {
    if (becomes == "rewritten") return "rewritten in clones";
    if (becomes == "kept") return "not rewritten, its value is kept: " + reason;
    if (becomes == "fixed") return "fixed: " + reason;
    return "looked at in each clone, when its journal is replayed";
}

/// Files that only tell what was are not worth a line each.
std::string render_references(const json& items) {
    std::vector<std::vector<std::string>> rows;
    std::size_t left = 0;
    for (const json& item : items) {
        const std::string becomes = text(item, "becomes");
        if (becomes == "left") {
            ++left;
            continue;
        }
        const std::string where = text(item, "where");
        const std::string file = text(item, "file");
        const std::string place = file.empty() ? (where.empty() ? "outside of file systems" : where)
                                               : file + " (" + where + ")";
        rows.push_back({"  ", text(item, "value"), "in " + place,
                        fate_of_text(becomes, text(item, "reason"))});
    }
    std::string result = rows.empty() ? "" : "  references\n" + render_table(rows, {});
    if (left > 0) result += "    and in " + std::to_string(left) + " logs and caches, left alone\n";
    return result;
}

std::string identity_summary(const json& items) {
    std::size_t kept = 0;
    for (const json& item : items)
        kept += text(item, "kept_because").empty() ? 0 : 1;
    if (items.empty()) return "none found on the disk";
    std::string result = std::to_string(items.size() - kept) + " changed";
    return kept == 0 ? result : result + ", " + std::to_string(kept) + " kept (see cowtgt show)";
}

/// One line per object that cannot be used.
std::string render_damage(const json& objects, std::string_view name) {
    std::string result;
    for (const json& object : objects) {
        const std::string damage = text(object, "damage");
        if (!damage.empty()) result += text(object, name) + " is damaged: " + damage + "\n";
    }
    return result;
}

std::string flatten_text(const json& flatten) {
    const std::string state = text(flatten, "state");
    if (state == "failed") return "failed: " + text(flatten, "reason");
    if (state != "running") return state;
    return size(flatten, "done_bytes") + " of " + size(flatten, "total_bytes") + " are done";
}

std::string initiator_text(const json& instance) {
    const std::string initiator = text(instance, "initiator");
    return initiator.empty() ? "any (no MAC was given)" : initiator;
}

}  // namespace

std::string render_table(const std::vector<std::vector<std::string>>& rows,
                         const std::vector<std::size_t>& right) {
    std::vector<std::size_t> widths;
    for (const auto& row : rows) {
        widths.resize(std::max(widths.size(), row.size()));
        for (std::size_t i = 0; i < row.size(); ++i) {
            widths[i] = std::max(widths[i], row[i].size());
        }
    }
    std::string result;
    for (const auto& row : rows) {
        std::string line;
        for (std::size_t i = 0; i < row.size(); ++i) {
            const std::string blanks(widths[i] - row[i].size(), ' ');
            const bool is_right = std::find(right.begin(), right.end(), i) != right.end();
            if (i > 0) line += "  ";
            line += is_right ? blanks + row[i] : row[i] + blanks;
        }
        line.erase(line.find_last_not_of(' ') + 1);
        result += line + "\n";
    }
    return result;
}

std::string render_instances(const json& instances) {
    if (instances.empty()) return "no instances; make one with: cowtgt clone TEMPLATE NAME\n";
    std::vector<std::vector<std::string>> rows = {
        {"NAME", "TEMPLATE", "SIZE", "OWN", "SESSIONS", "STAGE", "MAC", "TARGET"}};
    for (const json& instance : instances) {
        rows.push_back({text(instance, "name"), text(instance, "template"),
                        size(instance, "size_bytes"), size(instance, "allocated_bytes"),
                        std::to_string(at(instance, "sessions").size()), stage_word(instance),
                        or_dash(text(instance, "mac")), text(instance, "target")});
    }
    return render_table(rows, {2, 3, 4}) + render_damage(instances, "name");
}

std::string render_instance(const json& instance) {
    std::string result = text(instance, "name") + "\n";
    if (!text(instance, "damage").empty()) result += field("damage", text(instance, "damage"));
    result += field("template", or_dash(text(instance, "template")));
    if (const json& flatten = at(instance, "flatten"); flatten.is_object()) {
        result += field("flatten", flatten_text(flatten));
    }
    result +=
        field("size", size(instance, "size_bytes") + ", " + size(instance, "allocated_bytes") +
                          " of its own, " + text(instance, "block_size") + "-byte blocks");
    result += field("target", text(instance, "target") + " LUN " + text(instance, "lun"));
    result += fields("url", at(instance, "urls"));
    result += field("mac", or_dash(text(instance, "mac")));
    result += field("initiator", initiator_text(instance));
    result += field("boot", stage_text(instance));
    const json& boot = at(instance, "boot");
    if (boot.is_object() && !text(boot, "refused").empty()) {
        result += field("no boot", text(boot, "refused"));
    }
    result += fields("setting", at(instance, "settings"));
    if (at(instance, "ephemeral") == true)
        result += field("ephemeral", "back to the template at each boot");
    result += field("uuid", text(instance, "uuid"));
    result += field("created", text(instance, "created_at"));
    if (!text(instance, "origin").empty()) result += field("origin", text(instance, "origin"));
    if (!at(instance, "snapshots").empty()) {
        result += field("snapshots", joined(at(instance, "snapshots"), ", "));
    }
    for (const json& session : at(instance, "sessions")) {
        result +=
            field("session", text(session, "initiator") + " from " + text(session, "address") +
                                 " since " + text(session, "since") + " (ISID " +
                                 text(session, "isid") + ")");
    }
    return result + render_identity(at(instance, "identity"), IdentityOf::instance);
}

std::string render_clone(const json& instance) {
    std::string result = text(instance, "name") + " is a clone of " + text(instance, "template") +
                         ", " + size(instance, "size_bytes") + "\n";
    result += fields("url", at(instance, "urls"));
    result += field("initiator", initiator_text(instance));
    return result + field("identity", identity_summary(at(instance, "identity")));
}

std::string render_snapshots(const json& snapshots) {
    if (snapshots.empty()) return "no snapshots; make one with: cowtgt snapshot NAME\n";
    std::vector<std::vector<std::string>> rows = {
        {"SNAPSHOT", "CREATED", "SIZE", "OWN", "CONTENT", "CLONES"}};
    for (const json& snapshot : snapshots) {
        rows.push_back({text(snapshot, "ref"), text(snapshot, "created_at"),
                        size(snapshot, "size_bytes"), size(snapshot, "allocated_bytes"),
                        snapshot.value("verified", false) ? "verified" : "unverified",
                        or_dash(joined(at(snapshot, "clones"), ","))});
    }
    return render_table(rows, {2, 3});
}

std::string render_templates(const json& templates) {
    if (templates.empty()) {
        return "no templates; import one with: cowtgt template import IMAGE --name NAME\n";
    }
    std::vector<std::vector<std::string>> rows = {
        {"TEMPLATE", "TAGS", "SIZE", "DATA", "INSTANCES", "IMPORTED", "SOURCE"}};
    for (const json& info : templates) {
        rows.push_back({text(info, "ref"), or_dash(joined(at(info, "tags"), ",")),
                        size(info, "size_bytes"), size(info, "allocated_bytes"),
                        std::to_string(at(info, "instances").size()), text(info, "imported_at"),
                        text(info, "source")});
    }
    return render_table(rows, {2, 3, 4}) + render_damage(templates, "ref");
}

std::string render_template(const json& info) {
    std::string result = text(info, "ref") + "\n";
    if (!text(info, "damage").empty()) result += field("damage", text(info, "damage"));
    result += field("tags", or_dash(joined(at(info, "tags"), ", ")));
    result += field("size", size(info, "size_bytes") + ", " + size(info, "allocated_bytes") +
                                " of data, " + text(info, "block_size") + "-byte blocks");
    result += field("content", text(info, "content_id"));
    result += field("uuid", text(info, "uuid"));
    result += field("imported", text(info, "imported_at") + " from " + text(info, "source"));
    if (!text(info, "note").empty()) result += field("note", text(info, "note"));
    result += field("instances", or_dash(joined(at(info, "instances"), ", ")));
    result += render_boot(at(info, "boot"));
    return result + render_contents(at(info, "contents")) +
           render_identity(at(info, "identity"), IdentityOf::template_version) +
           render_references(at(info, "references"));
}

std::string render_import(const json& info) {
    std::string result = text(info, "ref") + " imported, " + size(info, "size_bytes") + " (" +
                         size(info, "allocated_bytes") + " of data)\n";
    const std::string twin = text(info, "twin");
    if (!twin.empty()) result += "  note: " + twin + " has the same content\n";
    result += render_boot(at(info, "boot"));
    return result + render_identity(at(info, "identity"), IdentityOf::template_version) +
           render_references(at(info, "references"));
}

std::string render_status(const json& status) {
    const json& daemon = at(status, "daemon");
    std::string result;
    result += field("config", text(status, "config"));
    result += field("store", text(status, "store"));
    result += field("iqn", text(status, "iqn"));
    result += field("templates", text(status, "templates"));
    result += field("instances", text(status, "instances"));
    if (const json& space = at(status, "space"); space.is_object()) {
        result += field("space", size(space, "free_bytes") + " of " + size(space, "total_bytes") +
                                     " are free" + (at(space, "low") == true ? ": LOW" : ""));
    }
    result += field("cowtgtd", daemon.is_null() ? "does not run" : "runs");
    for (const json& problem : at(status, "problems"))
        result += field("problem", problem.is_string() ? problem.get<std::string>() : "");
    if (!daemon.is_object()) return result;
    for (const auto& [key, value] : daemon.items()) {
        if (!value.is_structured()) result += field(key, text(daemon, key));
    }
    return result;
}

}  // namespace cowtgt::tools
