#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "cow-store/base/result.h"
#include "cow-store/file.h"
#include "cow-store/map/cluster_map.h"
#include "cow-store/volume/layer_file.h"
#include "cow-store/volume/layer_pages.h"

namespace cowtgt {

/// All that is wrong with the metadata of a layer, found without changing anything.
struct LayerExamination {
    std::optional<LayerSummary> summary;  ///< nothing: neither superblock is whole
    std::vector<LayerDamage> damage;
    std::unique_ptr<ClusterMap> map;  ///< as far as it can be read; null without a summary
    bool needs_recovery = false;      ///< it was left open: the next opening replays its journal
    bool is_copy = false;             ///< it was left open under another inode
};

/// Who may have the layer open meanwhile.
enum class LayerUse {
    at_rest,  ///< nobody
    in_use,   ///< somebody writes to it: what changes under the reader is read again
};

/// `boot_id`: of the running kernel. Errors: only when the file cannot be read at all.
Result<LayerExamination> examine_layer(File& file, LayerUse use, const Uuid& boot_id);

/// Puts right what can be derived: a superblock copy from the other one, a page with one flipped
/// bit from its checksum. Returns a sentence for each. Requires: nobody has the layer open.
Result<std::vector<std::string>> mend_layer(File& file, const Uuid& boot_id);

/// The one bit whose flip gives `bytes` the checksum that `sum` calculates of them; the bytes have
/// it flipped then. Nothing: more than one bit is wrong.
std::optional<std::uint64_t> mend_single_bit(MutableBytes bytes, std::uint64_t checksum,
                                             std::uint64_t (*sum)(Bytes));

}  // namespace cowtgt
