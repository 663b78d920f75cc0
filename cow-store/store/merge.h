#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "cow-store/base/result.h"
#include "cow-store/store/content.h"
#include "cow-store/store/documents.h"
#include "cow-store/store/layout.h"
#include "cow-store/store/store.h"
#include "cow-store/store/workplace.h"
#include "cow-store/volume/layer_file.h"

/// rebase --keep: what an instance wrote, on another version of its template.
namespace cowtgt::store {

/// Bytes that the instance changed, and that differ between the versions, too.
struct MergeConflict {
    std::uint64_t offset = 0;
    std::uint64_t length = 0;

    friend bool operator==(const MergeConflict&, const MergeConflict&) = default;
};

/// A three-way merge of blocks of 4 KiB: what the instance did not change becomes as on the other
/// version, what only the instance changed stays. Blocks, not files: a file system that both sides
/// changed is in conflict.
///
/// look(), then write(), then install(), the last of which is one rename; dropped before, nothing
/// has changed. Nobody may open the instance meanwhile.
/// Threads: look() and write() on any, as they may take as long as what was written is large;
/// install() as the store's changes.
class Merge {
public:
    /// Only reads. refused as Reshape::rebase, and for an instance that stands on no template.
    static Result<Merge> look(const Context& context, std::string_view name, const TemplateRef& to,
                              const Pace& pace);
    Merge(Merge&&) noexcept;
    ~Merge();

    const std::string& from() const { return from_; }  ///< "debian12@1"
    const std::string& to() const { return to_; }
    std::uint64_t kept_bytes() const { return kept_bytes_; }  ///< conflicts included
    const std::vector<MergeConflict>& conflicts() const { return conflicts_; }
    std::uint64_t conflict_bytes() const;
    /// Which file system is not whole without its journal, and why; empty: none. Its journal could
    /// be replayed over what comes from the other version.
    const std::string& unclean() const { return unclean_; }

    /// The new layer, beside the instance; in conflicts the instance's blocks win. Once.
    Result<void> write(const Context& context, const Pace& pace);
    /// in_use when the instance was written to since look().
    Result<InstanceInfo> install(const Context& context);

private:
    struct Sides;
    using TakeKept = std::function<Result<void>(std::uint64_t offset, Bytes own, bool is_conflict)>;

    Merge();
    Result<void> for_each_kept(const Pace& pace, const TakeKept& take) const;

    std::string name_, from_, to_, unclean_;
    InstanceDocument document_;  ///< as it is going to be
    LayerSummary layer_;         ///< of the live layer, as it was looked at
    std::unique_ptr<Sides> sides_;
    std::uint64_t kept_bytes_ = 0;
    std::vector<MergeConflict> conflicts_;
    std::unique_ptr<Workplace> workplace_;  ///< once it is written
};

}  // namespace cowtgt::store
