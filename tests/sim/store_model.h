#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "cow-store/store/store.h"
#include "tests/sim/disk_model.h"

namespace cowtgt::sim {

/// Where the disks of a store are written to and looked at; the last part only larger ones have.
inline constexpr std::uint64_t template_bytes = 2 << 20;
inline constexpr std::uint64_t grown_bytes = template_bytes + 8 * 1024;
inline constexpr std::array<Window, 3> store_windows = {
    Window{0, 24 * 1024}, Window{(1 << 20) - 8 * 1024, 16 * 1024},
    Window{template_bytes - 4 * 1024, 12 * 1024}};

/// The windows of a disk of this size.
std::vector<Window> windows_of(std::uint64_t size_bytes);

/// By offset, sector after sector; what is not there reads as zeros.
using Values = std::map<std::uint64_t, Value>;
inline constexpr Value foreign_bytes = ~Value{0};  ///< read: no write of ours put it there

struct SnapshotModel {
    std::string label;
    std::uint64_t size_bytes = 0;
    Values values;
    friend bool operator==(const SnapshotModel&, const SnapshotModel&) = default;
};

struct InstanceModel {
    std::string template_name;
    std::uint32_t template_version = 0;
    std::uint64_t size_bytes = 0;
    Values values;
    std::vector<SnapshotModel> snapshots;  ///< from the oldest to the newest
};

struct TemplateModel {
    std::uint64_t size_bytes = 0;
    Values values;
    friend bool operator==(const TemplateModel&, const TemplateModel&) = default;
};

/// What a store holds, as users see it.
struct StoreModel {
    std::map<std::string, InstanceModel> instances;
    std::map<std::pair<std::string, std::uint32_t>, TemplateModel> templates;  ///< by version
};

/// Reads the disk of an instance that nobody uses.
Result<Values> read_disk(store::Store& store, std::string_view instance);

/// Reads all of a store that nobody uses. An error says what cannot be read.
Result<StoreModel> read_store(store::Store& store);

/// By instance: what its disk may hold, for those that were in use.
using LiveDisks = std::map<std::string, const DiskModel*>;

/// Empty, or where what was found after a cut is not what it should be.
std::string difference(const StoreModel& found, const StoreModel& expected, const LiveDisks& live,
                       CutKind kind);

}  // namespace cowtgt::sim
