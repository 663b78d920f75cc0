#include "tools/cowtgt_images.h"

#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <functional>
#include <nlohmann/json.hpp>
#include <optional>
#include <thread>
#include <utility>

#include "boot-helper/site/commands.h"
#include "cow-store/descriptor.h"
#include "cow-store/store/store.h"
#include "target/control/describe.h"
#include "target/control/output.h"
#include "tools/cowtgt_download.h"
#include "tools/cowtgt_output_file.h"
#include "tools/cowtgt_progress.h"
#include "tools/cowtgt_site.h"

namespace cowtgt::tools {

using nlohmann::json;

namespace {

namespace fs = std::filesystem;

constexpr std::size_t pump_bytes = 256U << 10;

store::Progress progress_to(ProgressLine& line) {
    return [&line](std::uint64_t done, std::uint64_t total) { line.update(done, total); };
}

/// Lets whoever answers for the store mend what a killed command left. When somebody else has the
/// store it is theirs to mend, and an import does not need it.
Result<void> mend_store(const config::Config& config) {
    auto site = open_site(config);
    if (!site && site.error().code != ErrorCode::in_use) return site.error();
    return {};
}

Result<fs::path> image_path(const std::string& image) {
    if (image == "-") return fs::path("-");
    std::error_code problem;
    fs::path path = fs::absolute(image, problem);
    if (problem) return system_error("finding " + image, problem.value());
    const fs::file_status status = fs::status(path, problem);
    if (!fs::exists(status)) {
        return Error{ErrorCode::not_found, "there is no image " + path.string()};
    }
    if (fs::is_directory(status)) {
        return Error{ErrorCode::failed, path.string() + " is a folder, not an image"};
    }
    return path;
}

/// Reads what the daemon sends and writes it to an output that only this process should touch,
/// such as a pipe: its fate must not become the daemon's.
Result<void> pump(int from, int to) {
    std::vector<char> piece(pump_bytes);
    while (true) {
        const ssize_t count = ::read(from, piece.data(), piece.size());
        if (count < 0 && errno == EINTR) continue;
        if (count < 0) return system_error("reading the export", errno);
        if (count == 0) return {};
        std::string_view rest(piece.data(), static_cast<std::size_t>(count));
        while (!rest.empty()) {
            const ssize_t written = ::write(to, rest.data(), rest.size());
            if (written < 0 && errno == EINTR) continue;
            if (written < 0) return system_error("writing the export", errno);
            rest.remove_prefix(static_cast<std::size_t>(written));
        }
    }
}

Result<void> export_through_pipe(control::ControlClient& daemon, const std::string& name, int to,
                                 const store::Progress& progress) {
    std::array<int, 2> ends{};
    if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends.data()) != 0) {
        return system_error("opening a way for the export", errno);
    }
    Descriptor ours(ends[0]);
    Descriptor theirs(ends[1]);
    Result<void> pumped;
    std::thread pumping([&ours, &pumped, to] {
        pumped = pump(ours.get(), to);
        ours = Descriptor();  // after an error the daemon's next write fails, too
    });
    // The daemon's copy of its end closes when it is done, ours when the request is sent.
    const Result<json> answer = daemon.call("export", {{"name", name}}, theirs.get(), progress);
    theirs = Descriptor();
    pumping.join();
    if (!pumped) return pumped;
    return answer ? Result<void>() : answer.error();
}

using Read = std::function<Result<void>(const store::Store::Sink&, const store::Progress&)>;

/// Where an export goes, and how.
struct Destination {
    std::string file;
    control::ExportFormat format = control::ExportFormat::raw;
};

Result<void> export_here(const Read& read, std::uint64_t size_bytes, control::ExportFormat format,
                         int to, const store::Progress& progress) {
    const auto output = control::make_output(format, to, size_bytes, [] { return false; });
    if (auto begun = output->begin(); !begun) return begun;
    const auto sink = [&output](std::uint64_t offset, Bytes bytes) {
        return output->write(offset, bytes);
    };
    if (auto done = read(sink, progress); !done) return done;
    return output->end();
}

/// Asked for its size, or nothing when there is no such instance.
Result<std::optional<std::uint64_t>> instance_size(Site& site, const std::string& name) {
    auto shown = ask(site, "show", {{"name", name}});
    if (shown) return std::optional(shown->value("size_bytes", std::uint64_t{0}));
    if (shown.error().code == ErrorCode::not_found) return std::optional<std::uint64_t>();
    return shown.error();
}

json exported(const std::string& name, const std::string& file, std::uint64_t size_bytes) {
    return {{"name", name}, {"file", file}, {"size_bytes", size_bytes}};
}

