#include "boot-helper/site/commands.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <utility>

#include "boot-helper/capture/capture.h"
#include "boot-helper/export/export.h"
#include "boot-helper/image/lint.h"
#include "target/control/arguments.h"
#include "target/control/describe.h"

namespace cowtgt::boot {

using nlohmann::json;

namespace {

Result<json> list_unknown(Site& site, const json& arguments) {
    if (auto known = control::only_arguments(arguments, {}); !known) return known.error();
    json list = json::array();
    for (const UnknownMachine& machine : site.fleet()->unknown) {
        list.push_back({{"mac", to_string(machine.mac)},
                        {"uuid", machine.uuid},
                        {"arch", machine.arch},
                        {"address", machine.address},
                        {"first_seen", rfc3339(machine.first_seen_ms)},
                        {"last_seen", rfc3339(machine.last_seen_ms)},
                        {"count", machine.count}});
    }
    return list;
}

/// The address by which machines reach this server: the one that is named, else that of the
/// configuration, else the only one that this host has.
Result<config::Endpoint> own_endpoint(const config::Config& config, const std::string& address) {
    if (config.http.empty()) {
        return Error{ErrorCode::refused, config.file.string() +
                                             " has no http, so machines can be told nothing; add "
                                             "http = [\"[::]:8080\"]"};
    }
    config::Endpoint http = config.http.front();
    if (!address.empty()) {
        const bool ipv6 = address.find(':') != std::string::npos;
        const std::string text = (ipv6 ? "[" + address + "]" : address) + ":1";
        auto endpoint = config::parse_endpoint(text);
        if (!endpoint || endpoint->is_wildcard()) {
            return Error{ErrorCode::usage, "'" + address + "' is no address of one host"};
        }
        endpoint->port = http.port;
        return *endpoint;
    }
    if (!http.is_wildcard()) return http;
    std::vector<config::Endpoint> own = control::host_addresses();
    const bool has_ipv4 =
        std::any_of(own.begin(), own.end(), [](const auto& each) { return !each.ipv6; });
    if (has_ipv4) std::erase_if(own, [](const auto& each) { return each.ipv6; });
    if (own.size() == 1) return config::Endpoint{own[0].address, http.port, own[0].ipv6};
    std::string choices;
    for (const config::Endpoint& each : own)
        choices += (choices.empty() ? ": " : ", ") + each.address;
    return Error{ErrorCode::refused, "http in " + config.file.string() +
                                         " means every address of this host" + choices +
                                         "; say with --address by which one machines reach it"};
}

Result<json> export_as_text(Site& site, const config::Config& config, const json& arguments) {
    auto known = control::only_arguments(arguments, {"kind", "name", "address"});
    if (!known) return known.error();
    auto word = control::text_argument(arguments, "kind");
    if (!word) return word.error();
    const auto kind = parse_export_kind(*word);
    if (!kind) return kind.error();
    auto name = control::optional_text_argument(arguments, "name");
    if (!name) return name.error();
    auto address = control::optional_text_argument(arguments, "address");
    if (!address) return address.error();
    Fleet fleet = *site.fleet();
    auto own = own_endpoint(config, address->value_or(""));
    const bool names_none = *kind == ExportKind::hosts || *kind == ExportKind::ethers;
    if (!own && !names_none) return own.error();
    if (own) fleet.http = std::move(*own);
    auto text = export_text(fleet, *kind, name->value_or(""));
    if (!text) return text.error();
    return json{{"kind", *word}, {"text", std::move(*text)}};
}

std::string ref_of(const store::TemplateInfo& info) {
    return control::template_ref_text(info.name, info.version);
}

Result<json> set_template(Site& site, const store::Store& store, const json& arguments) {
    auto known = control::only_arguments(arguments, {"template", "settings"});
    if (!known) return known.error();
    auto text = control::text_argument(arguments, "template");
    if (!text) return text.error();
    auto ref = store::parse_template_ref(*text);
    if (!ref) return ref.error();
    const auto info = store.find_template(*ref);
    if (!info) return info.error();
    const auto settings = arguments.find("settings");
    if (settings == arguments.end() || !settings->is_object() || settings->empty()) {
        return Error{ErrorCode::usage,
                     "name a setting and its value; a template has mode, initramfs, words and efi"};
    }
    const std::filesystem::path folder = store.boot_folder(info->name, info->version);
    auto record = read_boot_record(folder);
    if (!record && record.error().code == ErrorCode::not_found) {
        return Error{ErrorCode::refused, "it was not looked at yet what " + ref_of(*info) +
                                             " boots with; run: cowtgt template check " +
                                             ref_of(*info)};
    }
    if (!record) return record.error();
    for (const auto& [setting, value] : settings->items()) {
        if (!value.is_string()) return Error{ErrorCode::usage, setting + " is a text"};
        auto changed = change_boot_setting(*record, setting, value.get<std::string>());
        if (!changed) return changed.error();
    }
    if (auto written = write_boot_record(folder, *record); !written) return written.error();
    site.template_changed(ref_of(*info));
    json result = control::describe_template(*info);
    result["boot"] = boot::describe(*record);
    return result;
}

/// The lint's subject again, from what was kept.
Result<LintSubject> subject_of(const OpenedImage& image, const BootRecord& record,
                               const std::filesystem::path& folder) {
    LintSubject subject{image, {}, {}};
    if (!record.kernel || !record.initrd) return subject;
    for (Kernel& kernel : find_kernels(image)) {
        if (kernel.version == record.kernel_version) subject.kernel = std::move(kernel);
    }
    if (!subject.kernel) subject.kernel.emplace().version = record.kernel_version;
    auto initrd = read_kept_initrd(*record.initrd, folder);
    if (!initrd) return initrd.error();
    subject.initrd = std::move(*initrd);
    return subject;
}

}  // namespace

control::Extensions boot_extensions(Site& site, const control::Operations& operations,
                                    const store::Store& store) {
    control::Extensions extensions;
    extensions.commands["unknown"] = [&site](const json& arguments) {
        return list_unknown(site, arguments);
    };
    extensions.commands["export text"] = [&site, &operations](const json& arguments) {
        return export_as_text(site, operations.config(), arguments);
    };
    extensions.commands["template set"] = [&site, &store](const json& arguments) {
        return set_template(site, store, arguments);
    };
    extensions.describe_instance = [&site](std::string_view name, json& instance) {
        instance["boot"] = site.describe_stage(name);
    };
    extensions.describe_template = [&store](const store::TemplateInfo& info, json& result) {
        const auto record = read_boot_record(store.boot_folder(info.name, info.version));
        result["boot"] = record ? boot::describe(*record) : json();
    };
    extensions.describe_site = [&site](json& status) {
        status["problems"] = site.fleet()->problems;
    };
    return extensions;
}

Result<json> check_template(const store::Store& store, const store::TemplateInfo& info,
                            const BootRecord& record) {
    const std::filesystem::path folder = store.boot_folder(info.name, info.version);
    if (auto whole = verify_blobs(record, folder); !whole) return whole.error();
    const auto disk = store.open_template({info.name, info.version, ""});
    if (!disk) return disk.error();
    DiskImage source(**disk);
    const Result<OpenedImage> image = OpenedImage::open(source);
    if (!image) return image.error();
    const Result<LintSubject> subject = subject_of(*image, record, folder);
    if (!subject) return subject.error();
    json result = {{"ref", ref_of(info)}, {"boot", boot::describe(record)}};
    std::vector<std::string_view> fine =
        image->root() == nullptr ? std::vector<std::string_view>() : lint_codes();
    json findings = json::array();
    for (const Finding& finding : lint(*subject)) {
        std::erase(fine, finding.code);
        findings.push_back({{"code", finding.code},
                            {"severity", to_string(finding.severity)},
                            {"what", finding.what},
                            {"breaks", finding.breaks},
                            {"mend", finding.mend}});
    }
    result["findings"] = std::move(findings);
    result["fine"] = fine;
    return result;
}

}  // namespace cowtgt::boot
