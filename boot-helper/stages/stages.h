#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "target/config/machine.h"

/// How far each machine has come between power-on and login, told from outside: by what it asks
/// for and by its logins. No agent in the guest is needed.
///
/// Pure: the time is a parameter, in milliseconds since 1970.
namespace cowtgt::boot {

enum class Stage : std::uint8_t {
    off,             ///< nothing seen, or the last session is gone
    script,          ///< asked for its boot script
    kernel,          ///< fetches the kernel
    initrd,          ///< fetches the initrd
    firmware_login,  ///< iPXE is logged in
    linux_login,     ///< an operating system is logged in
    ready,           ///< its own initiator has taken over from the initramfs: the system runs
};
std::string_view to_string(Stage stage);

/// What is seen of a machine. A boot script begins a boot; a firmware login does it too, for
/// machines that boot without HTTP.
enum class Sighting : std::uint8_t {
    script_asked,
    kernel_asked,
    initrd_asked,
    firmware_login,
    linux_login,
    linux_goes_on,  ///< a login whose commands go on counting: iscsid
    last_session_ended,
};

/// "52:54:00:12:34:01 is at the initrd since 10:02:11": a plain value for `ls`, `show` and
/// /metrics.
struct StageReport {
    Stage stage = Stage::off;
    std::int64_t since_ms = 0;       ///< when the stage was reached; 0: never
    std::int64_t boot_began_ms = 0;  ///< when the script of this boot was asked for; 0: unknown
    bool stuck = false;              ///< longer in a stage of the boot than its limit
    friend bool operator==(const StageReport&, const StageReport&) = default;
};

/// "stuck at initrd for 4 min", "initrd for 8 s".
std::string describe(const StageReport& report, std::int64_t now_ms);

/// Somebody is longer in a stage than machines are.
struct StuckEvent {
    std::string name;
    Stage stage = Stage::off;
    std::int64_t since_ms = 0;
};

/// The stages of all machines, by name.
///
/// Threads: one at a time.
class StageTracker {
public:
    /// Moves the machine by the table in stages.cc. Returns true when its stage changed.
    bool see(std::string_view name, Sighting sighting, std::int64_t now_ms);
    void forget(std::string_view name);

    StageReport report(std::string_view name, std::int64_t now_ms) const;
    /// Machines that became stuck since the last call: each is named once per boot,
    /// and once more when it got further and is stuck there.
    std::vector<StuckEvent> newly_stuck(std::int64_t now_ms);

private:
    struct Entry {
        StageReport report;
        bool told = false;  ///< that this boot is stuck, at told_stage
        Stage told_stage = Stage::off;
    };
    std::map<std::string, Entry, std::less<>> machines_;
};

/// A MAC that asked for a script and is no machine of ours.
struct UnknownMachine {
    config::MacAddress mac;
    std::string uuid;  ///< as its firmware says, "" when it does not
    std::string arch;  ///< "x86_64", "i386", ... as iPXE says
    std::string address;
    std::int64_t first_seen_ms = 0;
    std::int64_t last_seen_ms = 0;
    std::uint64_t count = 0;  ///< requests
    friend bool operator==(const UnknownMachine&, const UnknownMachine&) = default;
};

/// The unknown machines of late, bounded: the one that was silent longest makes room.
class UnknownMachines {
public:
    static constexpr std::size_t entries_max = 1024;

    struct Sight {
        config::MacAddress mac;
        std::string_view uuid;
        std::string_view arch;
        std::string_view address;
    };
    void see(const Sight& sight, std::int64_t now_ms);
    /// It was adopted.
    void forget(const config::MacAddress& mac);
    /// Latest first.
    std::vector<UnknownMachine> list() const;

private:
    std::map<config::MacAddress, UnknownMachine> machines_;
};

}  // namespace cowtgt::boot
