#include "boot-helper/site/site.h"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <array>
#include <ctime>
#include <nlohmann/json.hpp>
#include <utility>

#include "boot-helper/core/command_line.h"
#include "target/config/text_file.h"

namespace cowtgt::boot {

using nlohmann::json;

namespace {

/// So that the control thread is never away for long when thousands of instances are new to it.
constexpr std::size_t refreshed_per_tick = 256;
constexpr std::size_t problems_max = 100;  ///< the oldest goes first
/// Beside cowtgt.toml: seeds/NAME/user-data for cloud-init.
constexpr const char* seeds_folder = "seeds";

/// Under which what it boots with is known: that of its template, or its own without one.
std::string ref_text(const store::InstanceInfo& info) {
    if (info.template_name.empty()) return info.name;
    return info.template_name + "@" + std::to_string(info.template_version);
}

/// "10.0.0.7" of "10.0.0.7:51234", "fd00::1" of "[fd00::1]:51234".
std::string address_of(std::string_view peer) {
    peer = peer.substr(0, peer.rfind(':'));
    if (peer.starts_with('[') && peer.ends_with(']')) peer = peer.substr(1, peer.size() - 2);
    return std::string(peer);
}

std::optional<Blob> blob_of(const std::optional<KeptBlob>& kept,
                            const std::filesystem::path& folder) {
    if (!kept) return std::nullopt;
    return Blob{kept->sha256, kept->name, kept->size_bytes, folder / kept->sha256};
}

std::string text_or_nothing(const std::filesystem::path& file) {
    auto text = config::read_text_file(file);
    return text ? std::move(*text) : std::string();
}

/// Those of the machine, else of its template; nothing without a folder.
std::optional<Seed> read_seed(const std::filesystem::path& seeds, const std::string& machine,
                              const std::string& template_name) {
    for (const std::string& name : {machine, template_name}) {
        std::error_code problem;
        const std::filesystem::path folder = seeds / name;
        if (name.empty() || !std::filesystem::is_directory(folder, problem)) continue;
        return Seed{text_or_nothing(folder / "user-data"), text_or_nothing(folder / "vendor-data"),
                    text_or_nothing(folder / "network-config")};
    }
    return std::nullopt;
}

/// What the clone made of the UUID that its template's root has.
std::string root_uuid_of(const store::InstanceInfo& info, const std::string& template_uuid) {
    for (const store::IdentityItem& item : info.identity) {
        const bool is_root = item.kind == "fs-uuid" && item.old_value == template_uuid;
        if (is_root && !item.new_value.empty()) return item.new_value;
    }
    return template_uuid;
}

auto place_of(std::vector<Machine>& machines, std::string_view name) {
    return std::lower_bound(
        machines.begin(), machines.end(), name,
        [](const Machine& machine, std::string_view wanted) { return machine.name < wanted; });
}

Machine* find_machine(std::vector<Machine>& machines, std::string_view name) {
    const auto place = place_of(machines, name);
    return place == machines.end() || place->name != name ? nullptr : &*place;
}

}  // namespace

std::string rfc3339(std::int64_t time_ms) {
    const std::time_t time = time_ms / 1'000;
    std::tm parts{};
    gmtime_r(&time, &parts);
    std::array<char, 32> text{};
    std::strftime(text.data(), text.size(), "%Y-%m-%dT%H:%M:%SZ", &parts);
    return text.data();
}

/// What was told of an instance; what can be read is read when it is needed.
struct Site::Known {
    config::Machine line;
    std::vector<node::SessionFacts> sessions;
};

Site::Site(const config::Config& config, const store::Store& store, Options options)
    : config_(config),
      store_(store),
      options_(std::move(options)),
      fleet_(std::make_shared<Fleet>()) {
    fleet_->prefix = config.iqn_prefix;
    fleet_->version = options_.version;
    fleet_->portals = config.listen;
    if (!config.http.empty()) fleet_->http = config.http.front();
}

Site::~Site() = default;

/// Not the one that somebody else still looks at.
Fleet& Site::writable() {
    if (fleet_.use_count() > 1) fleet_ = std::make_shared<Fleet>(*fleet_);
    return *fleet_;
}

std::shared_ptr<const Fleet> Site::fleet() {
    if (options_.lines) {
        for (const auto& [name, line] : std::exchange(options_.lines, {})())
            instance_served(name, line);
    }
    refresh_some(changed_.size());
    return fleet_;
}

void Site::refresh_some(std::size_t count) {
    for (; count > 0 && !changed_.empty(); --count) {
        const std::string name = *changed_.begin();
        changed_.erase(changed_.begin());
        refresh(name);
    }
}

void Site::refresh(const std::string& name) {
    std::vector<Machine>& machines = writable().machines;
    const auto place = place_of(machines, name);
    const bool is_there = place != machines.end() && place->name == name;
    const auto known = known_.find(name);
    if (known == known_.end()) {
        if (is_there) machines.erase(place);
        return;
    }
    Machine machine = describe(name, known->second);
    if (is_there) {
        *place = std::move(machine);
    } else {
        machines.insert(place, std::move(machine));
    }
    if (known->second.line.mac) {
        unknown_.forget(*known->second.line.mac);
        writable().unknown = unknown_.list();
    }
}

Machine Site::describe(const std::string& name, const Known& known) {
    Machine machine;
    machine.name = name;
    machine.mac = known.line.mac;
    machine.stage = stages_.report(name, options_.now_ms());
    for (const node::SessionFacts& session : known.sessions) {
        machine.session_addresses.push_back(address_of(session.peer));
    }
    const Result<store::InstanceInfo> info = store_.find_instance(name);
    if (!info) {
        spdlog::error("cannot read instance={} reason=\"{}\"", name, info.error().message);
        return machine;
    }
    machine.template_ref = ref_text(*info);
    machine.uuid = to_string(info->uuid);
    if (const auto chap = chap_.find(name); chap != chap_.end()) machine.chap = chap->second;
    machine.seed = read_seed(config_.file.parent_path() / seeds_folder, name, info->template_name);
    take_record(*info, machine);
    return machine;
}

void Site::take_record(const store::InstanceInfo& info, Machine& machine) {
    const std::optional<BootRecord>& record = record_of(info);
    if (!record) {
        machine.mode = BootMode::disk;  // what every image may do by itself
        return;
    }
    const std::filesystem::path folder = store_.boot_folder(info);
    machine.mode = record->mode;
    machine.dialect = record->dialect;
    machine.kernel = blob_of(record->kernel, folder);
    machine.initrd = blob_of(record->initrd, folder);
    machine.root_label = record->root_label;
    machine.root_uuid = root_uuid_of(info, record->root_uuid);
    machine.extra_words = record->extra_words;
    machine.efi_program = record->efi_program;
}

const std::optional<BootRecord>& Site::record_of(const store::InstanceInfo& info) {
    const std::string ref = ref_text(info);
    const auto found = records_.find(ref);
    if (found != records_.end()) return found->second;
    auto record = read_boot_record(store_.boot_folder(info));
    if (record) return records_.emplace(ref, std::move(*record)).first->second;
    if (record.error().code == ErrorCode::not_found && info.template_name.empty()) {
        // It boots from its disk.
    } else if (record.error().code == ErrorCode::not_found) {
        uncaptured_.push_back({info.template_name, info.template_version, ""});
    } else {
        report_problem(record.error().message);
    }
    return records_.emplace(ref, std::nullopt).first->second;
}

void Site::template_changed(std::string_view ref) {
    if (const auto found = records_.find(ref); found != records_.end()) records_.erase(found);
    for (const Machine& machine : fleet_->machines) {
        if (machine.template_ref == ref) changed_.insert(machine.name);
    }
}

std::vector<store::TemplateRef> Site::take_uncaptured() {
    return std::exchange(uncaptured_, {});
}

void Site::report_problem(std::string sentence) {
    std::vector<std::string>& problems = writable().problems;
    if (std::find(problems.begin(), problems.end(), sentence) != problems.end()) return;
    spdlog::warn("problem text=\"{}\"", sentence);
    if (problems.size() == problems_max) problems.erase(problems.begin());
    problems.push_back(std::move(sentence));
}

// ---- what is seen

void Site::see(const std::string& name, Sighting sighting) {
    if (!stages_.see(name, sighting, options_.now_ms())) return;
    spdlog::info("boot machine={} stage={}", name,
                 to_string(stages_.report(name, options_.now_ms()).stage));
    set_stage(name);
}

void Site::set_stage(const std::string& name) {
    if (Machine* machine = find_machine(writable().machines, name); machine != nullptr) {
        machine->stage = stages_.report(name, options_.now_ms());
    }
}

void Site::tick() {
    refresh_some(refreshed_per_tick);
    const std::int64_t now_ms = options_.now_ms();
    for (const StuckEvent& event : stages_.newly_stuck(now_ms)) {
        set_stage(event.name);
        report_problem(event.name + " is " +
                       boot::describe(stages_.report(event.name, now_ms), now_ms) +
                       "; look at its screen, or at /v1/boot?mac= of it");
    }
}

std::string Site::refusal_of(std::string_view name) {
    if (chap_.find(name) == chap_.end()) return {};
    const auto fleet = this->fleet();
    const Machine* machine = fleet->find_name(name);
    if (machine == nullptr || !machine->mac) return {};
    const Result<void> fine = check_chap(*machine);
    return fine ? std::string() : fine.error().message;
}

json Site::describe_stage(std::string_view machine) {
    const std::int64_t now_ms = options_.now_ms();
    const StageReport report = stages_.report(machine, now_ms);
    const std::string refused = refusal_of(machine);
    return {{"stage", to_string(report.stage)},
            {"since", report.since_ms == 0 ? json() : json(rfc3339(report.since_ms))},
            {"stuck", report.stuck},
            {"text", boot::describe(report, now_ms)},
            {"refused", refused.empty() ? json() : json(refused)}};
}

void Site::boot_event(const BootEvent& event) {
    if (!event.machine.empty()) {
        if (event.sighting == Sighting::script_asked && options_.script_asked) {
            options_.script_asked(event.machine);
        }
        if (event.sighting == Sighting::script_asked) {
            if (std::string why = refusal_of(event.machine); !why.empty()) {
                report_problem(std::move(why));
            }
        }
        see(event.machine, event.sighting);
        return;
    }
    const bool is_new =
        std::none_of(fleet_->unknown.begin(), fleet_->unknown.end(),
                     [&event](const UnknownMachine& machine) { return machine.mac == event.mac; });
    if (is_new) {
        spdlog::warn("unknown machine mac={} peer={} next=\"cowtgt adopt {} NAME TEMPLATE\"",
                     to_string(event.mac), event.peer, to_string(event.mac));
    }
    unknown_.see({event.mac, event.uuid, event.arch, event.peer}, options_.now_ms());
    writable().unknown = unknown_.list();
}

void Site::instance_served(const std::string& instance, const config::Machine& machine) {
    known_[instance].line = machine;
    changed_.insert(instance);
}

void Site::space_seen(const fleet::SpaceSeen& space) {
    std::vector<Metric>& metrics = writable().metrics;
    metrics.clear();
    const auto add = [&metrics](const char* name, const char* help, double value) {
        metrics.push_back({name, help, "gauge", {}, value});
    };
    add("cowtgt_store_free_bytes", "Bytes free in the file system of the store.",
        static_cast<double>(space.free_bytes));
    add("cowtgt_store_size_bytes", "Bytes of the file system of the store.",
        static_cast<double>(space.total_bytes));
    add("cowtgt_store_low_water_bytes", "Free bytes below which the store is low on space.",
        static_cast<double>(space.low_water_bytes));
    add("cowtgt_store_low", "Whether the store is low on space.", space.is_low ? 1 : 0);
    for (const fleet::SpaceSeen::Quota& quota : space.quotas) {
        metrics.push_back({"cowtgt_quota_bytes",
                           "Bytes that the machine's own layers may take.",
                           "gauge",
                           {{"machine", quota.instance}},
                           static_cast<double>(quota.quota_bytes)});
        metrics.push_back({"cowtgt_quota_used_bytes",
                           "Bytes that they take, while the disk is open.",
                           "gauge",
                           {{"machine", quota.instance}},
                           static_cast<double>(quota.used_bytes)});
    }
}

void Site::instance_gone(const std::string& instance) {
    known_.erase(instance);
    stages_.forget(instance);
    changed_.insert(instance);
}

void Site::secrets_changed(const config::Secrets& secrets) {
    for (const auto& [name, chap] : std::exchange(chap_, {}))
        changed_.insert(name);
    for (const auto& [name, entry] : secrets) {
        if (name == config::discovery_entry) continue;
        chap_[name] = {entry.user, config_.chap_over_http ? std::optional(entry) : std::nullopt};
        changed_.insert(name);
    }
}

void Site::session_began(const std::string& instance, const node::SessionFacts& session) {
    const auto known = known_.find(instance);
    if (known == known_.end()) return;
    known->second.sessions.push_back(session);
    changed_.insert(instance);
    if (iscsi::is_ipxe(session.isid)) {
        see(instance, Sighting::firmware_login);
    } else {
        see(instance, session.goes_on ? Sighting::linux_goes_on : Sighting::linux_login);
    }
}

void Site::session_ended(const std::string& instance, const node::SessionFacts& session) {
    const auto known = known_.find(instance);
    if (known == known_.end()) return;
    std::vector<node::SessionFacts>& sessions = known->second.sessions;
    std::erase_if(sessions, [&](const node::SessionFacts& each) {
        return each.tsih == session.tsih && each.peer == session.peer;
    });
    changed_.insert(instance);
    if (sessions.empty()) see(instance, Sighting::last_session_ended);
}

void Site::name_is_shared(const std::string& instance, const node::SessionFacts& kept_out,
                          const std::string& holder) {
    report_problem("two machines use the initiator name " + kept_out.initiator_name + " of " +
                   instance + ": the one at " + holder +
                   " booted last and has the disk, the one at " + address_of(kept_out.peer) +
                   " is kept out; give it a name and a disk of its own (cowtgt adopt)");
}

}  // namespace cowtgt::boot
