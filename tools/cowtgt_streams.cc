#include "tools/cowtgt_streams.h"

#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <memory>
#include <nlohmann/json.hpp>
#include <utility>

#include "cow-store/store/streams.h"
#include "tools/cowtgt_progress.h"
#include "tools/cowtgt_site.h"

namespace cowtgt::tools {

using nlohmann::json;

namespace {

store::Progress progress_to(ProgressLine& line) {
    return [&line](std::uint64_t done, std::uint64_t total) { line.update(done, total); };
}

Result<void> write_out(Bytes bytes) {
    while (!bytes.empty()) {
        const ssize_t written = ::write(STDOUT_FILENO, bytes.data(), bytes.size());
        if (written < 0 && errno == EINTR) continue;
        if (written < 0) return system_error("writing the stream", errno);
        bytes = bytes.subspan(static_cast<std::size_t>(written));
    }
    return {};
}

Result<std::size_t> read_in(MutableBytes into) {
    while (true) {
        const ssize_t got = ::read(STDIN_FILENO, into.data(), into.size());
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) return system_error("reading the stream", errno);
        return static_cast<std::size_t>(got);
    }
}

Result<std::string> make_snapshot(const config::Config& config, const std::string& name) {
    auto site = open_site(config);
    if (!site) return site.error();
    auto made = ask(*site, "snapshot", {{"name", name}});
    if (!made) return made.error();
    std::fprintf(stderr, "cowtgt: made %s\n", made->value("ref", "").c_str());
    return made->value("label", "");
}

/// Nobody is in the way, whether a daemon runs or not: streams need no lock.
Result<std::unique_ptr<store::Store>> open_unlocked(const config::Config& config) {
    return store::Store::open(config.store, store::Locking::none);
}

}  // namespace

Result<json> send_stream(const config::Config& config, const std::string& name,
                         const std::string& label, const std::string& from,
                         std::uint64_t first_offset) {
    if (::isatty(STDOUT_FILENO) != 0) {
        return Error{ErrorCode::usage,
                     "a stream is not for a terminal; send it into a file or to `cowtgt receive`"};
    }
    store::SendOptions options;
    options.instance = name;
    options.label = label;
    options.from = from;
    options.first_offset = first_offset;
    if (label.empty()) {
        auto made = make_snapshot(config, name);
        if (!made) return made.error();
        options.label = std::move(*made);
    }
    auto store = open_unlocked(config);
    if (!store) return store.error();
    ProgressLine line("sending " + name + "@" + options.label);
    const Result<void> sent = store::Streams(**store).send(options, write_out, progress_to(line));
    if (!sent) return sent.error();
    return json{{"sent", name + "@" + options.label}};
}

Result<json> receive_stream(const config::Config& config, const std::string& name) {
    {
        auto store = open_unlocked(config);
        if (!store) return store.error();
        ProgressLine line("receiving " + name);
        const auto received = store::Streams(**store).receive(name, read_in, progress_to(line));
        if (!received) return received.error();
    }
    auto site = open_site(config);
    if (!site) return site.error();
    return ask(*site, "receive", {{"name", name}});
}

Result<json> show_received(const config::Config& config, const std::string& name) {
    auto store = open_unlocked(config);
    if (!store) return store.error();
    const auto state = store::Streams(**store).state(name);
    if (!state) return state.error();
    return json{{"name", state->name},
                {"source", state->source},
                {"from", state->from.empty() ? json() : json(state->from)},
                {"size_bytes", state->size_bytes},
                {"next_offset", state->next_offset}};
}

Result<json> forget_received(const config::Config& config, const std::string& name) {
    auto store = open_unlocked(config);
    if (!store) return store.error();
    const Result<void> done = store::Streams(**store).abandon(name);
    if (!done) return done.error();
    return json{{"removed", name}};
}

}  // namespace cowtgt::tools
