#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "cow-store/references/references.h"
#include "cow-store/references/text_search.h"
#include "cow-store/store/content.h"
#include "cow-store/store/image_source.h"

namespace cowtgt::store {

/// Looks for texts that name an identity of the disk while its bytes go by. Which ones these are is
/// known before only if the image could be looked at first: a stream is searched once it is there.
class ReferenceSearch {
public:
    ReferenceSearch() : search_({}) {}
    explicit ReferenceSearch(const identity::Recipe& recipe)
        : texts_(references::texts_of(recipe)), search_(texts_) {}

    static Result<ReferenceSearch> begin(int image, std::uint64_t size, const std::string& name) {
        const auto recipe = identity::examine(ImageSource(image, size, name));
        if (!recipe) return recipe.error();
        return ReferenceSearch(*recipe);
    }

    void feed(std::uint64_t offset, Bytes chunk) { search_.feed(offset, chunk); }

    /// Into the recipe of the image as it now lies in the store.
    Result<void> finish(identity::Recipe& recipe, int image, const std::string& name) {
        if (references::texts_of(recipe) != texts_) {
            *this = ReferenceSearch(recipe);
            const Result<void> read = read_chunks(image, recipe.disk_size, name, {},
                                                  [this](std::uint64_t offset, Bytes chunk) {
                                                      feed(offset, chunk);
                                                      return Result<void>();
                                                  });
            if (!read) return read;
        }
        const std::vector<references::Occurrence> found = search_.finish();
        return references::find_references(recipe, ImageSource(image, recipe.disk_size, name),
                                           found, search_.too_often());
    }

private:
    std::vector<std::string> texts_;
    references::TextSearch search_;
};

}  // namespace cowtgt::store