Result<json> export_instance(Site& site, const std::string& name, std::uint64_t size_bytes,
                             const Destination& to) {
    auto output = OutputFile::open(to.file);
    if (!output) return output.error();
    ProgressLine line("exporting " + name);
    Result<void> done;
    if (site.offline) {
        auto job = site.offline->operations->begin_export(name);
        if (!job) return job.error();
        done = export_here(
            [&job](const auto& sink, const auto& progress) { return job->run(sink, progress); },
            size_bytes, to.format, output->descriptor(), progress_to(line));
    } else if (output->is_seekable()) {
        json arguments = {{"name", name}};
        if (to.format == control::ExportFormat::qcow2) arguments["format"] = "qcow2";
        auto answer =
            site.daemon->call("export", arguments, output->descriptor(), progress_to(line));
        if (!answer) done = answer.error();
    } else {
        done = export_through_pipe(*site.daemon, name, output->descriptor(), progress_to(line));
    }
    if (!done) return done.error();
    if (auto committed = output->commit(); !committed) return committed.error();
    return exported(name, to.file, size_bytes);
}

/// Templates never change, so this needs neither the lock nor the daemon.
Result<json> export_template(const config::Config& config, const store::TemplateRef& ref,
                             const std::string& name, const Destination& to) {
    auto store = store::Store::open(config.store, store::Locking::none);
    if (!store) return store.error();
    auto info = (*store)->find_template(ref);
    if (!info && info.error().code == ErrorCode::not_found) {
        return Error{ErrorCode::not_found, "there is no instance or template '" + name +
                                               "'; see cowtgt ls and cowtgt template ls"};
    }
    if (!info) return info.error();
    auto output = OutputFile::open(to.file);
    if (!output) return output.error();
    const std::string whole = control::template_ref_text(info->name, info->version);
    ProgressLine line("exporting " + whole);
    auto done = export_here(
        [&](const auto& sink, const auto& progress) {
            return (*store)->export_template({info->name, info->version, ""}, sink, progress);
        },
        info->size_bytes, to.format, output->descriptor(), progress_to(line));
    if (!done) return done.error();
    if (auto committed = output->commit(); !committed) return committed.error();
    return exported(whole, to.file, info->size_bytes);
}

}  // namespace

Result<json> import_image(const config::Config& config, const ImportWords& words,
                          const boot::CaptureOptions& boot) {
    if (auto checked = store::check_name(words.name); !checked) return checked.error();
    if (auto checked = boot::check_capture_options(boot); !checked) return checked.error();
    ProgressLine line("importing " + words.name);
    store::ImportOptions options;
    options.name = words.name;
    options.sha256 = words.sha256;
    options.note = words.note;
    options.progress = progress_to(line);
    if (is_url(words.image)) {
        options.image = without_secrets(words.image);
        options.stream = open_url(words.image);
    } else {
        auto path = image_path(words.image);
        if (!path) return path.error();
        options.image = std::move(*path);
    }
    if (auto mended = mend_store(config); !mended) return mended.error();
    auto store = store::Store::open(config.store, store::Locking::none);
    if (!store) return store.error();
    json boots_with;
    options.fill_boot_folder = [&](const identity::BlockSource& disk,
                                   const fs::path& folder) -> Result<void> {
        auto record = boot::capture(disk, boot, folder);
        if (!record) return record.error();
        boots_with = boot::describe(*record);
        return {};
    };
    auto imported = (*store)->import_template(options);
    if (!imported) return imported.error();
    json result = control::describe_template(imported->info);
    result["twin"] = imported->twin.empty() ? json() : json(imported->twin);
    result["boot"] = std::move(boots_with);
    return result;
}

Result<json> check_boot(const config::Config& config, const std::string& ref) {
    auto parsed = store::parse_template_ref(ref);
    if (!parsed) return parsed.error();
    auto store = store::Store::open(config.store, store::Locking::none);
    if (!store) return store.error();
    const auto info = (*store)->find_template(*parsed);
    if (!info) return info.error();
    const fs::path folder = (*store)->boot_folder(info->name, info->version);
    auto record = boot::read_boot_record(folder);
    if (!record && record.error().code == ErrorCode::not_found) {
        // A version that a commit made, or an older cowtgt.
        const auto fill = [](const identity::BlockSource& disk, const fs::path& to) {
            auto taken = boot::capture(disk, {}, to);
            return taken ? Result<void>() : taken.error();
        };
        auto added = (*store)->add_boot_folder({info->name, info->version, ""}, fill);
        if (!added && added.error().code != ErrorCode::exists) return added.error();
        record = boot::read_boot_record(folder);
    }
    if (!record) return record.error();
    return boot::check_template(**store, *info, *record);
}

Result<json> export_disk(const config::Config& config, const std::string& name,
                         const std::string& file, control::ExportFormat format) {
    if (format == control::ExportFormat::qcow2 && file == "-") {
        return Error{ErrorCode::usage,
                     "a qcow2 image needs a file; export raw goes to standard output"};
    }
    const Destination to{file, format};
    auto ref = store::parse_template_ref(name);
    if (!ref) return ref.error();
    if (name.find('@') == std::string::npos) {
        auto site = open_site(config);
        if (!site) return site.error();
        auto size_bytes = instance_size(*site, name);
        if (!size_bytes) return size_bytes.error();
        if (*size_bytes) return export_instance(*site, name, **size_bytes, to);
    }
    return export_template(config, *ref, name, to);
}

}  // namespace cowtgt::tools
