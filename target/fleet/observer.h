#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "target/config/machine.h"
#include "target/config/secrets_file.h"
#include "target/node/target.h"

namespace cowtgt::fleet {

/// How much space is left, and who has taken what of a quota. Only of instances that are open.
struct SpaceSeen {
    struct Quota {
        std::string instance;
        std::uint64_t quota_bytes = 0;
        std::uint64_t used_bytes = 0;
    };
    std::uint64_t free_bytes = 0;       ///< of the store's file system
    std::uint64_t total_bytes = 0;      ///< of it
    std::uint64_t low_water_bytes = 0;  ///< 0: it is never low
    bool is_low = false;
    std::vector<Quota> quotas;
};

/// Is told of what happens to the instances that are served.
///
/// Threads: the control thread; a session may have ended again when its beginning is told.
class Observer {
public:
    virtual ~Observer() = default;
    /// It is served from now on, or by another line of machines.toml, or with another disk.
    virtual void instance_served(const std::string& instance, const config::Machine& machine) = 0;
    /// Every few seconds.
    virtual void space_seen(const SpaceSeen& space) = 0;
    virtual void instance_gone(const std::string& instance) = 0;
    /// Who has to authenticate, from now on; those that are not there need not.
    virtual void secrets_changed(const config::Secrets& secrets) = 0;
    virtual void session_began(const std::string& instance, const node::SessionFacts& session) = 0;
    virtual void session_ended(const std::string& instance, const node::SessionFacts& session) = 0;
    /// A machine was kept out: another one, at the address `holder`, has its initiator name.
    virtual void name_is_shared(const std::string& instance, const node::SessionFacts& kept_out,
                                const std::string& holder) = 0;
};

}  // namespace cowtgt::fleet
