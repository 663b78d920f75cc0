#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "cow-store/base/result.h"
#include "cow-store/store/catalogue.h"
#include "cow-store/store/documents.h"
#include "cow-store/store/layout.h"
#include "cow-store/volume/layer_file.h"

/// Making an instance, whatever it is a clone of.
namespace cowtgt::store {

/// exists when there is an instance of this name; usage for an illegal name.
Result<void> check_name_is_free(const Context& context, std::string_view name);

/// What a clone is made of, as far as its size goes.
struct CloneSource {
    std::string name;  ///< "template debian12@3"
    std::uint64_t size_bytes = 0;
    std::uint32_t block_size = 512;
};
/// The size of a clone: as wished, if it can hold the source. 0: the source's.
Result<std::uint64_t> clone_size(const CloneSource& source, std::uint64_t wished);

/// The document of a new instance on a template, with a uuid of its own.
InstanceDocument new_document(const TemplateRecord& record, const CloneOptions& options,
                              std::uint64_t size_bytes);

/// A sealed layer of another object, for the new one too.
struct SharedFile {
    std::filesystem::path path;
    std::string name;  ///< in the new folder
};
/// Makes the folder, the live layer and the document, and all real by one rename.
Result<InstanceInfo> publish_instance(const Context& context, const std::string& name,
                                      const InstanceDocument& document, const LayerSpec& live,
                                      const std::vector<SharedFile>& shared);

}  // namespace cowtgt::store
