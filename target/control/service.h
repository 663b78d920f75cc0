#pragma once

#include <memory>

#include "target/control/control_server.h"
#include "target/control/operations.h"

namespace cowtgt::control {

/// Joins the admin socket to the operations: short commands run at once on the control thread,
/// exports each on a thread of their own.
///
/// Threads: made and destroyed on the control thread. The destructor ends running exports and
/// waits for them; the operations and the LiveInstances must still be there then.
class ControlService {
public:
    explicit ControlService(Operations& operations);
    ~ControlService();
    ControlService(const ControlService&) = delete;
    ControlService& operator=(const ControlService&) = delete;

    /// For ControlServer::open; must not be used after this object is gone.
    ControlHandler handler();

private:
    struct State;
    std::unique_ptr<State> state_;
};

}  // namespace cowtgt::control
