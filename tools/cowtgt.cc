// The command: words in, one operation, its result as text or JSON out.

#include <algorithm>
#include <csignal>
#include <cstdio>

#include "target/control/protocol.h"
#include "tools/cowtgt_command.h"
#include "tools/exit_codes.h"

namespace cowtgt::tools {
namespace {

using nlohmann::json;

int finish(const Invocation& invocation, const Result<json>& result) {
    if (!result) {
        // One line, whatever the message has in it.
        std::string message = result.error().message;
        std::replace(message.begin(), message.end(), '\n', ' ');
        std::fprintf(stderr, "cowtgt: %s\n", message.c_str());
        if (invocation.as_json && !invocation.standard_output_taken) {
            std::fputs(control::encode_answer(result).c_str(), stdout);
        }
        return exit_code(result.error().code);
    }
    if (invocation.standard_output_taken) return 0;
    const int status = invocation.status ? invocation.status(*result) : 0;
    const std::string text =
        invocation.as_json ? control::json_text(*result, 2) + "\n" : invocation.render(*result);
    std::fputs(text.c_str(), stdout);
    if (std::fflush(stdout) != 0) {
        std::fputs("cowtgt: the result could not be written to standard output\n", stderr);
        return exit_code(ErrorCode::io);
    }
    return status;
}

int run(int argc, char** argv) {
    CLI::App app(
        "cowtgt looks after templates and instances: disks cloned in an instant and served over "
        "iSCSI by cowtgtd.",
        "cowtgt");
    app.footer(
        "From nothing to a served disk:\n"
        "  cowtgt init --iqn iqn.2026-01.lan.example\n"
        "  cowtgt template import debian-12.qcow2 --name debian12\n"
        "  cowtgt clone debian12 web01\n"
        "  cowtgtd\n\n"
        "Exit codes: 0 ok, 1 failed, 2 usage, 4 not found, 5 refused (in use, exists).\n"
        "See cowtgt(1), cowtgt.toml(5), cowtgtd(8).");
    Invocation invocation;
    app.add_option("--config", invocation.config_file, "configuration file")
        ->type_name("FILE")
        ->capture_default_str();
    app.add_flag("--json", invocation.as_json, "print results as JSON");
    app.set_version_flag("--version", std::string("cowtgt ") + COWTGT_VERSION);
    app.require_subcommand(1);
    add_init(app, invocation);
    add_templates(app, invocation);
    add_instances(app, invocation);
    add_layers(app, invocation);
    add_flatten(app, invocation);
    add_space(app, invocation);
    add_streams(app, invocation);
    add_export(app, invocation);
    add_check(app, invocation);
    add_boot(app, invocation);
    try {
        app.parse(argc, argv);
    } catch (const CLI::Success& asked) {  // --help, --version
        return app.exit(asked);
    } catch (const CLI::ParseError& error) {
        std::fprintf(stderr, "cowtgt: %s; see cowtgt --help\n", error.what());
        return exit_usage;
    }
    const Result<json> result = invocation.run();
    return finish(invocation, result);
}

}  // namespace
}  // namespace cowtgt::tools

int main(int argc, char** argv) {
    // A reader of an export that goes away is an error like any other.
    std::signal(SIGPIPE, SIG_IGN);
    return cowtgt::tools::run(argc, argv);
}
