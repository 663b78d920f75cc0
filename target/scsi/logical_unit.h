#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "cow-store/base/bytes.h"
#include "cow-store/block/block_device.h"
#include "target/scsi/space_level.h"

/// SAM-5, SPC-4 and SBC-3 without I/O: a CDB comes in, block operations come out, then status,
/// sense and data. No PDU, socket, file, clock or thread.
namespace cowtgt::scsi {

/// What a logical unit is to its users; set by the operator.
struct LogicalUnitConfig {
    Geometry geometry;
    std::string vendor = "COWTGT";
    std::string product = "COW VOLUME";
    std::string revision = "0001";
    std::string serial;                  ///< unit serial number, VPD 80h
    std::array<std::uint8_t, 16> naa{};  ///< NAA 6h designator, VPD 83h
    std::string target_port_name;        ///< "iqn...,t,0x0001", VPD 83h type 8
    bool read_only = false;
    bool removable = false;
    bool write_cache = true;                       ///< WCE when it starts
    bool thin = true;                              ///< LBPME
    std::uint32_t physical_block_size = 0;         ///< bytes; 0: as the device has it
    std::uint32_t transfer_length_max = 8U << 20;  ///< bytes per command (VPD B0h)
    /// Whether the executor runs KeepStep; without it nothing survives a restart (PTPL_C = 0).
    bool keeps_state = false;
    std::string kept_state;  ///< what LogicalUnit::state_to_keep said last, before a restart
};

/// One I_T nexus as the device server sees it. Persistent reservations name it by its ports.
struct NexusInfo {
    std::string initiator_port_name;  ///< "iqn...,i,0x...": iSCSI name and ISID
    std::string target_port_name;
    std::uint16_t relative_target_port = 1;
};
/// Given by LogicalUnit::add_nexus; stays valid until remove_nexus.
using NexusId = std::uint32_t;

inline constexpr std::size_t sense_bytes_max = 64;

/// One command between admit and Done. The executor owns it and keeps it until then.
struct Command {
    // From the transport:
    std::array<std::uint8_t, 16> cdb{};
    NexusId nexus = 0;
    std::uint8_t attribute = 1;
    std::uint32_t expected_data_out = 0;  ///< bytes the initiator says it sends

    // Between executor and device server:
    /// The command's memory: at least `buffer_bytes` of admit, aligned to 4096. Data-Out is
    /// received into its beginning before start().
    MutableBytes buffer;
    std::uint32_t data_out_received = 0;  ///< bytes in buffer when start() is called

    // The device server's own, between steps:
    const struct CommandRow* row = nullptr;
    std::array<std::uint64_t, 8> scratch{};
};

/// What the executor must provide before start().
struct Admitted {
    std::uint32_t buffer_bytes = 0;    ///< <= transfer_length_max; 0 for none
    std::uint32_t data_out_bytes = 0;  ///< Data-Out the command wants, <= buffer_bytes
};
/// Run this on the medium, then call resume with its outcome. The data lies at buffer_offset in
/// the command's buffer (4096-aligned for reads and writes).
struct BlockStep {
    BlockOperation operation = BlockOperation::read;
    bool force_unit_access = false;
    Lba first_block;
    BlockCount block_count;
    std::uint32_t buffer_offset = 0;
    bool is_answer = false;  ///< read: its data are the Data-In, and nobody looks at them before
};
/// Before the next step nobody else may write these blocks, and writes in flight to them have
/// ended; held until Done (COMPARE AND WRITE, ORWRITE, WRITE ATOMIC). resume() is called with a
/// good outcome once that holds.
struct ExclusiveStep {
    Lba first_block;
    BlockCount block_count;
};
/// What survives a restart has changed: store LogicalUnit::state_to_keep, then call resume with a
/// good outcome, or with io_error if that failed. Only if the configuration says keeps_state.
struct KeepStep {};
/// Tasks of the nexuses of LogicalUnit::take_preempted must end before resume is called (PREEMPT
/// AND ABORT).
struct AbortStep {};
/// Call resume when the unit's background work has ended, with the outcome of the whole.
struct BackgroundStep {};
/// The end. Sense data and Data-In are copied or sent by the executor; Data-In lies at the
/// beginning of the buffer unless said.
struct Done {
    std::uint8_t status = 0;  ///< SAM-5 status code
    std::array<std::uint8_t, sense_bytes_max> sense{};
    std::uint8_t sense_length = 0;
    std::uint32_t data_in_offset = 0;
    std::uint32_t data_in_length = 0;  ///< bytes to send
    /// What the command would move if the initiator had room for all of it, for residual counts.
    std::uint64_t data_in_total = 0;
    std::uint64_t data_out_total = 0;
};
using Step = std::variant<BlockStep, ExclusiveStep, KeepStep, AbortStep, BackgroundStep, Done>;
using Admission = std::variant<Admitted, Done>;

enum class ResetKind : std::uint8_t { logical_unit, target_warm, target_cold };

/// The device server of one disk and what it remembers about its nexuses: unit attentions,
/// reservations, mode pages.
/// Threads: one; it belongs to the ring that owns its target.
class LogicalUnit {
public:
    LogicalUnit(LogicalUnitConfig config, const BlockDevice& device);
    ~LogicalUnit();
    LogicalUnit(const LogicalUnit&) = delete;
    LogicalUnit& operator=(const LogicalUnit&) = delete;

