#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "target/scsi/logical_unit.h"

namespace cowtgt::scsi::test {

using Octets = std::vector<std::uint8_t>;

/// "28 00 0000 0001" as bytes; spaces are for people.
Octets hex(std::string_view text);
/// Bytes as "28 00 00", for exact comparisons that can be read when they fail.
std::string to_hex(const Octets& bytes);
Octets repeat(std::uint8_t value, std::size_t count);

/// A disk in memory that remembers what was asked of it and can be told to fail.
class MemoryDevice : public BlockDevice {
public:
    explicit MemoryDevice(Geometry geometry);

    Geometry geometry() const override { return geometry_; }
    void submit(BlockRequest& request) override;
    ProvisioningRun provisioning(Lba first, BlockCount wanted) const override;
    std::optional<std::uint64_t> allocated_bytes() const override { return allocated; }

    std::optional<std::uint64_t> allocated;  ///< what it says that it has taken
    /// Runs what was submitted and answers it.
    void answer();
    Octets content(std::uint64_t first_block, std::uint64_t block_count) const;
    void fill(std::uint64_t first_block, std::uint64_t block_count, std::uint8_t value);
    void grow(std::uint64_t block_count);

    /// What the operation with this number answers instead of being done; the first one is 0.
    std::optional<std::size_t> fail_at;
    BlockStatus fail_with = BlockStatus::io_error;

private:
    void run(const BlockRequest& request);

    Geometry geometry_;
    std::map<std::uint64_t, Octets> blocks_;  ///< those that are mapped
    BlockRequest* pending_ = nullptr;
    std::size_t operations_ = 0;
};

/// How a command ended, and by which steps.
struct Answer {
    std::uint8_t status = 0xff;
    std::string sense;  ///< hexadecimal
    Octets data;
    std::uint64_t data_in_total = 0;
    std::uint64_t data_out_total = 0;
    std::uint32_t data_out_wanted = 0;
    std::vector<BlockStep> steps;
    std::vector<ExclusiveStep> claims;
    std::string kept;                ///< what was to be stored, if a step said so
    std::vector<NexusId> preempted;  ///< whose tasks were to be ended

    bool good() const { return status == 0; }
};

LogicalUnitConfig test_config();
/// 8192 blocks of 512 bytes on 4096-byte sectors.
Geometry test_geometry();

/// A logical unit with one nexus whose first unit attention has been taken, and its executor.
class Driver {
public:
    explicit Driver(LogicalUnitConfig config = test_config(), Geometry geometry = test_geometry());

    /// Runs a command to its end. Data-Out is sent whole unless `expected` says otherwise.
    Answer send(const Octets& cdb, const Octets& data_out = {});
    Answer send_from(NexusId nexus, const Octets& cdb, const Octets& data_out = {});
    Answer send_hex(std::string_view cdb) { return send(hex(cdb)); }
    /// Another nexus, without pending unit attention.
    NexusId add_nexus(const std::string& initiator_port);
    NexusId first_nexus() const { return nexus_; }
    /// Runs the unit's background work to its end, or at most `steps`; returns what was done.
    std::vector<BlockStep> run_background(std::size_t steps = ~std::size_t{0});
    /// What storing the unit's state comes to.
    BlockStatus keeping = BlockStatus::good;

    MemoryDevice device;
    LogicalUnit unit;

private:
    Answer run(Command& command, const Octets& data_out);
    BlockOutcome run_step(const BlockStep& step, MutableBytes buffer);

    NexusId nexus_;
};

// CDBs, with the flags byte (byte 1) as given.
Octets cdb_10(std::uint8_t operation_code, std::uint32_t lba, std::uint16_t blocks,
              std::uint8_t flags = 0);
Octets cdb_12(std::uint8_t operation_code, std::uint32_t lba, std::uint32_t blocks,
              std::uint8_t flags = 0);
Octets cdb_16(std::uint8_t operation_code, std::uint64_t lba, std::uint32_t blocks,
              std::uint8_t flags = 0);
/// The CDB of this operation code's own format.
Octets block_cdb(std::uint8_t operation_code, std::uint64_t lba, std::uint32_t blocks,
                 std::uint8_t flags = 0);

// Fixed format sense data, spelled out.
inline constexpr std::string_view lba_out_of_range =
    "70 00 05 00 00 00 00 0a 00 00 00 00 21 00 00 00 00 00";
inline constexpr std::string_view invalid_operation_code =
    "70 00 05 00 00 00 00 0a 00 00 00 00 20 00 00 00 00 00";
inline constexpr std::string_view information_unit_error =
    "70 00 05 00 00 00 00 0a 00 00 00 00 0e 03 00 00 00 00";
inline constexpr std::string_view parameter_list_length_error =
    "70 00 05 00 00 00 00 0a 00 00 00 00 1a 00 00 00 00 00";
/// INVALID FIELD IN CDB that points to a byte, and to a bit of it unless that is negative.
std::string invalid_field(unsigned byte, int bit = -1);
/// The same for the parameter list.
std::string invalid_parameter(unsigned byte, int bit = -1);

}  // namespace cowtgt::scsi::test
