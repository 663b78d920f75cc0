#pragma once

#include <CLI/CLI.hpp>
#include <functional>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "cow-store/base/result.h"
#include "target/config/config.h"

/// The subcommands of cowtgt, a file for each group of them. A subcommand says which words it
/// takes and what is asked of the daemon or the store with them; the main runs the one that was
/// chosen and prints its result.
namespace cowtgt::tools {

/// What the words on the command line come to.
class Invocation {
public:
    std::string config_file{config::default_config_file};
    bool as_json = false;
    /// A disk goes to standard output, and nothing else may.
    bool standard_output_taken = false;
    std::function<Result<nlohmann::json>()> run;
    std::function<std::string(const nlohmann::json&)> render;
    /// The exit status of a result that is no error; empty: 0.
    std::function<int(const nlohmann::json&)> status;

    /// A place for the words of one group of subcommands, which lives as long as this.
    template <typename Words>
    Words& words() {
        auto place = std::make_shared<Words>();
        places_.push_back(place);
        return *place;
    }

private:
    std::vector<std::shared_ptr<void>> places_;
};

/// Adds a subcommand whose work starts with reading the configuration.
CLI::App* add_command(CLI::App& parent, Invocation& invocation, const std::string& name,
                      const std::string& description, const std::string& footer,
                      std::function<Result<nlohmann::json>(const config::Config&)> run,
                      std::function<std::string(const nlohmann::json&)> render);

/// An operation that the daemon or the store itself answers.
std::function<Result<nlohmann::json>(const config::Config&)> asking(
    std::string operation, std::function<nlohmann::json()> arguments);

std::string render_removed(const nlohmann::json& result);

void add_init(CLI::App& app, Invocation& invocation);
void add_templates(CLI::App& app, Invocation& invocation);  ///< template ...
void add_instances(CLI::App& app, Invocation& invocation);  ///< clone, ls, show, set, rm, ...
void add_layers(CLI::App& app, Invocation& invocation);     ///< snapshot, resize, rebase, commit
void add_flatten(CLI::App& app, Invocation& invocation);    ///< flatten
void add_space(CLI::App& app, Invocation& invocation);      ///< du, diff
void add_streams(CLI::App& app, Invocation& invocation);    ///< send, receive
void add_export(CLI::App& app, Invocation& invocation);     ///< export ...
void add_boot(CLI::App& app, Invocation& invocation);       ///< unknown, adopt, plan, apply
void add_check(CLI::App& app, Invocation& invocation);      ///< check

}  // namespace cowtgt::tools
