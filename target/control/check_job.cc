#include "target/control/check_job.h"

#include <nlohmann/json.hpp>

#include "target/control/arguments.h"

namespace cowtgt::control {

using nlohmann::json;

namespace {

const char* kind_name(store::CheckFinding::Kind kind) {
    switch (kind) {
        case store::CheckFinding::Kind::damage:
            return "damage";
        case store::CheckFinding::Kind::refused:
            return "refused";
        case store::CheckFinding::Kind::repaired:
            return "repaired";
        case store::CheckFinding::Kind::notice:
            return "notice";
    }
    return "damage";
}

json describe(const store::CheckFinding& finding) {
    json guest = json::array();
    for (const store::ByteRange& range : finding.guest)
        guest.push_back({{"begin", range.begin}, {"end", range.end}});
    return {{"kind", kind_name(finding.kind)}, {"file", finding.file},
            {"begin", finding.place.begin},    {"end", finding.place.end},
            {"guest", std::move(guest)},       {"objects", finding.objects},
            {"sentence", finding.sentence}};
}

json describe(const store::CheckReport& report) {
    json findings = json::array();
    for (const store::CheckFinding& finding : report.findings)
        findings.push_back(describe(finding));
    return {{"clean", report.is_clean()},
            {"files", report.files},
            {"bytes", report.bytes},
            {"findings", std::move(findings)}};
}

Result<bool> flag(const json& arguments, const char* key) {
    const auto found = arguments.find(key);
    if (found == arguments.end() || found->is_null()) return false;
    if (found->is_boolean()) return found->get<bool>();
    return Error{ErrorCode::usage, std::string("argument '") + key + "' is not true or false"};
}

}  // namespace

Result<CheckJob> CheckJob::make(const store::Store& store, LiveInstances& live,
                                const json& arguments) {
    if (auto known = only_arguments(arguments, {"name", "repair", "accept_copy"}); !known) {
        return known.error();
    }
    const auto name = optional_text_argument(arguments, "name");
    if (!name) return name.error();
    const auto repair = flag(arguments, "repair");
    if (!repair) return repair.error();
    const auto accept_copy = flag(arguments, "accept_copy");
    if (!accept_copy) return accept_copy.error();
    return CheckJob(store, live,
                    {.name = name->value_or(""), .repair = *repair, .accept_copy = *accept_copy});
}

Result<json> CheckJob::run(const store::Pace& pace, const store::Progress& progress) {
    store::CheckHost host;
    host.pace = pace;
    host.progress = progress;
    host.is_in_use = [this](std::string_view) { return live_->serves(); };
    host.at_rest = [this](std::string_view name, const std::function<Result<void>()>& work) {
        return live_->at_rest(name, work);
    };
    const Result<store::CheckReport> report = check_store(store_->context(), options_, host);
    if (!report) return report.error();
    return describe(*report);
}

}  // namespace cowtgt::control
