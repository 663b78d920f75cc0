#pragma once

#include "target/node/target.h"

/// What target.cc, task_set.cc, task_management.cc and background.cc share. Nobody else includes
/// it.
namespace cowtgt::node {

/// LUN 0 in peripheral device or flat space addressing (SAM-5 section 4.7).
inline bool is_lun_0(std::uint64_t lun) {
    return lun == 0 || lun == 0x4000'0000'0000'0000;
}

/// Task attributes, RFC 7143 section 11.3.1.
inline constexpr std::uint8_t ordered = 2;
inline constexpr std::uint8_t head_of_queue = 3;
/// Whether tasks of this attribute make others wait.
inline bool orders(std::uint8_t attribute) {
    return attribute == ordered || attribute == head_of_queue;
}

struct Target::Session {
    iscsi::Connection* connection = nullptr;  ///< null once detached
    Waker waker;
    iscsi::LoginRequestInfo info;
    std::uint16_t tsih = 0;
    scsi::NexusId nexus = 0;
    Origin origin;
    std::uint64_t commands = 0;
    std::size_t executions = 0;
    bool logout_wanted = false;
};

/// One command on its way. It lives from command_received until the connection has let go of the
/// task and the device of the request, whichever is later.
struct Target::Execution {
    enum class Stage : std::uint8_t {
        free,
        wants_memory,
        receiving,  ///< Data-Out
        dormant,    ///< older tasks must end first (SAM-5 section 8.8)
        blocked,    ///< somebody holds an exclusive range
        in_device,
        keeping,   ///< what survives a restart is being stored
        aborting,  ///< the tasks that it preempted are ending
        waiting,   ///< for the unit's background work
        running,   ///< between the device and the next step
        answered,
    };

    Target* target = nullptr;
    Session* session = nullptr;
    iscsi::ScsiTask* task = nullptr;  ///< null once the connection has let go of it
    Stage stage = Stage::free;
    bool aborted = false;
    std::uint64_t sequence = 0;  ///< in order of arrival
    bool in_task_set = false;    ///< until it has ended for the sake of ordering
    scsi::Command command;
    scsi::Admitted admitted;
    MutableBytes buffer;
    BlockRequest request;
    BufferPool::Waiter waiter;
    bool wants_exclusive = false;
    bool holds_exclusive = false;
    scsi::ExclusiveStep exclusive;
};

/// A task management function, or a PREEMPT AND ABORT, that waits for the tasks it ends.
struct Target::PendingFunction {
    Session* session = nullptr;
    iscsi::TaskManagementRequest request;
    Execution* command = nullptr;  ///< PREEMPT AND ABORT; then there is no request
    std::vector<Execution*> waits_for;
};

/// The unit's own work: one request at a time, so that it never crowds out what initiators want.
struct Target::Background {
    BlockRequest request;
    MutableBytes buffer;
    BufferPool::Waiter waiter;
    std::uint64_t budget = background_bytes_per_second;  ///< left of this second
    bool in_device = false;
    bool waits_for_memory = false;
    bool stopped = false;
};

struct Target::Drain {
    std::string initiator_name;
    iscsi::Isid isid{};
    std::function<void()> drained;
};

}  // namespace cowtgt::node
