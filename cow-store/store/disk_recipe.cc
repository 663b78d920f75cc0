#include "cow-store/store/disk_recipe.h"

#include <utility>
#include <vector>

#include "cow-store/identity/formats.h"
#include "cow-store/identity/patched_source.h"
#include "cow-store/references/references.h"
#include "cow-store/references/text_search.h"

namespace cowtgt::store {

namespace {

/// Those without a place are found again by unpacking the boot archives.
void append_places(const identity::Recipe& recipe, std::vector<references::Occurrence>& found) {
    for (const identity::Reference& reference : recipe.references) {
        if (reference.offset != 0) found.push_back({reference.text, reference.offset});
    }
}

}  // namespace

Result<identity::Recipe> examine_disk(const ChainReader& disk,
                                      const identity::Recipe& of_template) {
    Result<identity::Recipe> recipe = identity::examine(disk);
    if (!recipe) return recipe;
    references::TextSearch search(references::texts_of(*recipe));
    const Result<void> read = disk.read_layers([&search](std::uint64_t offset, Bytes chunk) {
        search.feed(offset, chunk);
        return Result<void>();
    });
    if (!read) return read.error();
    std::vector<references::Occurrence> found = search.finish();
    append_places(of_template, found);
    const Result<void> done = references::find_references(*recipe, disk, found, search.too_often());
    if (!done) return done.error();
    return recipe;
}

Result<ReplayedDisk> replay_disk(const identity::Recipe& recipe,
                                 const identity::BlockSource& disk) {
    Result<identity::Replay> replay = identity::replay_journals(recipe, disk);
    if (!replay) return std::move(replay).error();
    if (replay->patches.empty() && replay->failures.empty()) return ReplayedDisk{{}, recipe};
    const identity::PatchedSource replayed(disk, replay->patches);
    Result<identity::Recipe> now = identity::examine(replayed);
    if (!now) return std::move(now).error();
    for (const identity::Replay::Failure& failure : replay->failures) {
        for (identity::Structure& structure : now->structures) {
            if (structure.where == failure.where) structure = kept(structure, failure.reason);
        }
    }
    references::TextSearch search(references::texts_of(*now));
    for (const identity::Patch& patch : replay->patches)
        search.feed(patch.offset, patch.bytes);
    std::vector<references::Occurrence> found = search.finish();
    append_places(recipe, found);
    const Result<void> done =
        references::find_references(*now, replayed, found, search.too_often());
    if (!done) return done.error();
    return ReplayedDisk{std::move(replay->patches), *std::move(now)};
}

}  // namespace cowtgt::store
