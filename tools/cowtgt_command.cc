#include "tools/cowtgt_command.h"

#include <algorithm>

#include "tools/cowtgt_site.h"

namespace cowtgt::tools {

using nlohmann::json;

CLI::App* add_command(CLI::App& parent, Invocation& invocation, const std::string& name,
                      const std::string& description, const std::string& footer,
                      std::function<Result<json>(const config::Config&)> run,
                      std::function<std::string(const json&)> render) {
    CLI::App* command = parent.add_subcommand(name, description);
    command->footer(footer);
    command->fallthrough();
    command->callback([&invocation, command, run = std::move(run), render = std::move(render)] {
        // The callback of a group runs after that of its subcommand, which is the one that counts.
        if (!command->get_subcommands().empty()) return;
        invocation.run = [&invocation, run]() -> Result<json> {
            auto config = config::load_config(invocation.config_file);
            if (!config) return config.error();
            return run(*config);
        };
        invocation.render = render;
    });
    return command;
}

std::function<Result<json>(const config::Config&)> asking(std::string operation,
                                                          std::function<json()> arguments) {
    return [operation = std::move(operation),
            arguments = std::move(arguments)](const config::Config& config) -> Result<json> {
        auto site = open_site(config);
        if (!site) return site.error();
        return ask(*site, operation, arguments());
    };
}

std::string render_removed(const json& result) {
    const json removed = result.value("removed", json());
    const std::string did = result.value("dry_run", false) ? "would have removed " : "removed ";
    if (removed.is_string()) return did + removed.get<std::string>() + "\n";
    std::string text;
    for (const json& ref : removed)
        text += did + ref.get<std::string>() + "\n";
    return text;
}

}  // namespace cowtgt::tools
