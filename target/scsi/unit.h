#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <vector>

#include "target/scsi/data_in.h"
#include "target/scsi/logical_unit.h"
#include "target/scsi/reservations.h"
#include "target/scsi/sense.h"

/// What the commands of one logical unit share. Internal to target/scsi.
namespace cowtgt::scsi {

/// In the order in which they are reported (SAM-5 section 5.14): resets first.
enum class UnitAttention : std::uint8_t {
    power_on_or_reset,
    bus_reset,
    device_reset,
    medium_may_have_changed,
    mode_parameters_changed,
    reservations_preempted,
    reservations_released,
    registrations_preempted,
    capacity_changed,
    commands_cleared,
    inquiry_data_changed,
    reported_luns_changed,
    soft_threshold_reached,
};
inline constexpr std::array<SenseCode, 13> unit_attention_codes = {{
    {SenseKey::unit_attention, 0x29, 0x00},
    {SenseKey::unit_attention, 0x29, 0x02},
    {SenseKey::unit_attention, 0x29, 0x03},
    {SenseKey::unit_attention, 0x28, 0x00},
    {SenseKey::unit_attention, 0x2a, 0x01},
    {SenseKey::unit_attention, 0x2a, 0x03},
    {SenseKey::unit_attention, 0x2a, 0x04},
    {SenseKey::unit_attention, 0x2a, 0x05},
    {SenseKey::unit_attention, 0x2a, 0x09},
    {SenseKey::unit_attention, 0x2f, 0x00},
    {SenseKey::unit_attention, 0x3f, 0x03},
    {SenseKey::unit_attention, 0x3f, 0x0e},
    {SenseKey::unit_attention, 0x38, 0x07},  // THIN PROVISIONING SOFT THRESHOLD REACHED
}};

/// What is remembered about one I_T nexus while it exists.
struct Nexus {
    NexusInfo info;
    bool present = false;
    bool prevents_removal = false;
    std::uint32_t attentions = 0;  ///< one bit per UnitAttention

    NexusName name() const { return {info.initiator_port_name, info.target_port_name}; }
    void raise(UnitAttention attention) { attentions |= 1U << static_cast<unsigned>(attention); }
    /// Takes the first pending unit attention away.
    std::optional<SenseCode> take_attention();
};

/// The changeable mode parameters (SPC-4 and SBC-3 mode pages 08h and 0Ah).
struct ModeParameters {
    bool write_cache = true;              ///< WCE
    bool descriptor_sense = false;        ///< D_SENSE
    bool software_write_protect = false;  ///< SWP
    friend bool operator==(const ModeParameters&, const ModeParameters&) = default;
};

/// SANITIZE (SBC-3 section 4.11), while it runs and after it failed.
struct Sanitizing {
    enum class State : std::uint8_t { idle, running, failed } state = State::idle;
    enum class Method : std::uint8_t { overwrite, erase } method = Method::overwrite;
    bool unrestricted_exit = false;  ///< AUSE: EXIT FAILURE MODE may end the failed state
    bool inverts = false;            ///< the pattern is inverted from pass to pass
    bool deallocates = false;        ///< erase: this step gives the written blocks back
    std::vector<std::byte> pattern;  ///< repeated from the beginning of each block
    std::uint32_t pass = 0;          ///< of `passes`
    std::uint32_t passes = 1;        ///< overwrite
    std::uint64_t position = 0;      ///< blocks done in this pass
    std::uint64_t step_blocks = 0;   ///< of the step under way
};

/// What became of an EXTENDED COPY, for RECEIVE COPY RESULTS.
struct CopyResult {
    NexusId nexus = 0;
    std::uint8_t list_identifier = 0;
    bool failed = false;
    std::uint16_t segments = 0;  ///< processed
    std::uint64_t bytes = 0;     ///< transferred
};

struct Unit {
    Unit(LogicalUnitConfig unit_config, const BlockDevice& unit_device);

    LogicalUnitConfig config;
    const BlockDevice& device;
    std::vector<Nexus> nexuses;  ///< by NexusId; places of removed ones are used again
    ModeParameters mode;
    bool medium_loaded = true;           ///< false only after an eject of a removable medium
    std::optional<NexusId> reserved_by;  ///< RESERVE(6)
    Reservations reservations;
    bool activates_persistence = false;  ///< APTPL: the reservations are kept
    std::vector<NexusId> preempted;      ///< for the next AbortStep
    Sanitizing sanitizing;
    std::vector<CopyResult> copies;  ///< the newest last
    bool flush_wanted = false;       ///< in the background
    std::optional<SpaceLeft> space;  ///< that which ends first; nothing: not known yet
    SpaceLevel pool_level, quota_level;
    bool state_changed = false;  ///< what is kept, without a KeepStep
    BlockOutcome background_outcome;

    /// The device's, with the physical block that the operator wants to show.
    Geometry geometry() const;
    Nexus& nexus(const Command& command);
    bool write_protected() const { return config.read_only || mode.software_write_protect; }
    SenseFormat sense_format() const {
        return mode.descriptor_sense ? SenseFormat::descriptor : SenseFormat::fixed;
    }
    bool removal_prevented() const;
    void raise_on_all(UnitAttention attention);
    void raise_on_others(NexusId by, UnitAttention attention);
    void raise_by_name(const NexusName& name, UnitAttention attention);
};

// How commands end.

Done good();
/// Data-In at the front of the buffer, cut to the allocation length.
Done data_in(const DataIn& data, std::uint64_t allocation_length);
Done fail(const Unit& unit, const SenseCode& code);
Done invalid_field(const Unit& unit, std::uint16_t byte, std::optional<std::uint8_t> bit = {});
Done invalid_parameter(const Unit& unit, std::uint16_t byte, std::optional<std::uint8_t> bit = {});
Done reservation_conflict();
/// The medium said no: BlockStatus -> sense, in one table. `first_block` goes into INFORMATION.
Done medium_failure(const Unit& unit, const BlockOutcome& outcome, BlockOperation operation,
                    Lba first_block);

// Fields of a CDB.

template <std::size_t Width>
std::uint64_t cdb_field(const Command& command, std::size_t at) {
    std::uint64_t value = 0;
    for (std::size_t i = 0; i < Width; ++i) {
        value = value << 8 | command.cdb[at + i];
    }
    return value;
}

/// Memory that commands with small parameter data ask for: bytes.
inline constexpr std::uint32_t parameter_buffer_bytes = 4096;

/// Requests no Data-Out and parameter_buffer_bytes of memory.
Admission admit_data_in(Unit& unit, Command& command);
/// Requests nothing.
Admission admit_plain(Unit& unit, Command& command);
/// For commands that end in start().
Step never_resumed(Unit& unit, Command& command, const BlockOutcome& outcome);

}  // namespace cowtgt::scsi
