#include "target/control/operations.h"

#include <algorithm>
#include <array>
#include <mutex>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <tuple>
#include <utility>

#include "target/config/names.h"
#include "target/config/size.h"
#include "target/control/arguments.h"
#include "target/control/describe.h"
#include "target/control/identity_arguments.h"
#include "target/control/intent.h"

namespace cowtgt::control {

using nlohmann::json;

namespace {

Error with_prefix(std::string prefix, Error error) {
    error.message.insert(0, prefix);
    return error;
}

Result<std::uint64_t> size_argument(const json& arguments) {
    const auto found = arguments.find("size");
    if (found == arguments.end() || found->is_null()) return std::uint64_t{0};
    if (found->is_number_unsigned()) return found->get<std::uint64_t>();
    auto text = text_argument(arguments, "size");
    if (!text) return text.error();
    auto size = config::parse_size(*text);
    if (size && *size == 0) return Error{ErrorCode::usage, "a disk cannot have the size 0"};
    return size;
}

Result<std::optional<config::MacAddress>> mac_argument(const json& arguments) {
    auto text = optional_text_argument(arguments, "mac");
    if (!text) return text.error();
    if (!*text) return std::optional<config::MacAddress>();
    auto mac = config::parse_mac(**text);
    if (!mac) return mac.error();
    return std::optional(*mac);
}

Result<std::string> only_name_argument(const json& arguments) {
    if (auto known = only_arguments(arguments, {"name"}); !known) return known.error();
    return text_argument(arguments, "name");
}

Result<store::TemplateRef> only_template_argument(const json& arguments) {
    if (auto known = only_arguments(arguments, {"template"}); !known) return known.error();
    auto text = text_argument(arguments, "template");
    if (!text) return text.error();
    return store::parse_template_ref(*text);
}

/// What the line of a machine says; nothing when it stands on no template.
std::string template_ref_of(const store::InstanceInfo& info) {
    if (info.template_name.empty()) return "";
    return template_ref_text(info.template_name, info.template_version);
}

}  // namespace

/// The instances that are being exported, shared with the jobs on their threads.
struct Operations::Busy {
    std::mutex mutex;
    std::multiset<std::string, std::less<>> names;  ///< guarded by mutex

