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

constexpr std::size_t jobs_max = 8;  ///< exports, checks and merges at one time; each has a thread
constexpr std::chrono::milliseconds progress_interval{200};
constexpr std::uint64_t job_bytes_per_second_max = std::uint64_t{256} << 20;

struct RunningJob {
    std::atomic<bool> is_done = false;
    std::thread thread;
};

/// A rebase that keeps something takes as long as that is large.
bool is_merge(const json& arguments) {
    const auto keep = flag_argument(arguments, "keep");
    return keep && *keep;
}

Result<json> write_export(ExportJob& job, ExportFormat format, int descriptor, ControlReply& reply,
                          const std::atomic<bool>& stopping) {
    const auto output = make_output(format, descriptor, job.size_bytes(),
                                    [&] { return reply.is_cancelled() || stopping.load(); });
    if (auto begun = output->begin(); !begun) return begun.error();
    auto last = std::chrono::steady_clock::now();
    const auto progress = [&](std::uint64_t done, std::uint64_t total) {
        const auto now = std::chrono::steady_clock::now();
        if (now - last < progress_interval) return;
        last = now;
        reply.progress(done, total);
    };
    const auto sink = [&output](std::uint64_t offset, Bytes bytes) {
        return output->write(offset, bytes);
    };
    if (auto read = job.run(sink, progress); !read) return read.error();
    if (auto ended = output->end(); !ended) return ended.error();
    return json{{"size_bytes", job.size_bytes()}};
}

}  // namespace

struct ControlService::State {
    explicit State(Operations& with) : operations(with) {}

    void handle(ControlRequest request, const std::shared_ptr<ControlReply>& reply) {
        Result<void> begun;
        if (request.command == "export") {
            begun = begin_export(request, reply);
        } else if (request.command == "rebase" && is_merge(*request.arguments)) {
            begun = begin_rebase(*request.arguments, reply);
        } else if (request.command == "check") {
            begun = begin_check(*request.arguments, reply);
        } else {
            reply->finish(operations.run(request.command, *request.arguments));
        }
        if (!begun) reply->finish(begun.error());
    }

    Result<RunningJob*> new_job() {
        forget_ended();
        if (jobs.size() >= jobs_max) {
            return Error{ErrorCode::in_use,
                         "too many exports, checks and merges run already; try again later"};
        }
        return &jobs.emplace_back();
    }

    Result<void> begin_check(const json& arguments, const std::shared_ptr<ControlReply>& reply) {
        auto job = operations.begin_check(arguments);
        if (!job) return job.error();
        auto running = new_job();
        if (!running) return running.error();
        (*running)->thread =
            std::thread([this, running = *running, reply = reply, job = std::move(*job)]() mutable {
                reply->finish(run_check(job, *reply));
                reply.reset();
                running->is_done = true;
            });
        return {};
    }

    Result<void> begin_rebase(const json& arguments, const std::shared_ptr<ControlReply>& reply) {
        auto place = new_job();
        if (!place) return place.error();
        auto job = operations.begin_rebase(arguments);
        if (!job) {
            jobs.pop_back();
            return job.error();
        }
        (*place)->thread =
            std::thread([this, running = *place, reply = reply, job = std::move(*job)]() mutable {
                Result<json> result = job.run(pace_of(*reply, "rebase"));
                {
                    // The instance is free again before anybody hears that it is over.
                    const RebaseJob ended = std::move(job);
                }
                reply->finish(std::move(result));
                reply.reset();
                running->is_done = true;
            });
        return {};
    }

    /// At a bounded rate, since initiators want the disk too.
    store::Pace pace_of(ControlReply& reply, const char* what) {
        return [this, &reply, what](std::uint64_t bytes) -> Result<void> {
            if (reply.is_cancelled() || stopping.load()) {
                return Error{ErrorCode::failed,
                             "the " + std::string(what) + " was ended before it was done"};
            }
            std::this_thread::sleep_for(
                std::chrono::microseconds(bytes * 1'000'000 / job_bytes_per_second_max));
            return {};
        };
    }

    Result<json> run_check(CheckJob& job, ControlReply& reply) {
        const store::Pace pace = pace_of(reply, "check");
        auto last = std::chrono::steady_clock::now();
        const store::Progress progress = [&](std::uint64_t done, std::uint64_t total) {
            const auto now = std::chrono::steady_clock::now();
            if (now - last < progress_interval) return;
            last = now;
            reply.progress(done, total);
        };
        return job.run(pace, progress);
    }

    Result<void> begin_export(ControlRequest& request, const std::shared_ptr<ControlReply>& reply) {
        if (auto known = only_arguments(*request.arguments, {"name", "format"}); !known) {
            return known;
        }
        auto name = text_argument(*request.arguments, "name");
        if (!name) return name.error();
        auto word = optional_text_argument(*request.arguments, "format");
        if (!word) return word.error();
        const bool is_qcow2 = *word && **word == "qcow2";
        if (*word && !is_qcow2 && **word != "raw") {
            return Error{ErrorCode::usage, "the format of an export is raw or qcow2"};
        }
        const auto format = is_qcow2 ? ExportFormat::qcow2 : ExportFormat::raw;
        if (!request.descriptor.is_open()) {
            return Error{ErrorCode::usage, "an export needs a descriptor to write to"};
        }
        auto job = operations.begin_export(*name);
        if (!job) return job.error();
        auto place = new_job();
        if (!place) return place.error();
        RunningJob& running = **place;
        running.thread = std::thread([this, &running, format, reply = reply, job = std::move(*job),
                                      descriptor = std::move(request.descriptor)]() mutable {
            Result<json> result = write_export(job, format, descriptor.get(), *reply, stopping);
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
        jobs.remove_if([](RunningJob& running) {
            if (!running.is_done) return false;
            running.thread.join();
            return true;
        });
    }

    Operations& operations;
    std::atomic<bool> stopping = false;
    std::list<RunningJob> jobs;
};

ControlService::ControlService(Operations& operations)
    : state_(std::make_unique<State>(operations)) {}

ControlService::~ControlService() {
    state_->stopping = true;
    for (RunningJob& running : state_->jobs)
        running.thread.join();
}

ControlHandler ControlService::handler() {
    return [state = state_.get()](ControlRequest request, std::shared_ptr<ControlReply> reply) {
        state->handle(std::move(request), reply);
    };
}

}  // namespace cowtgt::control
