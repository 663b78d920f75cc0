#pragma once

#include <string>

#include "target/config/machine.h"
#include "target/node/target.h"

namespace cowtgt::fleet {

/// Is told of what happens to the instances that are served.
///
/// Threads: the control thread; a session may have ended again when its beginning is told.
class Observer {
public:
    virtual ~Observer() = default;
    /// It is served from now on, or by another line of machines.toml, or with another disk.
    virtual void instance_served(const std::string& instance, const config::Machine& machine) = 0;
    virtual void instance_gone(const std::string& instance) = 0;
    virtual void session_began(const std::string& instance, const node::SessionFacts& session) = 0;
    virtual void session_ended(const std::string& instance, const node::SessionFacts& session) = 0;
    /// A machine was kept out: another one, at the address `holder`, has its initiator name.
    virtual void name_is_shared(const std::string& instance, const node::SessionFacts& kept_out,
                                const std::string& holder) = 0;
};

}  // namespace cowtgt::fleet