    bool has(std::string_view name) {
        const std::lock_guard lock(mutex);
        return names.find(name) != names.end();
    }
    static std::shared_ptr<void> hold(const std::shared_ptr<Busy>& busy, std::string name) {
        {
            const std::lock_guard lock(busy->mutex);
            busy->names.insert(name);
        }
        return {nullptr, [busy, name = std::move(name)](void*) {
                    const std::lock_guard lock(busy->mutex);
                    busy->names.erase(busy->names.find(name));
                }};
    }
};

ExportJob::ExportJob(std::string name, std::uint64_t size_bytes, LiveInstances& live,
                     std::shared_ptr<void> hold)
    : name_(std::move(name)), size_bytes_(size_bytes), live_(live), hold_(std::move(hold)) {}

Result<void> ExportJob::run(const store::Store::Sink& sink, const store::Progress& progress) {
    return live_.read_live(name_, sink, progress);
}

Operations::Operations(config::Config config, store::Store& store, config::MachinesFile machines,
                       LiveInstances& live)
    : config_(std::move(config)),
      store_(store),
      machines_(std::move(machines)),
      secrets_(config_.secrets_file),
      live_(live),
      busy_(std::make_shared<Busy>()) {}

Operations::~Operations() = default;

struct Operations::CommandRow {
    std::string_view name;
    Result<json> (Operations::*run)(const json& arguments);
};
const Operations::CommandRow Operations::command_rows[] = {
    {"clone", &Operations::clone},
    {"ls", &Operations::list},
    {"show", &Operations::show},
    {"rm", &Operations::remove},
    {"rename", &Operations::rename},
    {"reset", &Operations::reset},
    {"set", &Operations::set},
    {"authenticate", &Operations::authenticate},
    {"snapshot", &Operations::snapshot},
    {"snapshot ls", &Operations::snapshot_list},
    {"snapshot rm", &Operations::snapshot_remove},
    {"snapshot restore", &Operations::snapshot_restore},
    {"resize", &Operations::resize},
    {"du", &Operations::space},
    {"diff", &Operations::changes},
    {"receive", &Operations::receive},
    {"rebase", &Operations::rebase},
    {"flatten", &Operations::flatten},
    {"commit", &Operations::commit},
    {"template tag", &Operations::template_tag},
    {"template note", &Operations::template_note},
    {"template ls", &Operations::template_list},
    {"template show", &Operations::template_show},
    {"template rm", &Operations::template_remove},
    {"status", &Operations::status},
    {"plan", &Operations::plan},
    {"apply", &Operations::apply},
    {"adopt", &Operations::adopt},
};

Result<json> Operations::run(std::string_view command, const json& arguments) {
    const auto* row = std::find_if(std::begin(command_rows), std::end(command_rows),
                                   [&](const CommandRow& known) { return known.name == command; });
    const auto extra = extensions_.commands.find(command);
    if (extra != extensions_.commands.end()) return extra->second(arguments);
    if (row == std::end(command_rows)) {
        return Error{ErrorCode::usage, "unknown command '" + std::string(command) + "'"};
    }
    return (this->*row->run)(arguments);
}

std::vector<std::string> Operations::recover() {
    const IntentFile file(config_.store / intent_file_name);
    const std::optional<Intent> intent = file.read();
    std::vector<std::string> mended;
    if (!intent) {
        file.clear();
        return mended;
    }
    const auto instance = store_.find_instance(intent->name);
    Result<void> edited;
    if (intent->kind == Intent::Kind::clone && instance) {
        auto line = config::parse_machines(intent->line, "unfinished clone");
        if (line && line->contains(intent->name)) {
            config::Machine machine = line->find(intent->name)->second;
            machine.template_ref = template_ref_of(*instance);
            edited = machines_.put(machine);
            mended.push_back("finished the clone of " + intent->name + ", which was interrupted");
        }
    } else if (intent->kind == Intent::Kind::remove && !instance) {
        edited = machines_.remove(intent->name);
        mended.push_back("finished the removal of " + intent->name + ", which was interrupted");
    } else if (intent->kind == Intent::Kind::rename && !instance &&
               store_.find_instance(intent->to)) {
        edited = machines_.rename(intent->name, intent->to);
        mended.push_back("finished the rename of " + intent->name + " to " + intent->to +
                         ", which was interrupted");
    }
    if (!edited) {
        // The intent stays, so that the next command tries again.
        mended.back() = edited.error().message;
        return mended;
    }
    file.clear();
    return mended;
}

std::vector<Error> Operations::bring_all_online() {
    std::vector<Error> problems;
    auto instances = store_.instances();
    if (!instances) {
        problems.push_back(std::move(instances).error());
        return problems;
    }
    for (const store::InstanceInfo& info : *instances) {
        const config::Machine machine = machines_.find(info.name);
        Result<void> online = settle_boot_phase(machine, info);
        if (online) online = put_online(machine);
        if (online && info.is_flattening) online = go_on_flattening(info.name);
        if (!online) problems.push_back(with_prefix(info.name + ": ", online.error()));
    }
    return problems;
}

Result<json> Operations::reload() {
    if (auto loaded = machines_.reload(); !loaded) return loaded.error();
    if (auto read = read_secrets(); !read) return read.error();
    auto instances = store_.instances();
    if (!instances) return instances.error();
    json changed = json::array();
    std::set<std::string, std::less<>> names;
    for (const store::InstanceInfo& info : *instances) {
        names.insert(info.name);
        const auto applied = applied_.find(info.name);
        if (applied != applied_.end() && applied->second == machines_.find(info.name)) continue;
        if (auto served = serve(info.name, "changed"); !served) return served.error();
        changed.push_back(info.name);
    }
    json without_instance = json::array();
    for (const auto& [name, machine] : machines_.machines()) {
        if (!names.contains(name)) without_instance.push_back(name);
    }
    return json{{"changed", std::move(changed)}, {"without_instance", std::move(without_instance)}};
}

Result<ExportJob> Operations::begin_export(std::string_view name) {
    auto info = store_.find_instance(name);
    if (!info) return info.error();
    return ExportJob(info->name, info->size_bytes, live_, Busy::hold(busy_, info->name));
}

Result<CheckJob> Operations::begin_check(const json& arguments) {
    return CheckJob::make(store_, live_, arguments);
}

Result<json> Operations::clone(const json& arguments) {
    auto known =
        only_arguments(arguments, {"template", "name", "mac", "size", "identity", "identity_seed",
                                   "labels", "uuids", "grow", "rewrite_references", "ephemeral"});
    if (!known) return known.error();
    auto source_text = text_argument(arguments, "template");
    if (!source_text) return source_text.error();
    auto name = text_argument(arguments, "name");
    if (!name) return name.error();
    if (auto checked = store::check_name(*name); !checked) return checked.error();
    auto source = store::parse_template_ref(*source_text);
    if (!source) return source.error();
    auto size = size_argument(arguments);
    if (!size) return size.error();
    auto mac = mac_argument(arguments);
    if (!mac) return mac.error();
    auto ephemeral = flag_argument(arguments, "ephemeral");
    if (!ephemeral) return ephemeral.error();
    store::CloneOptions options;
    if (auto taken = take_identity_arguments(arguments, options); !taken) return taken.error();

    if (auto current = machines_.reload(); !current) return current.error();
    // A line that was written by hand before the clone counts where the command says nothing.
    config::Machine machine = machines_.find(*name);
    if (*mac) machine.mac = *mac;
    if (*size != 0) machine.size_bytes = *size;
    machine.ephemeral = machine.ephemeral || *ephemeral;
    if (machine.mac) {
        const std::string_view owner = machines_.owner_of(*machine.mac);
        if (!owner.empty() && owner != *name) {
            return Error{ErrorCode::exists, "the MAC " + config::to_string(*machine.mac) +
                                                " belongs to " + std::string(owner) + " (" +
                                                machines_.path().string() + ")"};
        }
    }
    options.source = std::move(*source);
    options.name = *name;
    options.size_bytes = machine.size_bytes;
    auto info = make_instance(options, std::move(machine));
    if (!info) return info.error();
    if (auto served = serve(*name, "cloned"); !served) return served.error();
    return describe(*info);
}

Result<store::InstanceInfo> Operations::make_instance(const store::CloneOptions& options,
                                                      config::Machine machine) {
    // Asked before the intent is written: an intent to clone means that there was no instance.
    if (store_.find_instance(options.name)) {
        return Error{ErrorCode::exists, "instance '" + options.name +
                                            "' exists already; choose another name or remove it "
                                            "with: cowtgt rm " +
                                            options.name};
    }
    const IntentFile intent(config_.store / intent_file_name);
    auto noted =
        intent.write({Intent::Kind::clone, options.name, "", config::machine_line(machine)});
    if (!noted) return noted.error();
    auto info = clone_source(options);
    if (!info) {
        intent.clear();
        return info;
    }
    machine.template_ref = template_ref_of(*info);
    if (auto put = machines_.put(machine); !put) {
        if (auto undone = store_.remove_instance(options.name); undone) intent.clear();
        return put.error();
    }
    intent.clear();
    return info;
}

Result<json> Operations::list(const json& arguments) {
    if (auto known = only_arguments(arguments, {}); !known) return known.error();
    auto instances = store_.instances();
    if (!instances) return instances.error();
    std::sort(instances->begin(), instances->end(),
              [](const auto& a, const auto& b) { return a.name < b.name; });
    json result = json::array();
    for (const store::InstanceInfo& info : *instances)
        result.push_back(describe(info));
    return result;
}

Result<json> Operations::show(const json& arguments) {
    auto name = only_name_argument(arguments);
    if (!name) return name.error();
    auto info = store_.find_instance(*name);
    if (!info) return info.error();
    return describe(*info);
}

Result<void> Operations::check_not_busy(std::string_view name) const {
    if (auto found = store_.find_instance(name); !found) return found.error();
    if (auto free = check_not_flattening(name); !free) return free;
    if (!busy_->has(name)) return {};
    return Error{ErrorCode::in_use, "'" + std::string(name) +
                                        "' is being exported; wait for "
                                        "the end of the export"};
}

std::shared_ptr<void> Operations::hold(const std::string& name) const {
    return Busy::hold(busy_, name);
}

Result<void> Operations::try_stop(std::string_view name) const {
    if (auto free = check_not_busy(name); !free) return free;
    const std::vector<SessionInfo> sessions = live_.sessions(name);
    if (sessions.empty()) return {};
    return Error{ErrorCode::in_use, std::string(name) +
                                        " is in use: " + sessions.front().initiator_name +
                                        " is logged in from " + sessions.front().initiator_address +
                                        "; shut the machine down first"};
}

Result<void> Operations::stop_for_change(std::string_view name) {
    if (auto free = check_not_busy(name); !free) return free;
    // With an error in machines.toml its line could not be edited afterwards.
    if (auto current = machines_.reload(); !current) return current.error();
    if (auto stopped = live_.take_offline(name); !stopped) return stopped;
    if (const auto applied = applied_.find(name); applied != applied_.end()) {
        applied_.erase(applied);
    }
    return {};
}

Result<void> Operations::bring_online(std::string_view name) {
    const config::Machine machine = machines_.find(name);
    if (const auto info = store_.find_instance(name)) {
        if (auto settled = settle_boot_phase(machine, *info); !settled) return settled;
    }
    return put_online(machine);
}

Result<void> Operations::settle_boot_phase(const config::Machine& machine,
                                           const store::InstanceInfo& info) {
    if (machine.ephemeral || info.boot_phase == store::BootPhase::running) return {};
    return store_.set_boot_phase(info.name, store::BootPhase::running);
}

Result<void> Operations::put_online(const config::Machine& machine) {
    auto online = live_.bring_online(machine.name, machine);
    if (online) applied_.insert_or_assign(machine.name, machine);
    return online;
}

Result<void> Operations::serve(std::string_view name, std::string_view what_was_done) {
    auto online = bring_online(name);
    if (online) return {};
    return with_prefix("'" + std::string(name) + "' was " + std::string(what_was_done) +
                           ", but cannot be served: ",
                       online.error());
}

Result<json> Operations::rename(const json& arguments) {
    if (auto known = only_arguments(arguments, {"name", "to"}); !known) return known.error();
    auto from = text_argument(arguments, "name");
    if (!from) return from.error();
    auto to = text_argument(arguments, "to");
    if (!to) return to.error();
    if (auto checked = store::check_name(*to); !checked) return checked.error();
    if (auto found = store_.find_instance(*from); !found) return found.error();
    if (store_.find_instance(*to)) {
        return Error{ErrorCode::exists, "instance '" + *to + "' exists already"};
    }
    if (auto stopped = stop_for_change(*from); !stopped) return stopped.error();
    const IntentFile intent(config_.store / intent_file_name);
    Result<void> done = intent.write({Intent::Kind::rename, *from, *to, ""});
    // The secret first: at no moment may the instance be there without it.
    if (done) done = copy_secret(*from, *to);
    if (done) done = store_.rename_instance(*from, *to);
    if (!done) {
        (void)serve(*from, "not renamed");  // as above: the first error is the news
        intent.clear();
        return done.error();
    }
    if (auto edited = machines_.rename(*from, *to); !edited) return edited.error();
    if (auto edited = forget_secret(*from); !edited) return edited.error();
    intent.clear();
    if (auto served = serve(*to, "renamed"); !served) return served.error();
    auto info = store_.find_instance(*to);
    if (!info) return info.error();
    return describe(*info);
}

Result<json> Operations::set(const json& arguments) {
    if (auto known = only_arguments(arguments, {"name", "settings"}); !known) return known.error();
    auto name = text_argument(arguments, "name");
    if (!name) return name.error();
    const auto settings = arguments.find("settings");
    if (settings == arguments.end() || !settings->is_object() || settings->empty()) {
        return Error{ErrorCode::usage,
                     "name a setting and its value; there are " + config::setting_names()};
    }
    auto info = store_.find_instance(*name);
    if (!info) return info.error();
    if (auto current = machines_.reload(); !current) return current.error();
    config::Machine machine = machines_.find(*name);
    for (const auto& [setting, value] : settings->items()) {
        auto text = text_argument(*settings, setting.c_str());
        if (!text) return text.error();
        if (auto changed = config::change_setting(machine, setting, *text); !changed) {
            return changed.error();
        }
    }
    if (machine.ephemeral) {
        if (auto free = check_not_flattening(*name); !free) return free.error();
        if (info->template_name.empty()) {
            return Error{ErrorCode::refused,
                         *name + " stands on no template that it could go back to at each boot"};
        }
    }
    if (machine.physical_block != 0 && machine.physical_block < info->block_size) {
        return Error{ErrorCode::usage, *name + " has blocks of " +
                                           std::to_string(info->block_size) +
                                           " bytes; its physical blocks cannot be smaller"};
    }
    if (auto edited = machines_.put(machine); !edited) return edited.error();
    if (auto served = serve(*name, "changed"); !served) return served.error();
    return describe(*info);
}

Result<json> Operations::template_list(const json& arguments) {
    if (auto known = only_arguments(arguments, {}); !known) return known.error();
    auto templates = store_.templates();
    if (!templates) return templates.error();
    std::sort(templates->begin(), templates->end(), [](const auto& a, const auto& b) {
        return std::tie(a.name, a.version) < std::tie(b.name, b.version);
    });
    json result = json::array();
    for (const store::TemplateInfo& info : *templates)
        result.push_back(describe_one(info));
    return result;
}

Result<json> Operations::template_show(const json& arguments) {
    auto ref = only_template_argument(arguments);
    if (!ref) return ref.error();
    auto info = store_.find_template(*ref);
    if (!info) return info.error();
    return describe_one(*info);
}

Result<json> Operations::status(const json& arguments) {
    if (auto known = only_arguments(arguments, {}); !known) return known.error();
    auto instances = store_.instances();
    if (!instances) return instances.error();
    auto templates = store_.templates();
    if (!templates) return templates.error();
    json result = {{"config", config_.file.string()}, {"store", config_.store.string()},
                   {"iqn", config_.iqn_prefix},       {"templates", templates->size()},
                   {"instances", instances->size()},  {"daemon", live_.status()}};
    if (const auto pool = store_.pool()) {
        const std::uint64_t low = config::low_water_of(config_, pool->total_bytes);
        result["space"] = {{"free_bytes", pool->free_bytes},
                           {"total_bytes", pool->total_bytes},
                           {"low_water_bytes", low},
                           {"low", pool->free_bytes < low}};
    }
    if (extensions_.describe_site) extensions_.describe_site(result);
    return result;
}

json Operations::describe(const store::InstanceInfo& info) const {
    json result =
        describe_instance(info, machines_.find(info.name), config_, live_.sessions(info.name));
    result["chap"] = chap_user_of(info.name);
    result["flatten"] = describe_flattening(info.name);
    if (extensions_.describe_instance) extensions_.describe_instance(info.name, result);
    return result;
}

json Operations::describe_one(const store::TemplateInfo& info) const {
    json result = describe_template(info);
    if (extensions_.describe_template) extensions_.describe_template(info, result);
    return result;
}

}  // namespace cowtgt::control
