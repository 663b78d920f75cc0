#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>

#include "tests/sim/store_disk.h"

namespace cowtgt::sim {

struct StoreHistoryOptions {
    std::uint64_t seed = 1;
    std::uint32_t operations = 16;  ///< on the store; requests on disks run beside them
    std::uint64_t request_stride =
        8;  ///< one of so many steps of a disk is cut, and each of the store
    StoreDisk::Syncs syncs = StoreDisk::Syncs::honest;
};

struct StoreStatistics {
    std::uint64_t cuts = 0;
    std::uint64_t cuts_in_recovery = 0;
    std::uint64_t second_histories = 0;
    std::map<std::string, std::uint64_t> operations;  ///< that succeeded, by name
    std::string first_problem;                        ///< with seed and step; empty: all is well
};

/// Runs random operations on a store in the empty folder `folder` (snapshot, clone, commit, reset,
/// resize, rename, rm, ...) while machines write to some of its disks. At each step the power goes
/// or the process dies; the store is opened again and everything in it compared with the model. The
/// operation under way is there as a whole or not at all. Some of the recoveries are cut as well,
/// and some are followed by a second history, which is cut, too.
StoreStatistics cut_store_history(const std::filesystem::path& folder,
                                  const StoreHistoryOptions& options);

}  // namespace cowtgt::sim
