#pragma once

#include <cstdint>
#include <memory>

#include "cow-store/base/bytes.h"
#include "cow-store/base/result.h"
#include "cow-store/file.h"
#include "cow-store/format/superblock.h"
#include "cow-store/volume/layer_file.h"

namespace cowtgt {

/// Writes a whole layer, however large, from content that comes in rising order. Until finish() the
/// file is no layer; nothing is synced before.
///
/// Where content goes follows from the calls alone, so a writer that is asked the same again knows
/// where an earlier one has put it: that is how what a dead process wrote is taken over.
/// Ownership: `file` outlives the writer.
class LayerWriter {
public:
    /// `spec.initial_blocks` is not looked at. The file is empty, or what an earlier writer left.
    LayerWriter(File& file, const LayerSpec& spec);
    ~LayerWriter();
    LayerWriter(const LayerWriter&) = delete;
    LayerWriter& operator=(const LayerWriter&) = delete;

    /// Requires: whole clusters, but the last one of the disk may be cut; behind what was added
    /// before.
    Result<void> add_data(std::uint64_t offset, Bytes bytes);
    void add_zeros(std::uint64_t offset, std::uint64_t length);
    /// As add_data, but the bytes are read from where they should be already.
    Result<void> take_over_data(std::uint64_t offset, MutableBytes into);
    /// Makes it a layer, durably. `phase`: clean or sealed.
    Result<void> finish(LayerPhase phase);

private:
    struct State;
    template <typename Place>
    Result<void> place(std::uint64_t offset, std::uint64_t length, Place each_run);

    std::unique_ptr<State> state_;
};

}  // namespace cowtgt
