#include <cstdint>

#include "target/config/size.h"
#include "tools/cowtgt_command.h"
#include "tools/cowtgt_render.h"

namespace cowtgt::tools {

using nlohmann::json;

namespace {

struct Words {
    std::string name, from;
};

std::string size(const json& object, const char* key) {
    return config::short_size(object.value(key, std::uint64_t{0}));
}

std::vector<std::string> space_row(const json& info) {
    const json quota = info.value("quota_bytes", json());
    return {info.value("name", ""),     size(info, "own_bytes"),
            size(info, "shared_bytes"), size(info, "total_bytes"),
            size(info, "freed_bytes"),  quota.is_null() ? "-" : size(info, "quota_bytes")};
}

std::string render_space(const json& result) {
    std::vector<std::vector<std::string>> rows = {
        {"NAME", "OWN", "SHARED", "TOTAL", "IF REMOVED", "QUOTA"}};
    const std::vector<std::size_t> right = {1, 2, 3, 4, 5};
    if (result.contains("name")) {
        rows.push_back(space_row(result));
        return render_table(rows, right);
    }
    for (const char* kind : {"instances", "templates"}) {
        for (const json& info : result.value(kind, json::array()))
            rows.push_back(space_row(info));
    }
    return render_table(rows, right) + "all together " + size(result, "total_bytes") + ", " +
           size(result, "free_bytes") + " are free\n";
}

std::string render_changes(const json& result) {
    std::vector<std::vector<std::string>> rows = {{"OFFSET", "LENGTH", "CONTENT"}};
    for (const json& range : result.value("ranges", json::array())) {
        rows.push_back({std::to_string(range.value("offset", std::uint64_t{0})),
                        std::to_string(range.value("length", std::uint64_t{0})),
                        range.value("content", "")});
    }
    return render_table(rows, {0, 1}) + result.value("name", "") + " has " +
           size(result, "data_bytes") + " of data and " + size(result, "zero_bytes") +
           " of zeros that " + result.value("from", "") + " has not\n";
}

json changes_arguments(const Words& words) {
    const std::size_t at = words.name.find('@');
    json arguments = {{"name", words.name.substr(0, at)}};
    if (at != std::string::npos) arguments["label"] = words.name.substr(at + 1);
    if (!words.from.empty()) arguments["from"] = words.from;
    return arguments;
}

}  // namespace

void add_space(CLI::App& app, Invocation& invocation) {
    Words& words = invocation.words<Words>();
    CLI::App* du = add_command(
        app, invocation, "du", "say what takes how much space on this host",
        "Own is what an instance wrote, shared what it reads of its template and of others.\n"
        "If removed: what the host gets back.",
        asking("du",
               [&words] {
                   return words.name.empty() ? json::object() : json{{"name", words.name}};
               }),
        render_space);
    du->add_option("name", words.name, "of one instance (else all of the store)")
        ->type_name("NAME");
    CLI::App* diff = add_command(
        app, invocation, "diff", "list what was written since the template or a snapshot",
        "Examples:\n  cowtgt diff web01\n  cowtgt diff web01 --from before-upgrade\n"
        "  cowtgt --json diff web01@after --from before\n\n"
        "Ranges are in bytes. What was written again with the same content is listed, too.",
        asking("diff", [&words] { return changes_arguments(words); }), render_changes);
    diff->add_option("name", words.name, "instance, or NAME@LABEL of a snapshot")
        ->required()
        ->type_name("NAME");
    diff->add_option("--from", words.from, "snapshot to compare with (else: the template)")
        ->type_name("LABEL");
}

}  // namespace cowtgt::tools
