#include <span>

#include "cow-store/identity/identity.h"
#include "cow-store/identity/patched_source.h"
#include "tests/unit/identity/journal_image.h"

/// The journal of ext3 and ext4. Input: the blocks of a journal without checksums behind its
/// superblock. Whatever they say, a replay ends, patches lie inside of the file system, and the
/// result can be examined.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    using namespace cowtgt;
    identity::JournalImage image;
    image.fill_journal(std::as_bytes(std::span(data, size)));
    const auto recipe = identity::examine(image);
    CHECK(recipe.has_value());
    const auto replay = identity::replay_journals(*recipe, image);
    CHECK(replay.has_value());
    std::uint64_t end = 0;
    for (const identity::Patch& patch : replay->patches) {
        CHECK(patch.offset >= end && !patch.bytes.empty());
        end = patch.offset + patch.bytes.size();
    }
    CHECK(end <= image.size());
    CHECK(identity::examine(identity::PatchedSource(image, replay->patches)).has_value());
    return 0;
}