    /// A new nexus starts with POWER ON, RESET, OR BUS DEVICE RESET OCCURRED (29h/00h).
    NexusId add_nexus(const NexusInfo& info);
    /// I_T nexus loss: reservations that end with it end. Commands of the nexus may still be
    /// resumed, but no more admitted or started.
    void remove_nexus(NexusId nexus);

    /// Decodes and judges the CDB: unknown, reserved bits, unit attention, reservation, range.
    Admission admit(Command& command);
    Step start(Command& command);
    Step resume(Command& command, const BlockOutcome& outcome);

    /// LUN RESET and target resets; the executor has aborted the tasks. `issuer` gets the unit
    /// attention too, as SAM-5 demands.
    void reset(ResetKind kind, std::optional<NexusId> issuer);
    /// Tasks of other nexuses were cleared (CLEAR TASK SET): 2Fh/00h for them.
    void commands_cleared(NexusId by);
    void capacity_changed();  ///< the device's geometry grew: 2Ah/09h on every nexus
    void luns_changed();      ///< the target has other LUNs now: 3Fh/0Eh on every nexus
    /// Takes over what an operator may change while the unit is in use: read_only, removable,
    /// write_cache and physical_block_size; with the unit attentions that belong to it.
    void reconfigure(const LogicalUnitConfig& config);
    bool write_cache_enabled() const;
    /// What is left to the unit, as often as it changes: of the store's file system, and of its own
    /// quota if it has one. When either becomes low every nexus gets 38h/07h. Returns whether that
    /// was the quota.
    bool see_space(const SpaceLeft& pool, const std::optional<SpaceLeft>& quota);

    // Work that no command waits for: SANITIZE, and making durable what a cache held that was
    // switched off. The executor runs one step at a time, whenever the medium has room for it.
    static constexpr std::uint32_t background_buffer_bytes = 512U << 10;
    bool has_background_work() const;
    /// The next step; its data lies at the beginning of `buffer`, which keeps its content until
    /// background_done. Requires: has_background_work(), background_buffer_bytes of memory.
    BlockStep next_background_step(MutableBytes buffer);
    void background_done(const BlockOutcome& outcome);
    /// How the last background work ended.
    BlockOutcome background_outcome() const;

    /// Registrations, reservation and an unfinished SANITIZE, as lines of text.
    std::string state_to_keep() const;
    /// True if such a text can be understood; what cannot is taken for nothing.
    static bool is_kept_state(std::string_view text);
    /// Whether state_to_keep has changed without a KeepStep since the last call.
    bool take_state_changed();
    /// The nexuses that an AbortStep is about.
    std::vector<NexusId> take_preempted();

private:
    struct State;
    std::unique_ptr<State> state_;
};

/// Answers a command to a LUN that does not exist (INQUIRY with peripheral qualifier 3, REPORT
/// LUNS, REQUEST SENSE; otherwise LOGICAL UNIT NOT SUPPORTED 25h/00h). `buffer` has 4096 bytes.
Done answer_without_logical_unit(const std::array<std::uint8_t, 16>& cdb, MutableBytes buffer);

}  // namespace cowtgt::scsi
