#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "cow-store/volume/volume.h"
#include "tests/sim/disk_model.h"
#include "tests/sim/sim_file.h"

namespace cowtgt::sim {

/// How a random history is made. Everything follows from the seed.
struct HistoryOptions {
    std::uint64_t seed = 1;
    std::uint32_t operations = 40;
    std::uint32_t queue_depth = 4;
    std::uint32_t ring_bytes = 4096;
    bool with_base = true;
    bool flushes = true;  ///< false: only writes with FUA ask for durability
    std::vector<Fault> faults;
    std::uint64_t appends_before_failure = ~std::uint64_t{0};
    bool large = false;        ///< one window of 1.25 MiB and long writes, for full disks
    bool flush_often = false;  ///< every second request
    bool whole_clusters = false;
    std::uint32_t commits_without_hashes = 0;  ///< see VolumeOptions
    std::uint64_t capacity_bytes = ~std::uint64_t{0};
    DirectIoAlignment alignment;
};

/// A disk of a simulated machine: layer file, base image and what they may hold.
struct World {
    std::unique_ptr<File> layer;
    std::unique_ptr<File> base;
    DiskModel model;
    std::uint64_t virtual_size = 0;
    std::uint64_t base_size = 0;
    Value next_value = 1;
    std::uint64_t boot = 1;  ///< number of the running kernel

    World clone_with(std::unique_ptr<File> cut_layer) const;
};

World make_world(const HistoryOptions& options);
Uuid boot_id_of(std::uint64_t boot);

struct HistoryResult {
    std::string problem;  ///< empty: as it should be
    std::uint64_t answered_good = 0;
    std::uint64_t answered_otherwise = 0;
    BlockStatus close_status = BlockStatus::good;
    VolumeStatistics statistics;
};

/// Opens the layer, runs random requests, reads among them checked, and closes it.
HistoryResult run_history(World& world, const HistoryOptions& options);

/// Opens the layer as after the cut and compares every sector of the windows with the model, which
/// then knows only what was read. Empty: all is well.
std::string recover_and_compare(World& world, CutKind kind,
                                const OpenContext& context_template = {});

}  // namespace cowtgt::sim
