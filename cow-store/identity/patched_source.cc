#include "cow-store/identity/patched_source.h"

#include <algorithm>
#include <cstring>
#include <utility>

namespace cowtgt::identity {

namespace {

/// The first patch that ends behind `offset`.
template <typename Patches>
auto first_behind(Patches& patches, std::uint64_t offset) {
    return std::ranges::upper_bound(
        patches, offset, {}, [](const Patch& patch) { return patch.offset + patch.bytes.size(); });
}

}  // namespace

PatchedSource::PatchedSource(const BlockSource& image, std::vector<Patch> patches)
    : image_(image), patches_(std::move(patches)) {}

Result<void> PatchedSource::read(std::uint64_t offset, MutableBytes into) const {
    if (Result<void> done = image_.read(offset, into); !done) return done;
    const std::uint64_t end = offset + into.size();
    for (auto patch = first_behind(patches_, offset);
         patch != patches_.end() && patch->offset < end; ++patch) {
        const std::uint64_t from = std::max(offset, patch->offset);
        const std::uint64_t to = std::min<std::uint64_t>(end, patch->offset + patch->bytes.size());
        std::memcpy(into.data() + (from - offset), patch->bytes.data() + (from - patch->offset),
                    to - from);
    }
    return {};
}

void lay_over(std::vector<Patch>& patches, const Patch& patch) {
    std::uint64_t at = patch.offset;
    for (Bytes rest = patch.bytes; !rest.empty();) {
        const auto below = first_behind(patches, at);
        const bool is_covered = below != patches.end() && below->offset <= at;
        const std::uint64_t end = below == patches.end() ? at + rest.size()
                                  : is_covered           ? below->offset + below->bytes.size()
                                                         : below->offset;
        const Bytes part = rest.first(std::min<std::uint64_t>(rest.size(), end - at));
        if (is_covered) {
            std::ranges::copy(
                part, below->bytes.begin() + static_cast<std::ptrdiff_t>(at - below->offset));
        } else {
            patches.insert(below, {at, {part.begin(), part.end()}});
        }
        at += part.size();
        rest = rest.subspan(part.size());
    }
}

}  // namespace cowtgt::identity
