#include "tests/unit/scsi/scsi_driver.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <memory>

namespace cowtgt::scsi::test {
namespace {

constexpr std::size_t memory_alignment = 4096;
constexpr std::uint8_t garbage = 0xee;

struct FreeMemory {
    void operator()(void* memory) const { std::free(memory); }
};

void put_big_endian(Octets& out, std::uint64_t value, std::size_t width) {
    for (std::size_t i = width; i > 0; --i) {
        out.push_back(static_cast<std::uint8_t>(value >> (8 * (i - 1))));
    }
}

std::string sense_with_field(unsigned asc, unsigned flags, unsigned byte, int bit) {
    std::array<char, 64> text{};
    if (bit >= 0) flags |= 0x08U | static_cast<unsigned>(bit);
    std::snprintf(text.data(), text.size(),
                  "70 00 05 00 00 00 00 0a 00 00 00 00 %02x 00 00 %02x %02x %02x", asc, flags,
                  byte >> 8, byte & 0xffU);
    return text.data();
}

struct Waiting {
    bool answered = false;
    BlockOutcome outcome;
};

}  // namespace

Octets hex(std::string_view text) {
    Octets bytes;
    unsigned value = 0;
    bool half = false;
    for (char c : text) {
        if (c == ' ') continue;
        const unsigned digit = static_cast<unsigned>(c <= '9' ? c - '0' : c - 'a' + 10);
        value = value << 4 | digit;
        if (half) bytes.push_back(static_cast<std::uint8_t>(value));
        half = !half;
    }
    return bytes;
}

std::string to_hex(const Octets& bytes) {
    std::string text;
    for (std::uint8_t byte : bytes) {
        std::array<char, 4> two{};
        std::snprintf(two.data(), two.size(), "%02x", byte);
        if (!text.empty()) text += ' ';
        text += two.data();
    }
    return text;
}

Octets repeat(std::uint8_t value, std::size_t count) {
    return Octets(count, value);
}

MemoryDevice::MemoryDevice(Geometry geometry) : geometry_(geometry) {}

void MemoryDevice::submit(BlockRequest& request) {
    ASSERT_EQ(pending_, nullptr);
    ASSERT_LE(request.first_block.value, geometry_.block_count.value);
    ASSERT_LE(request.block_count.value, geometry_.block_count.value - request.first_block.value);
    pending_ = &request;
}

void MemoryDevice::run(const BlockRequest& request) {
    const std::uint64_t first = request.first_block.value;
    const std::uint64_t end = first + request.block_count.value;
    auto* bytes = reinterpret_cast<std::uint8_t*>(request.data.data());
    switch (request.operation) {
        case BlockOperation::read: {
            const Octets read = content(first, request.block_count.value);
            std::copy(read.begin(), read.end(), bytes);
            break;
        }
        case BlockOperation::write:
            for (std::uint64_t block = first; block < end; ++block) {
                blocks_[block] = Octets(bytes, bytes + geometry_.block_size);
                bytes += geometry_.block_size;
            }
            break;
        case BlockOperation::deallocate:
            blocks_.erase(blocks_.lower_bound(first), blocks_.lower_bound(end));
            break;
        case BlockOperation::flush:
            break;
    }
}

void MemoryDevice::answer() {
    BlockRequest& request = *std::exchange(pending_, nullptr);
    if (fail_at == operations_++) {
        request.done(request, {fail_with, 0});
        return;
    }
    run(request);
    request.done(request, {});
}

ProvisioningRun MemoryDevice::provisioning(Lba first, BlockCount wanted) const {
    const bool mapped = blocks_.contains(first.value);
    std::uint64_t count = 1;
    while (count < wanted.value && blocks_.contains(first.value + count) == mapped) {
        ++count;
    }
    return {BlockCount{count}, mapped ? Provisioning::mapped : Provisioning::deallocated};
}

Octets MemoryDevice::content(std::uint64_t first_block, std::uint64_t block_count) const {
    Octets content(block_count * geometry_.block_size);
    for (std::uint64_t i = 0; i < block_count; ++i) {
        const auto block = blocks_.find(first_block + i);
        if (block == blocks_.end()) continue;
        std::copy(block->second.begin(), block->second.end(),
                  content.begin() + static_cast<std::ptrdiff_t>(i * geometry_.block_size));
    }
    return content;
}

void MemoryDevice::fill(std::uint64_t first_block, std::uint64_t block_count, std::uint8_t value) {
    for (std::uint64_t i = 0; i < block_count; ++i) {
        blocks_[first_block + i] = repeat(value, geometry_.block_size);
    }
}

void MemoryDevice::grow(std::uint64_t block_count) {
    geometry_.block_count = BlockCount{block_count};
}

LogicalUnitConfig test_config() {
    LogicalUnitConfig config;
    config.serial = "0123456789abcdef";
    for (std::size_t i = 0; i < config.naa.size(); ++i) {
        config.naa[i] = static_cast<std::uint8_t>(0x60 + i);
    }
    config.target_port_name = "iqn.2026-01.test:web01,t,0x0001";
    return config;
}

Geometry test_geometry() {
    return {512, 4096, BlockCount{8192}};
}

Driver::Driver(LogicalUnitConfig config, Geometry geometry)
    : device(geometry), unit(std::move(config), device), nexus_(add_nexus("iqn.a,i,0x1")) {}

NexusId Driver::add_nexus(const std::string& initiator_port) {
    const NexusId nexus = unit.add_nexus({initiator_port, "iqn.2026-01.test:web01,t,0x0001", 1});
    const Answer answer = send_from(nexus, hex("00 00 00 00 00 00"));
    EXPECT_EQ(answer.sense, "70 00 06 00 00 00 00 0a 00 00 00 00 29 00 00 00 00 00");
    return nexus;
}

Answer Driver::send(const Octets& cdb, const Octets& data_out) {
    return send_from(nexus_, cdb, data_out);
}

Answer Driver::send_from(NexusId nexus, const Octets& cdb, const Octets& data_out) {
    Command command;
    std::copy(cdb.begin(), cdb.end(), command.cdb.begin());
    command.nexus = nexus;
    command.expected_data_out = static_cast<std::uint32_t>(data_out.size());
    return run(command, data_out);
}

Answer Driver::run(Command& command, const Octets& data_out) {
    Answer answer;
    const auto take = [&](const Done& done) {
        answer.status = done.status;
        answer.sense = to_hex({done.sense.begin(), done.sense.begin() + done.sense_length});
        answer.data_in_total = done.data_in_total;
        answer.data_out_total = done.data_out_total;
        const auto* data =
            reinterpret_cast<const std::uint8_t*>(command.buffer.data()) + done.data_in_offset;
        answer.data.assign(data, data + done.data_in_length);
        return answer;
    };
    const Admission admission = unit.admit(command);
    if (const Done* done = std::get_if<Done>(&admission)) return take(*done);
    const Admitted admitted = std::get<Admitted>(admission);
    EXPECT_LE(admitted.data_out_bytes, admitted.buffer_bytes);
    EXPECT_LE(admitted.data_out_bytes, data_out.size());
    EXPECT_LE(admitted.buffer_bytes, test_config().transfer_length_max);
    const std::unique_ptr<void, FreeMemory> memory(std::aligned_alloc(
        memory_alignment, round_up(admitted.buffer_bytes + 1, memory_alignment)));
    command.buffer = {static_cast<std::byte*>(memory.get()), admitted.buffer_bytes};
    std::fill(command.buffer.begin(), command.buffer.end(), std::byte{garbage});
    std::transform(data_out.begin(), data_out.begin() + admitted.data_out_bytes,
                   command.buffer.begin(), [](std::uint8_t b) { return std::byte{b}; });
    command.data_out_received = admitted.data_out_bytes;
    answer.data_out_wanted = admitted.data_out_bytes;

    Step step = unit.start(command);
    while (!std::holds_alternative<Done>(step)) {
        Waiting waiting;
        if (const auto* claim = std::get_if<ExclusiveStep>(&step)) {
            answer.claims.push_back(*claim);
        } else if (std::holds_alternative<KeepStep>(step)) {
            answer.kept = unit.state_to_keep();
            waiting.outcome.status = keeping;
        } else if (std::holds_alternative<AbortStep>(step)) {
            answer.preempted = unit.take_preempted();
        } else if (std::holds_alternative<BackgroundStep>(step)) {
            answer.steps = run_background();
            waiting.outcome = unit.background_outcome();
        } else {
            const auto& block_step = std::get<BlockStep>(step);
            answer.steps.push_back(block_step);
            waiting.outcome = run_step(block_step, command.buffer);
        }
        step = unit.resume(command, waiting.outcome);
    }
    return take(std::get<Done>(step));
}

BlockOutcome Driver::run_step(const BlockStep& step, MutableBytes buffer) {
    Waiting waiting;
    BlockRequest request;
    request.operation = step.operation;
    request.force_unit_access = step.force_unit_access;
    request.first_block = step.first_block;
    request.block_count = step.block_count;
    if (step.operation == BlockOperation::read || step.operation == BlockOperation::write) {
        EXPECT_EQ(step.buffer_offset % memory_alignment, 0U);
        request.data = buffer.subspan(step.buffer_offset,
                                      step.block_count.value * device.geometry().block_size);
    }
    request.owner = &waiting;
    request.done = [](BlockRequest& done, const BlockOutcome& outcome) {
        *static_cast<Waiting*>(done.owner) = {true, outcome};
    };
    device.submit(request);
    device.answer();
    EXPECT_TRUE(waiting.answered);
    return waiting.outcome;
}

std::vector<BlockStep> Driver::run_background(std::size_t steps) {
    const std::unique_ptr<void, FreeMemory> memory(
        std::aligned_alloc(memory_alignment, LogicalUnit::background_buffer_bytes));
    const MutableBytes buffer{static_cast<std::byte*>(memory.get()),
                              LogicalUnit::background_buffer_bytes};
    std::vector<BlockStep> done;
    while (done.size() < steps && unit.has_background_work()) {
        done.push_back(unit.next_background_step(buffer));
        unit.background_done(run_step(done.back(), buffer));
    }
    return done;
}

Octets cdb_10(std::uint8_t operation_code, std::uint32_t lba, std::uint16_t blocks,
              std::uint8_t flags) {
    Octets cdb{operation_code, flags};
    put_big_endian(cdb, lba, 4);
    cdb.push_back(0);
    put_big_endian(cdb, blocks, 2);
    cdb.push_back(0);
    return cdb;
}

Octets cdb_12(std::uint8_t operation_code, std::uint32_t lba, std::uint32_t blocks,
              std::uint8_t flags) {
    Octets cdb{operation_code, flags};
    put_big_endian(cdb, lba, 4);
    put_big_endian(cdb, blocks, 4);
    cdb.resize(12);
    return cdb;
}

Octets cdb_16(std::uint8_t operation_code, std::uint64_t lba, std::uint32_t blocks,
              std::uint8_t flags) {
    Octets cdb{operation_code, flags};
    put_big_endian(cdb, lba, 8);
    put_big_endian(cdb, blocks, 4);
    cdb.resize(16);
    return cdb;
}

Octets block_cdb(std::uint8_t operation_code, std::uint64_t lba, std::uint32_t blocks,
                 std::uint8_t flags) {
    const auto short_lba = static_cast<std::uint32_t>(lba);
    switch (operation_code >> 5) {
        case 4:
            return cdb_16(operation_code, lba, blocks, flags);
        case 5:
            return cdb_12(operation_code, short_lba, blocks, flags);
        default:
            return cdb_10(operation_code, short_lba, static_cast<std::uint16_t>(blocks), flags);
    }
}

std::string invalid_field(unsigned byte, int bit) {
    return sense_with_field(0x24, 0xc0, byte, bit);
}

std::string invalid_parameter(unsigned byte, int bit) {
    return sense_with_field(0x26, 0x80, byte, bit);
}

}  // namespace cowtgt::scsi::test
