// Any CDBs with any data from two nexuses: whatever they are, the device server asks for memory
// within its limit, stays inside its buffer and the medium, and comes to an end.
//
// Input: records of 1 byte control, 16 bytes CDB, 2 bytes Data-Out length, 1 byte count of literal
// Data-Out bytes, these bytes; the rest of the Data-Out repeats the last one.

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstring>
#include <span>
#include <vector>

#include "cow-store/base/check.h"
#include "target/scsi/logical_unit.h"

namespace {

using namespace cowtgt;
using namespace cowtgt::scsi;

constexpr std::uint32_t block_size = 512;
constexpr std::uint64_t block_count = 512;
constexpr std::uint32_t transfer_length_max = 128U << 10;
constexpr std::size_t steps_max = 10'000;

// Bits of the control byte.
constexpr std::uint8_t from_second_nexus = 0x01;
constexpr std::uint8_t medium_fails = 0x02;
constexpr std::uint8_t reset_before = 0x04;
constexpr std::uint8_t reconnect_before = 0x08;

class Disk : public BlockDevice {
public:
    Geometry geometry() const override { return {block_size, 4096, BlockCount{block_count}}; }
    void submit(BlockRequest&) override { CHECK(false && "steps are run by the fuzzer"); }
    ProvisioningRun provisioning(Lba first, BlockCount wanted) const override {
        CHECK(first.value + wanted.value <= block_count && wanted.value > 0);
        const std::uint64_t run = std::min<std::uint64_t>(wanted.value, 1 + first.value % 7);
        return {BlockCount{run},
                first.value % 2 == 0 ? Provisioning::mapped : Provisioning::deallocated};
    }

    void run(const BlockStep& step, MutableBytes buffer) {
        if (step.operation == BlockOperation::flush) return;
        CHECK(step.block_count.value > 0);
        CHECK(step.first_block.value <= block_count);
        CHECK(step.block_count.value <= block_count - step.first_block.value);
        const MutableBytes blocks = MutableBytes(medium_).subspan(
            step.first_block.value * block_size, step.block_count.value * block_size);
        if (step.operation == BlockOperation::deallocate) {
            std::fill(blocks.begin(), blocks.end(), std::byte{0});
            return;
        }
        CHECK(step.buffer_offset % 4096 == 0);
        CHECK(step.buffer_offset <= buffer.size());
        CHECK(blocks.size() <= buffer.size() - step.buffer_offset);
        const MutableBytes data = buffer.subspan(step.buffer_offset, blocks.size());
        const bool reads = step.operation == BlockOperation::read;
        std::memcpy(reads ? data.data() : blocks.data(), reads ? blocks.data() : data.data(),
                    blocks.size());
    }

private:
    std::vector<std::byte> medium_ = std::vector<std::byte>(block_count * block_size);
};

class Input {
public:
    explicit Input(std::span<const std::uint8_t> bytes) : bytes_(bytes) {}
    bool empty() const { return bytes_.empty(); }
    std::uint8_t take() {
        if (bytes_.empty()) return 0;
        const std::uint8_t byte = bytes_.front();
        bytes_ = bytes_.subspan(1);
        return byte;
    }

private:
    std::span<const std::uint8_t> bytes_;
};

struct Record {
    std::uint8_t control = 0;
    std::array<std::uint8_t, 16> cdb{};
    std::vector<std::uint8_t> data_out;
};

Record take_record(Input& input) {
    Record record;
    record.control = input.take();
    for (std::uint8_t& byte : record.cdb) {
        byte = input.take();
    }
    const std::size_t high = input.take();
    record.data_out.resize(high << 8 | input.take());
    const std::size_t literal = input.take();
    std::uint8_t last = 0;
    for (std::size_t i = 0; i < record.data_out.size(); ++i) {
        if (i < literal) last = input.take();
        record.data_out[i] = last;
    }
    return record;
}

void check_done(const Done& done, const Command& command) {
    CHECK(done.status == 0x00 || done.status == 0x02 || done.status == 0x18);
    CHECK(done.sense_length <= done.sense.size());
    CHECK((done.sense_length > 0) == (done.status == 0x02));
    CHECK(done.data_in_offset <= command.buffer.size());
    CHECK(done.data_in_length <= command.buffer.size() - done.data_in_offset);
    CHECK(done.data_in_total >= done.data_in_length);
}

void run_background(LogicalUnit& unit, Disk& disk) {
    std::vector<std::byte> memory;
    for (std::size_t steps = 0; unit.has_background_work(); ++steps) {
        CHECK(steps < steps_max);
        memory.resize(LogicalUnit::background_buffer_bytes);
        disk.run(unit.next_background_step(memory), memory);
        unit.background_done({});
    }
}

void run(LogicalUnit& unit, Disk& disk, NexusId nexus, const Record& record) {
    Command command;
    command.cdb = record.cdb;
    command.nexus = nexus;
    command.expected_data_out = static_cast<std::uint32_t>(record.data_out.size());
    const Admission admission = unit.admit(command);
    if (const Done* done = std::get_if<Done>(&admission)) return check_done(*done, command);
    const Admitted admitted = std::get<Admitted>(admission);
    CHECK(admitted.buffer_bytes <= transfer_length_max);
    CHECK(admitted.data_out_bytes <= admitted.buffer_bytes);
    CHECK(admitted.data_out_bytes <= command.expected_data_out);
    // Exactly as large as asked for, so that sanitizers see a step beyond it.
    std::vector<std::byte> memory(admitted.buffer_bytes, std::byte{0xee});
    command.buffer = memory;
    std::copy_n(std::as_bytes(std::span(record.data_out)).begin(), admitted.data_out_bytes,
                memory.begin());
    command.data_out_received = admitted.data_out_bytes;
    Step step = unit.start(command);
    for (std::size_t steps = 0; !std::holds_alternative<Done>(step); ++steps) {
        CHECK(steps < steps_max);
        BlockOutcome outcome;
        if (const BlockStep* block_step = std::get_if<BlockStep>(&step)) {
            if ((record.control & medium_fails) != 0) {
                outcome.status = static_cast<BlockStatus>(1 + (record.control >> 6));
            } else {
                disk.run(*block_step, command.buffer);
            }
        }
        if (std::holds_alternative<BackgroundStep>(step)) run_background(unit, disk);
        step = unit.resume(command, outcome);
    }
    check_done(std::get<Done>(step), command);
    run_background(unit, disk);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    Input input({data, size});
    LogicalUnitConfig config;
    config.serial = "serial";
    config.removable = true;
    config.keeps_state = true;
    config.transfer_length_max = transfer_length_max;
    Disk disk;
    LogicalUnit unit(config, disk);
    const std::array<NexusInfo, 2> infos = {NexusInfo{"iqn.a,i,0x1", "iqn.t,t,0x0001", 1},
                                            NexusInfo{"iqn.b,i,0x1", "iqn.t,t,0x0001", 1}};
    std::array<NexusId, 2> nexuses = {unit.add_nexus(infos[0]), unit.add_nexus(infos[1])};
    while (!input.empty()) {
        const Record record = take_record(input);
        const std::size_t which = record.control & from_second_nexus;
        if ((record.control & reset_before) != 0) {
            unit.reset(ResetKind::logical_unit, nexuses[which]);
        }
        if ((record.control & reconnect_before) != 0) {
            unit.remove_nexus(nexuses[which]);
            nexuses[which] = unit.add_nexus(infos[which]);
        }
        run(unit, disk, nexuses[which], record);
        CHECK(LogicalUnit::is_kept_state(unit.state_to_keep()));
    }
    return 0;
}
