#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "cow-store/base/result.h"
#include "cow-store/store/chain.h"
#include "cow-store/store/documents.h"
#include "cow-store/store/layout.h"
#include "cow-store/store/store.h"

/// Snapshots of instances. Making, restoring and committing need the live layer for themselves:
/// whoever serves it pauses first.
namespace cowtgt::store {

/// Store::snapshot and the others.
Result<SnapshotInfo> make_snapshot(const Context& context, std::string_view name,
                                   std::string_view label);
Result<std::vector<SnapshotInfo>> list_snapshots(const Context& context, std::string_view name);
Result<void> remove_snapshot(const Context& context, std::string_view name, std::string_view label);
/// Store::try_remove_snapshot.
Result<void> try_remove_snapshot(const Context& context, std::string_view name,
                                 std::string_view label);
Result<void> restore_snapshot(const Context& context, std::string_view name,
                              std::string_view label);
Result<InstanceInfo> clone_snapshot(const Context& context, std::string_view name,
                                    std::string_view label, const CloneOptions& options);

/// not_found, and how to find those that are there.
Error no_snapshot(std::string_view name, std::string_view label);

/// A snapshot's disk, open for reading.
struct SnapshotDisk {
    OpenedChain chain;
    std::uint64_t size_bytes = 0;
};
Result<SnapshotDisk> open_snapshot(const Context& context, std::string_view name,
                                   std::string_view label);

/// Seals the live layer of an instance and gives it a new one on top; the sealed one gets the name
/// `label` if that is not empty. `document` is what is on disk afterwards.
Result<Uuid> seal_live(const Context& context, std::string_view name, InstanceDocument& document,
                       std::string_view label);

/// Seals the file of the live layer, and says what it is then; the document still has to say so.
Result<LayerEntry> seal_live_file(const Context& context, std::string_view name,
                                  const InstanceDocument& document);

/// Refused when the disk has as many layers as it may.
Result<void> check_depth(std::string_view name, const TemplateRecord& record,
                         const InstanceDocument& document);

/// Who was cloned from a snapshot of this instance (`layer` nil: from any of them).
Result<std::vector<std::string>> clones_of(const Context& context, const InstanceDocument& document,
                                           const Uuid& layer);

}  // namespace cowtgt::store
