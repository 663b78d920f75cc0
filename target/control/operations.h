#pragma once

#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "cow-store/base/result.h"
#include "cow-store/store/store.h"
#include "target/config/config.h"
#include "target/config/machines_file.h"
#include "target/config/secrets_file.h"
#include "target/control/check_job.h"
#include "target/control/live_instances.h"
#include "target/control/rebase_job.h"

/// The work of every admin command, in one place: the daemon runs it for requests from its socket,
/// the command runs it itself, on the store under its lock, when no daemon runs.
///
/// Results are JSON with these fields, which do not change their meaning (cowtgt(1) lists them):
///   template: name, version, ref, tags, size_bytes, allocated_bytes, block_size, content_id,
///             verified, imported_at, source, note, uuid, instances [name],
///             damage ("": none known),
///             identity [{where, kind, label, value, kept_because, note}],
///             contents [{where, format, label, uuid, begin, size_bytes, problem ("": clean)}],
///             references [{value, where, file, becomes (rewritten, left, fixed), reason}]
///   instance: name, template, target, lun, urls [iscsi://...], initiator (null: any), from [range,
///   [] is any],
///             chap (user that must authenticate; null: nobody), mac (null),
///             size_bytes, allocated_bytes, quota_bytes (null: none), block_size, uuid, created_at,
///             damage,
///             settings [NAME=VALUE, where not as usual], ephemeral,
///             boot_phase (running|armed|fresh; null: not ephemeral),
///             flatten (null: not since the daemon runs; {state (running|done|cancelled|failed),
///             done_bytes, total_bytes, reason}),
///             identity [{where, kind, label, old, new, kept_because, note}],
///             sessions [{initiator, address, isid, since}], snapshots [label], origin
///   snapshot: instance, label, ref, created_at, size_bytes, allocated_bytes, clones [name],
///             verified (false: its content is not hashed yet)
///   space:    name, own_bytes, shared_bytes, total_bytes, freed_bytes, quota_bytes (null: none)
///   changes:  name, from, size_bytes, from_size_bytes, data_bytes, zero_bytes,
///             ranges [{offset, length, content: data|zeros}]
namespace cowtgt::control {

/// An export that has begun: as long as this exists its instance cannot be removed, renamed or
/// reset. May be run and destroyed on another thread than the operations.
class ExportJob {
public:
    ExportJob(std::string name, std::uint64_t size_bytes, LiveInstances& live,
              std::shared_ptr<void> hold);
    std::uint64_t size_bytes() const { return size_bytes_; }  ///< of the disk
    Result<void> run(const store::Store::Sink& sink, const store::Progress& progress);

private:
    std::string name_;
    std::uint64_t size_bytes_;
    LiveInstances& live_;
    std::shared_ptr<void> hold_;
};

/// What modules that this one does not know add to the commands.
struct Extensions {
    using Command = std::function<Result<nlohmann::json>(const nlohmann::json& arguments)>;
    std::map<std::string, Command, std::less<>> commands;
    /// Add fields to what is said of an instance, of a template and of the site.
    std::function<void(std::string_view name, nlohmann::json& instance)> describe_instance;
    std::function<void(const store::TemplateInfo& info, nlohmann::json& result)> describe_template;
    std::function<void(nlohmann::json& status)> describe_site;
};

/// Ownership: keeps references to `store` and `live`.
/// Threads: one at a time (the control thread); see ExportJob for the exception.
class Operations {
public:
    /// `machines` is the loaded machines.toml of `config`. The store is opened exclusively.
    Operations(config::Config config, store::Store& store, config::MachinesFile machines,
               LiveInstances& live);
    ~Operations();

    void extend(Extensions extensions) { extensions_ = std::move(extensions); }

    /// Ends what a killed process left between store and machines.toml; call it once, before
    /// anything else. Returns a sentence for each thing that was mended.
    std::vector<std::string> recover();

    /// For the start of the daemon: serves every instance of the store, with or without a line in
    /// machines.toml. Returns what could not be served; the others are.
    std::vector<Error> bring_all_online();

    /// Reads secrets.toml and tells those who serve: before anything is served, since a target
    /// without its secret would be open to all. On an error the old secrets stay in force.
    Result<void> read_secrets();
    const config::Secrets& secrets() const { return secrets_.secrets(); }

    /// Takes in a machines.toml and a secrets.toml that were edited by hand (SIGHUP) and applies
    /// changed lines to the instances that exist. On an error the old state stays in force. Returns
    /// an object: changed [name], without_instance [name] (lines whose instance was never cloned).
    Result<nlohmann::json> reload();

    /// What apply() would do: create [{name, template, mac (null), size_bytes}], change [{name,
    /// from, to}], unlisted [name] (instances whose line is gone), notes [sentence].
    Result<nlohmann::json> plan(const nlohmann::json& arguments);
    /// reload(), and makes the instances of lines that have none. Everything is looked at before
    /// the first change. Returns created [name], changed [name], failed [{name, why}].
    Result<nlohmann::json> apply(const nlohmann::json& arguments);

