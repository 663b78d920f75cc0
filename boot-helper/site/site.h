#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "boot-helper/capture/boot_record.h"
#include "boot-helper/core/documents.h"
#include "boot-helper/core/fleet.h"
#include "boot-helper/stages/stages.h"
#include "cow-store/store/store.h"
#include "target/config/config.h"
#include "target/config/machines_file.h"
#include "target/fleet/observer.h"

namespace cowtgt::boot {

/// "2026-11-23T10:02:11Z" of milliseconds since 1970.
std::string rfc3339(std::int64_t time_ms);

/// The Fleet of a running site: joins the store, the lines of machines.toml, what is asked for over
/// HTTP and who logs in. What changed is read again when the fleet is next asked for.
///
/// Threads: the control thread. Ownership: keeps references to `config` and `store`.
class Site final : public BootEvents, public fleet::Observer {
public:
    struct Options {
        std::string version;                   ///< of the program
        std::function<std::int64_t()> now_ms;  ///< since 1970
        /// A machine asked for its boot script; empty: nobody wants to know.
        std::function<void(const std::string& machine)> script_asked;
        /// The lines of all instances, for a site that nobody tells of them: asked once, when the
        /// fleet is first wanted. Empty: instance_served() tells.
        std::function<config::Machines()> lines;
    };
    Site(const config::Config& config, const store::Store& store, Options options);
    ~Site() override;

    /// As it is now. Whoever gets it may keep it: it does not change any more.
    std::shared_ptr<const Fleet> fleet();
    /// {"stage": "initrd", "since": "...", "stuck": false, "text": "initrd for 8 s",
    ///  "refused": null, or the sentence that its boot script shows instead}
    nlohmann::json describe_stage(std::string_view machine);

    /// Every few seconds: machines that became stuck go to the log and to the problems, and a part
    /// of what changed is read.
    void tick();
    /// What a template boots with was taken, or changed.
    void template_changed(std::string_view ref);
    /// Template versions in use of which nothing was taken yet, each named once.
    std::vector<store::TemplateRef> take_uncaptured();
    /// A sentence that is shown with the others in /v1/status: what is wrong, and what to do.
    void report_problem(std::string sentence);

    void boot_event(const BootEvent& event) override;
    void instance_served(const std::string& instance, const config::Machine& machine) override;
    void space_seen(const fleet::SpaceSeen& space) override;
    void instance_gone(const std::string& instance) override;
    void secrets_changed(const config::Secrets& secrets) override;
    void session_began(const std::string& instance, const node::SessionFacts& session) override;
    void session_ended(const std::string& instance, const node::SessionFacts& session) override;
    void name_is_shared(const std::string& instance, const node::SessionFacts& kept_out,
                        const std::string& holder) override;

private:
    struct Known;

    Fleet& writable();
    void refresh_some(std::size_t count);
    void refresh(const std::string& name);
    Machine describe(const std::string& name, const Known& known);
    void take_record(const store::InstanceInfo& info, Machine& machine);
    const std::optional<BootRecord>& record_of(const store::InstanceInfo& info);
    void see(const std::string& name, Sighting sighting);
    void set_stage(const std::string& name);
    /// Why the machine gets no boot script, though it has a MAC; empty: nothing is known.
    std::string refusal_of(std::string_view name);

    const config::Config& config_;
    const store::Store& store_;
    Options options_;
    std::shared_ptr<Fleet> fleet_;
    std::map<std::string, Known, std::less<>> known_;
    std::map<std::string, Chap, std::less<>> chap_;                          ///< by instance
    std::set<std::string, std::less<>> changed_;                             ///< to be read again
    std::map<std::string, std::optional<BootRecord>, std::less<>> records_;  ///< by template ref
    std::vector<store::TemplateRef> uncaptured_;
    StageTracker stages_;
    UnknownMachines unknown_;
};

}  // namespace cowtgt::boot
