#include "target/control/service.h"

#include <atomic>
#include <chrono>
#include <list>
#include <nlohmann/json.hpp>
#include <thread>
#include <utility>

#include "target/control/arguments.h"
#include "target/control/output.h"

namespace cowtgt::control {

using nlohmann::json;

namespace {

constexpr std::size_t exports_max = 8;  ///< at one time; each has a thread
constexpr std::chrono::milliseconds progress_interval{200};

struct RunningExport {
    std::atomic<bool> is_done = false;
    std::thread thread;
};

Result<json> write_export(ExportJob& job, int descriptor, ControlReply& reply,
                          const std::atomic<bool>& stopping) {
    ExportOutput output(descriptor, job.size_bytes(),
                        [&] { return reply.is_cancelled() || stopping.load(); });
    if (auto begun = output.begin(); !begun) return begun.error();
    auto last = std::chrono::steady_clock::now();
    const auto progress = [&](std::uint64_t done, std::uint64_t total) {
        const auto now = std::chrono::steady_clock::now();
        if (now - last < progress_interval) return;
        last = now;
        reply.progress(done, total);
    };
    const auto sink = [&output](std::uint64_t offset, Bytes bytes) {
        return output.write(offset, bytes);
    };
    if (auto read = job.run(sink, progress); !read) return read.error();
    if (auto ended = output.end(); !ended) return ended.error();
    return json{{"size_bytes", job.size_bytes()}};
}

}  // namespace

struct ControlService::State {
    explicit State(Operations& with) : operations(with) {}

    void handle(ControlRequest request, const std::shared_ptr<ControlReply>& reply) {
        if (request.command != "export") {
            reply->finish(operations.run(request.command, *request.arguments));
            return;
        }
        if (auto begun = begin_export(request, reply); !begun) reply->finish(begun.error());
    }

    Result<void> begin_export(ControlRequest& request, const std::shared_ptr<ControlReply>& reply) {
        forget_ended();
        if (auto known = only_arguments(*request.arguments, {"name"}); !known) return known;
        auto name = text_argument(*request.arguments, "name");
        if (!name) return name.error();
        if (!request.descriptor.is_open()) {
            return Error{ErrorCode::usage, "an export needs a descriptor to write to"};
        }
        if (exports.size() >= exports_max) {
            return Error{ErrorCode::in_use, "too many exports run already; try again later"};
        }
        auto job = operations.begin_export(*name);
        if (!job) return job.error();
        RunningExport& running = exports.emplace_back();
        running.thread = std::thread([this, &running, reply = reply, job = std::move(*job),
                                      descriptor = std::move(request.descriptor)]() mutable {
            Result<json> result = write_export(job, descriptor.get(), *reply, stopping);
            descriptor = Descriptor();  // the reader sees the end before it hears the answer
            {
                // The instance is free again before anybody hears that the export is over.
                const ExportJob ended = std::move(job);
            }
            reply->finish(std::move(result));
            reply.reset();
            running.is_done = true;
        });
        return {};
    }

    void forget_ended() {
        exports.remove_if([](RunningExport& running) {
            if (!running.is_done) return false;
            running.thread.join();
            return true;
        });
    }

    Operations& operations;
    std::atomic<bool> stopping = false;
    std::list<RunningExport> exports;
};

ControlService::ControlService(Operations& operations)
    : state_(std::make_unique<State>(operations)) {}

ControlService::~ControlService() {
    state_->stopping = true;
    for (RunningExport& running : state_->exports)
        running.thread.join();
}

ControlHandler ControlService::handler() {
    return [state = state_.get()](ControlRequest request, std::shared_ptr<ControlReply> reply) {
        state->handle(std::move(request), reply);
    };
}

}  // namespace cowtgt::control