    /// One command by its name on the wire: "plan", "apply", "adopt", "clone", "ls", "show",
    /// "rm", "rename", "reset", "set", "template ls", "template show", "template rm", "template
    /// tag", "template note", "snapshot", "snapshot ls", "snapshot rm", "snapshot restore",
    /// "resize", "commit", "du", "diff", "receive", "rebase", "flatten", "status". With dry_run a
    /// command that destroys says what would happen, or why not. Arguments are an object of strings
    /// and numbers; usage for an unknown command or argument.
    Result<nlohmann::json> run(std::string_view command, const nlohmann::json& arguments);

    /// not_found when there is no such instance.
    Result<ExportJob> begin_export(std::string_view name);

    /// "rebase" with keep: takes the instance offline. Errors as of rebase.
    Result<RebaseJob> begin_rebase(const nlohmann::json& arguments);

    /// usage for wrong arguments; see CheckJob.
    Result<CheckJob> begin_check(const nlohmann::json& arguments);

    const config::Machines& machines() const { return machines_.machines(); }
    const config::Config& config() const { return config_; }

private:
    struct Busy;
    struct CommandRow;
    static const CommandRow command_rows[];

    Result<nlohmann::json> clone(const nlohmann::json& arguments);
    Result<nlohmann::json> list(const nlohmann::json& arguments);
    Result<nlohmann::json> show(const nlohmann::json& arguments);
    Result<nlohmann::json> remove(const nlohmann::json& arguments);
    Result<nlohmann::json> rename(const nlohmann::json& arguments);
    Result<nlohmann::json> reset(const nlohmann::json& arguments);
    Result<nlohmann::json> set(const nlohmann::json& arguments);
    Result<nlohmann::json> snapshot(const nlohmann::json& arguments);
    Result<nlohmann::json> snapshot_list(const nlohmann::json& arguments);
    Result<nlohmann::json> snapshot_remove(const nlohmann::json& arguments);
    Result<nlohmann::json> snapshot_restore(const nlohmann::json& arguments);
    Result<nlohmann::json> resize(const nlohmann::json& arguments);
    Result<nlohmann::json> commit(const nlohmann::json& arguments);
    Result<nlohmann::json> template_note(const nlohmann::json& arguments);
    Result<nlohmann::json> space(const nlohmann::json& arguments);
    Result<nlohmann::json> rebase(const nlohmann::json& arguments);
    Result<nlohmann::json> flatten(const nlohmann::json& arguments);
    Result<nlohmann::json> receive(const nlohmann::json& arguments);
    Result<nlohmann::json> changes(const nlohmann::json& arguments);
    Result<nlohmann::json> template_tag(const nlohmann::json& arguments);
    Result<nlohmann::json> template_list(const nlohmann::json& arguments);
    Result<nlohmann::json> template_show(const nlohmann::json& arguments);
    Result<nlohmann::json> template_remove(const nlohmann::json& arguments);
    Result<nlohmann::json> status(const nlohmann::json& arguments);
    Result<nlohmann::json> adopt(const nlohmann::json& arguments);
    nlohmann::json describe_one(const store::TemplateInfo& info) const;

    /// Of a template where one fits the name, else of an instance's snapshot.
    Result<store::InstanceInfo> clone_source(const store::CloneOptions& options);
    Result<store::InstanceInfo> make_instance(const store::CloneOptions& options,
                                              config::Machine machine);
    /// `user` absent: no authentication. For discovery sessions the name is
    /// config::discovery_entry.
    Result<nlohmann::json> authenticate(const nlohmann::json& arguments);
    nlohmann::json chap_user_of(std::string_view name) const;
    Result<void> copy_secret(std::string_view from, std::string_view to);
    Result<void> forget_secret(std::string_view name);

    nlohmann::json describe_flattening(std::string_view name) const;
    Result<void> end_rebase(const std::string& name, store::Merge* merge);
    Result<void> begin_flatten(const std::string& name);
    Result<void> go_on_flattening(const std::string& name);
    Result<void> forget_template(const std::string& name);
    Result<void> check_not_flattening(std::string_view name) const;
    /// not_found; in_use while it is being exported or flattened.
    Result<void> check_not_busy(std::string_view name) const;
    /// Keeps others from changing the instance as long as it is held.
    std::shared_ptr<void> hold(const std::string& name) const;
    /// Whether stop_for_change would be refused.
    Result<void> try_stop(std::string_view name) const;
    Result<void> stop_for_change(std::string_view name);
    Result<void> bring_online(std::string_view name);
    Result<void> put_online(const config::Machine& machine);
    /// What an instance wrote while it was not ephemeral counts when it becomes so.
    Result<void> settle_boot_phase(const config::Machine& machine, const store::InstanceInfo& info);
    /// bring_online, with an error that also says what did succeed before.
    Result<void> serve(std::string_view name, std::string_view what_was_done);
    nlohmann::json describe(const store::InstanceInfo& info) const;

    config::Config config_;
    store::Store& store_;
    config::MachinesFile machines_;
    config::SecretsFile secrets_;
    config::Machines applied_;  ///< what live_ was last told, by instance
    LiveInstances& live_;
    std::shared_ptr<Busy> busy_;
    Extensions extensions_;
};

}  // namespace cowtgt::control
