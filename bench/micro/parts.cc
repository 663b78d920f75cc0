// The pure parts, one by one: what a call costs without system calls, and how often it allocates.

#include <benchmark/benchmark.h>

#include <array>
#include <cstring>
#include <vector>

#include "bench/micro/allocations.h"
#include "cow-store/base/checksum.h"
#include "cow-store/map/cluster_map.h"
#include "cow-store/volume/chain_view.h"
#include "target/iscsi/numbering.h"
#include "target/iscsi/output_queue.h"
#include "target/iscsi/pdu.h"
#include "target/iscsi/pdu_reader.h"
#include "target/scsi/logical_unit.h"

namespace cowtgt::bench {
namespace {

std::vector<std::byte> some_bytes(std::size_t count) {
    std::vector<std::byte> bytes(count);
    for (std::size_t i = 0; i < count; ++i) {
        bytes[i] = static_cast<std::byte>(i * 131 >> 3);
    }
    return bytes;
}

void crc32c_of(benchmark::State& state) {
    const auto bytes = some_bytes(static_cast<std::size_t>(state.range(0)));
    const CountAllocations counting(state);
    for (auto _ : state) {
        benchmark::DoNotOptimize(crc32c(bytes));
    }
    state.SetBytesProcessed(state.iterations() * state.range(0));
}
BENCHMARK(crc32c_of)->Arg(48)->Arg(4096)->Arg(65536);

void xxh3_of(benchmark::State& state) {
    const auto bytes = some_bytes(static_cast<std::size_t>(state.range(0)));
    const CountAllocations counting(state);
    for (auto _ : state) {
        benchmark::DoNotOptimize(xxh3_64(bytes));
    }
    state.SetBytesProcessed(state.iterations() * state.range(0));
}
BENCHMARK(xxh3_of)->Arg(4096)->Arg(65536);

/// A WRITE with 4 KiB of immediate data, or without; the second argument: digests.
void read_pdu(benchmark::State& state) {
    const auto data = some_bytes(static_cast<std::size_t>(state.range(0)));
    const bool digests = state.range(1) != 0;
    iscsi::ScsiCommand pdu{};
    pdu.opcode = iscsi::opcode::scsi_command;
    pdu.data_segment_length.set(static_cast<std::uint32_t>(data.size()));
    std::vector<std::byte> wire;
    const auto append = [&wire](Bytes bytes) {
        wire.insert(wire.end(), bytes.begin(), bytes.end());
    };
    append(bytes_of_struct(pdu));
    if (digests) append(bytes_of_struct(le32(crc32c(bytes_of_struct(pdu)))));
    append(data);
    if (digests && !data.empty()) append(bytes_of_struct(le32(crc32c(data))));
    iscsi::PduReader reader;
    reader.set_digests({digests, digests});
    const CountAllocations counting(state);
    for (auto _ : state) {
        Bytes in = wire;
        while (reader.feed(in) != iscsi::PduReader::Step::end) {
        }
        benchmark::DoNotOptimize(reader.data_digest_is_right());
    }
}
BENCHMARK(read_pdu)->ArgNames({"data", "digests"})->Args({0, 0})->Args({4096, 0})->Args({4096, 1});

/// The answer to a READ of 4 KiB, from the task to the pieces of a send.
void write_pdu(benchmark::State& state) {
    const auto data = some_bytes(4096);
    iscsi::Numbering numbering(128);
    iscsi::OutputQueue queue(
        numbering, [](void*, iscsi::Task&) {}, nullptr);
    iscsi::OperationalParameters parameters;
    parameters.digests = {state.range(0) != 0, state.range(0) != 0};
    queue.set_parameters(parameters);
    iscsi::Task task;
    std::array<iscsi::OutputPiece, 8> pieces;
    const CountAllocations counting(state);
    for (auto _ : state) {
        task.data_in = data;
        task.data_in_sent = task.data_sn = 0;
        queue.push_answer(task);
        std::size_t bytes = 0;
        for (std::size_t i = 0, count = queue.gather(pieces); i < count; ++i) {
            bytes += pieces[i].size();
        }
        queue.sent(bytes);
    }
}
BENCHMARK(write_pdu)->ArgName("digests")->Arg(0)->Arg(1);

/// A map of 4 GiB: one run per leaf, every other cluster (dense leaves), or a cluster in 64 (runs).
ClusterMap make_map(std::int64_t shape) {
    ClusterMap map(1U << 20);
    UnitNumber unit = 100;
    const std::uint64_t step = shape == 0 ? 1024 : shape == 1 ? 64 : 2;
    const std::uint64_t count = shape == 0 ? 1024 : 1;
    for (std::uint64_t at = 0; at < map.cluster_count(); at += step) {
        map.assign(ClusterIndex{at}, ClusterCount{count}, unit);
        unit += static_cast<UnitNumber>(count + 1);
    }
    return map;
}

void find_in_map(benchmark::State& state) {
    const ClusterMap map = make_map(state.range(0));
    std::uint64_t at = 1;
    const CountAllocations counting(state);
    for (auto _ : state) {
        at = (at * 1664525 + 1013904223) % map.cluster_count();
        benchmark::DoNotOptimize(map.find(ClusterIndex{at}, ClusterCount{1}));
    }
}
BENCHMARK(find_in_map)->ArgName("shape")->Arg(0)->Arg(1)->Arg(2);

/// Three layers, none of which has the block.
void find_in_chain(benchmark::State& state) {
    const ClusterMap top(1U << 20);
    const ClusterMap middle = make_map(1);
    const std::uint64_t bytes = std::uint64_t{4} << 30;
    ChainView chain;
    for (const ClusterMap* map : {&top, &middle, &top}) {
        chain.levels.push_back({map, bytes});
    }
    chain.base_size = bytes;
    std::uint64_t at = 1;
    const CountAllocations counting(state);
    for (auto _ : state) {
        at = (at * 1664525 + 1013904223) % (1U << 20);
        benchmark::DoNotOptimize(chain.find(at * 4096, 4096));
    }
}
BENCHMARK(find_in_chain);

/// A write of one cluster that is new, in random order, as the map sees it; 256 MiB over and over.
void assign_in_map(benchmark::State& state) {
    constexpr std::uint64_t clusters = 65536;
    ClusterMap map(clusters);
    std::uint64_t count = 0, at = 1;
    const CountAllocations counting(state);
    for (auto _ : state) {
        if (++count % clusters == 0) map.assign(ClusterIndex{0}, ClusterCount{clusters}, 0);
        at = (at * 1664525 + 1013904223) % clusters;
        map.assign(ClusterIndex{at}, ClusterCount{1},
                   static_cast<UnitNumber>(count % clusters + 9));
    }
}
BENCHMARK(assign_in_map);

class NoDevice final : public BlockDevice {
public:
    Geometry geometry() const override { return {512, 4096, {1U << 24}}; }
    void submit(BlockRequest&) override {}
    ProvisioningRun provisioning(Lba, BlockCount wanted) const override { return {wanted}; }
};

/// READ(16) and WRITE(10): from the CDB to what the command needs.
void decode_command(benchmark::State& state) {
    NoDevice device;
    scsi::LogicalUnitConfig config;
    config.geometry = device.geometry();
    scsi::LogicalUnit unit(config, device);
    scsi::Command command;
    command.nexus = unit.add_nexus({});
    (void)unit.admit(command);  // takes the unit attention
    if (state.range(0) == 0) {
        command.cdb = {0x88, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 8, 0, 0};
    } else {
        command.cdb = {0x2a, 0, 0, 1, 0, 0, 0, 0, 8, 0};
        command.expected_data_out = 4096;
    }
    const CountAllocations counting(state);
    for (auto _ : state) {
        benchmark::DoNotOptimize(unit.admit(command));
    }
}
BENCHMARK(decode_command)->ArgName("write")->Arg(0)->Arg(1);

}  // namespace
}  // namespace cowtgt::bench
