#include "tools/cowtgt_command.h"

#include <algorithm>

#include "tools/cowtgt_init.h"

namespace cowtgt::tools {

using nlohmann::json;

namespace {

std::string render_init(const json& result) {
    return "wrote " + result.value("config", "") + " and " + result.value("machines", "") +
           "\nmade the store " + result.value("store", "") +
           "\nnext: cowtgt template import IMAGE --name NAME, and start cowtgtd\n";
}

}  // namespace

void add_init(CLI::App& app, Invocation& invocation) {
    InitOptions& options = invocation.words<InitOptions>();
    CLI::App* init = app.add_subcommand("init", "make a configuration file and an empty store");
    init->fallthrough();
    init->footer(
        "Example:\n  cowtgt init --iqn iqn.2026-01.lan.example --listen 10.0.0.1:3260\n\n"
        "Paths may be relative. Whether the addresses exist on this host is not asked.");
    options.store = config::default_store;
    init->add_option("--iqn", options.iqn_prefix, "what every iSCSI name begins with")
        ->required()
        ->type_name("PREFIX");
    init->add_option("--store", options.store, "folder of templates and instances")
        ->type_name("DIR")
        ->capture_default_str();
    init->add_option("--listen", options.listen,
                     "where iSCSI is served; may be given again (default [::]:3260)")
        ->type_name("ADDR:PORT")
        ->allow_extra_args(false);
    init->add_option("--http", options.http,
                     "where boot scripts are served; may be given again; none for no HTTP "
                     "(default [::]:8080)")
        ->type_name("ADDR:PORT")
        ->allow_extra_args(false);
    init->callback([&invocation, &options] {
        invocation.run = [&invocation, &options] {
            options.config_file = invocation.config_file;
            return init_site(options);
        };
        invocation.render = render_init;
    });
}

}  // namespace cowtgt::tools
