#pragma once

#include <cstdint>
#include <vector>

#include "cow-store/identity/identity.h"

namespace cowtgt::identity {

/// An image as it is with patches over it. Ownership: refers to the image, which outlives it.
class PatchedSource final : public BlockSource {
public:
    /// Requires: patches ascend and do not overlap.
    PatchedSource(const BlockSource& image, std::vector<Patch> patches);

    Result<void> read(std::uint64_t offset, MutableBytes into) const override;
    std::uint64_t size() const override { return image_.size(); }

private:
    const BlockSource& image_;
    std::vector<Patch> patches_;
};

/// Lays `patch` over what is there, in the places of `patches` and between them; keeps their order.
void lay_over(std::vector<Patch>& patches, const Patch& patch);

}  // namespace cowtgt::identity
