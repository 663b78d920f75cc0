#include "tests/fuzz/identity/identity_properties.h"

#include <algorithm>
#include <cstring>

namespace cowtgt::identity {

namespace {

/// The clone: the image with the patches over it, and zeros up to its own size.
class PatchedImage : public BlockSource {
public:
    PatchedImage(const BlockSource& image, const std::vector<Patch>& patches, std::uint64_t size)
        : image_(image), patches_(patches), size_(size) {}

    Result<void> read(std::uint64_t offset, MutableBytes into) const override {
        CHECK(offset <= size_ && into.size() <= size_ - offset);
        std::memset(into.data(), 0, into.size());
        if (offset < image_.size()) {
            const std::uint64_t inside = std::min(into.size(), image_.size() - offset);
            const Result<void> done = image_.read(offset, into.first(inside));
            CHECK(done.has_value());
        }
        for (const Patch& patch : patches_) {
            const std::uint64_t begin = std::max(offset, patch.offset);
            const std::uint64_t end =
                std::min(offset + into.size(), patch.offset + patch.bytes.size());
            if (begin >= end) continue;
            std::memcpy(into.data() + (begin - offset), patch.bytes.data() + (begin - patch.offset),
                        end - begin);
        }
        return {};
    }
    std::uint64_t size() const override { return size_; }

private:
    const BlockSource& image_;
    const std::vector<Patch>& patches_;
    std::uint64_t size_;
};

void check_patches(const std::vector<Patch>& patches, std::uint64_t disk_size) {
    std::uint64_t free_from = 0;
    for (const Patch& patch : patches) {
        CHECK(patch.offset >= free_from && !patch.bytes.empty());
        free_from = patch.offset + patch.bytes.size();
        CHECK(free_from > patch.offset && free_from <= disk_size);
    }
}

const Structure* find(const Recipe& recipe, const Structure& wanted) {
    for (const Structure& structure : recipe.structures) {
        if (structure.where == wanted.where && structure.begin == wanted.begin) return &structure;
    }
    return nullptr;
}

}  // namespace

void check_identity_properties(const BlockSource& image, std::uint64_t disk_size) {
    const Result<Recipe> recipe = examine(image);
    CHECK(recipe.has_value());
    IdentityChoice choice;
    choice.seed.bytes.fill(1);
    choice.disk_size = disk_size;
    const Result<Patching> patching = make_patches(*recipe, image, choice);
    // Partition tables may put two file systems over each other; that is told, not patched.
    if (!patching) {
        CHECK(patching.error().code == ErrorCode::corrupt);
        return;
    }
    check_patches(patching->patches, disk_size);
    const Result<std::vector<Cluster>> clusters = to_clusters(patching->patches, image);
    CHECK(clusters.has_value() && clusters->empty() == patching->patches.empty());

    const PatchedImage clone(image, patching->patches, disk_size);
    const Result<Recipe> again = examine(clone);
    CHECK(again.has_value());
    for (const Structure& structure : recipe->structures) {
        if (!structure.kept_because.empty()) continue;
        const Structure* found = find(*again, structure);
        CHECK(found != nullptr && found->kept_because.empty());
        for (std::size_t i = 0; i < structure.findings.size(); ++i) {
            CHECK(found->findings.at(i).label == structure.findings[i].label);
            CHECK(found->findings.at(i).old_value != structure.findings[i].old_value);
        }
    }
    const Result<Patching> second = make_patches(*again, clone, choice);
    CHECK(second.has_value() && second->patches.empty() == patching->patches.empty());
}

}  // namespace cowtgt::identity
