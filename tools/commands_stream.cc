#include <algorithm>
#include <cstdint>

#include "tools/cowtgt_command.h"
#include "tools/cowtgt_render.h"
#include "tools/cowtgt_streams.h"

namespace cowtgt::tools {

using nlohmann::json;

namespace {

struct Words {
    std::string name, from;
    std::uint64_t resume = 0;
    bool status = false;
    bool abandon = false;
};

void add_send(CLI::App& app, Invocation& invocation, Words& words) {
    CLI::App* send = add_command(
        app, invocation, "send", "write a snapshot as a stream, for another store",
        "Examples:\n  cowtgt send web01@monday | ssh other cowtgt receive web01\n"
        "  cowtgt send web01@tuesday --from monday | ssh other cowtgt receive web01\n\n"
        "The first one holds the whole disk, the second what differs. Without a label a snapshot\n"
        "is made first. The instance may be in use.",
        [&invocation, &words](const config::Config& config) {
            invocation.standard_output_taken = true;
            const std::size_t at = std::min(words.name.find('@'), words.name.size());
            return send_stream(config, words.name.substr(0, at),
                               words.name.substr(std::min(at + 1, words.name.size())), words.from,
                               words.resume);
        },
        [](const json&) { return std::string(); });
    send->add_option("name", words.name, "instance, or NAME@LABEL of a snapshot")
        ->required()
        ->type_name("NAME");
    send->add_option("--from", words.from, "snapshot that the receiver has")->type_name("LABEL");
    send->add_option("--resume", words.resume, "byte of the disk up to which the receiver has it")
        ->type_name("OFFSET");
}

std::string render_received(const json& result) {
    if (result.contains("target")) return render_instance(result);
    if (result.contains("removed")) return render_removed(result);
    return "of " + result.value("source", "") + " has arrived what is before byte " +
           std::to_string(result.value("next_offset", std::uint64_t{0})) + " of " +
           std::to_string(result.value("size_bytes", std::uint64_t{0})) + "\n";
}

void add_receive(CLI::App& app, Invocation& invocation, Words& words) {
    CLI::App* receive = add_command(
        app, invocation, "receive", "make an instance, or its next snapshot, of a stream",
        "Example:\n  cowtgt receive web01 < monday.stream\n\n"
        "A stream that breaks off goes on where it ended: cowtgt send --resume OFFSET.",
        [&words](const config::Config& config) {
            if (words.status) return show_received(config, words.name);
            if (words.abandon) return forget_received(config, words.name);
            return receive_stream(config, words.name);
        },
        render_received);
    receive->add_option("name", words.name, "name of the instance here")
        ->required()
        ->type_name("NAME");
    CLI::Option* status =
        receive->add_flag("--status", words.status, "only say how much of a stream has arrived");
    receive->add_flag("--abandon", words.abandon, "only forget what has arrived of a stream")
        ->excludes(status);
}

}  // namespace

void add_streams(CLI::App& app, Invocation& invocation) {
    Words& words = invocation.words<Words>();
    add_send(app, invocation, words);
    add_receive(app, invocation, words);
}

}  // namespace cowtgt::tools
