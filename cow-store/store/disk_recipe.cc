#include "cow-store/store/disk_recipe.h"

#include <utility>
#include <vector>

#include "cow-store/references/references.h"
#include "cow-store/references/text_search.h"

namespace cowtgt::store {

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
    for (const identity::Reference& reference : of_template.references) {
        // Those without a place are found again by unpacking the boot archives.
        if (reference.offset != 0) found.push_back({reference.text, reference.offset});
    }
    const Result<void> done = references::find_references(*recipe, disk, found, search.too_often());
    if (!done) return done.error();
    return recipe;
}

}  // namespace cowtgt::store
