#include "tools/cowtgt_command.h"
#include "tools/render_boot.h"

namespace cowtgt::tools {

using nlohmann::json;

namespace {

struct Words {
    std::string mac, name, source;
};

}  // namespace

void add_boot(CLI::App& app, Invocation& invocation) {
    Words& words = invocation.words<Words>();
    const auto nothing = [] { return json::object(); };
    add_command(app, invocation, "unknown", "machines that asked for a boot script in vain",
                "They are forgotten when cowtgtd ends.", asking("unknown", nothing),
                render_unknown);
    CLI::App* adopt = add_command(
        app, invocation, "adopt", "take in a machine by its MAC",
        "Examples:\n  cowtgt adopt 52:54:00:12:34:01 web01 debian12\n"
        "  cowtgt adopt 52:54:00:12:34:01 web01\n\n"
        "With a template the instance is made; without one it is there already and keeps its disk.",
        asking("adopt",
               [&words] {
                   json arguments = {{"mac", words.mac}, {"name", words.name}};
                   if (!words.source.empty()) arguments["template"] = words.source;
                   return arguments;
               }),
        render_adopted);
    adopt->add_option("mac", words.mac, "as cowtgt unknown shows it")->required()->type_name("MAC");
    adopt->add_option("name", words.name, "of the instance")->required()->type_name("NAME");
    adopt->add_option("template", words.source, "NAME, NAME@VERSION or NAME@TAG")
        ->type_name("TEMPLATE");
    add_command(app, invocation, "plan", "what cowtgt apply would do", "Nothing is changed.",
                asking("plan", nothing), render_plan);
    add_command(app, invocation, "apply", "make the instances what machines.toml says",
                "Instances are made for new lines, settings are changed, nothing is ever removed.\n"
                "With an error in the file everything stays as it is.",
                asking("apply", nothing), render_applied);
}

}  // namespace cowtgt::tools
