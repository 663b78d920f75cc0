#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "cow-store/base/result.h"
#include "cow-store/store/documents.h"
#include "cow-store/store/layout.h"
#include "cow-store/store/sealed_file.h"

/// Finding out what is in a store. Nothing here changes it.
namespace cowtgt::store {

struct TemplateRecord {
    std::string name;
    std::uint32_t version = 0;
    TemplateDocument document;
};

/// Numbers of the versions of a template, rising; empty when there is none.
Result<std::vector<std::uint32_t>> versions_of(const Context& context, std::string_view name);

/// Which version a reference means. Errors: usage for no name; not_found.
Result<std::uint32_t> resolve(const Context& context, const TemplateRef& ref);
Result<TagsDocument> load_tags(const Context& context, std::string_view name);
Result<TemplateRecord> load_template(const Context& context, std::string_view name,
                                     std::uint32_t version);
Result<InstanceDocument> load_instance(const Context& context, std::string_view name);
/// The template that an instance was made on; refused if another one has its place. Without a name
/// and empty for an instance that stands on none.
Result<TemplateRecord> template_of(const Context& context, std::string_view name,
                                   const InstanceDocument& document);

/// "web01, web02", for messages.
std::string joined_names(const std::vector<std::string>& names);

/// All names with at least one version; all instances.
Result<std::vector<std::string>> template_names(const Context& context);
Result<std::vector<std::string>> instance_names(const Context& context);

/// Which instances are made on which template. An instance whose document cannot be read may be
/// made on any.
struct Usage {
    struct Entry {
        std::string template_name;  ///< empty: not known
        std::uint32_t version = 0;
        std::string instance;
    };
    std::vector<Entry> entries;  ///< by instance

    std::vector<std::string> instances_of(std::string_view name, std::uint32_t version) const;
};
Result<Usage> find_usage(const Context& context);

TemplateInfo describe(const Context& context, const TemplateRecord& record, const Usage& usage);
InstanceInfo describe(const Context& context, std::string_view name,
                      const InstanceDocument& document);

/// The image of a template, and a sealed layer in `folder`, as those who stand on them know them.
SealedFile sealed_file(const Context& context, const TemplateRecord& record);
SealedFile sealed_file(const Context& context, const LayerEntry& entry,
                       const std::filesystem::path& folder);

Result<Fingerprint> fingerprint_of(int fd, const std::filesystem::path& path);

}  // namespace cowtgt::store
