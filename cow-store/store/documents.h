#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "cow-store/base/result.h"
#include "cow-store/base/uuid.h"
#include "cow-store/identity/identity.h"
#include "cow-store/store/store.h"

/// The store's small text files (JSON), as values. Each carries the number of its format and a
/// checksum over its fields, so a flipped bit is found and a newer store is not misread.
///
/// Decoding errors name `where`, the file: corrupt, or unsupported for a newer format. Fields that
/// are not known are kept out of the way, so that a format may gain some.
namespace cowtgt::store {

inline constexpr std::uint32_t store_format = 1;

/// STORE/store.json
struct StoreDocument {
    Uuid uuid;
    std::string created_at;
};

/// Which file the image was when its content was known, by what a look at it costs nothing.
struct Fingerprint {
    std::uint64_t size = 0;     ///< bytes
    std::int64_t mtime_ns = 0;  ///< since 1970
    std::uint64_t inode = 0;

    friend bool operator==(const Fingerprint&, const Fingerprint&) = default;
};

/// STORE/templates/NAME/VERSION/template.json. Name and version are those of its folders.
struct TemplateDocument {
    Uuid uuid;
    std::uint64_t content_id = 0;  ///< of the size and all chunk hashes (content.h)
    std::uint64_t size_bytes = 0;
    std::string imported_at;
    std::string source;
    Fingerprint fingerprint;
    identity::Recipe recipe;
};

/// STORE/templates/NAME/tags.json
struct TagsDocument {
    std::map<std::string, std::uint32_t> versions;  ///< by tag
};

/// STORE/instances/NAME/instance.json. The name is that of its folder.
struct InstanceDocument {
    Uuid uuid;
    std::string template_name;
    std::uint32_t template_version = 0;
    Uuid template_uuid;
    std::uint64_t template_content_id = 0;
    std::uint64_t size_bytes = 0;
    std::uint32_t block_size = 512;
    std::string created_at;
    Uuid identity_seed;  ///< every new value of the identity follows from it
    std::vector<IdentityItem> identity;
};

std::string encode(const StoreDocument& document);
std::string encode(const TemplateDocument& document);
std::string encode(const TagsDocument& document);
std::string encode(const InstanceDocument& document);

Result<StoreDocument> decode_store(std::string_view text, const std::string& where);
Result<TemplateDocument> decode_template(std::string_view text, const std::string& where);
Result<TagsDocument> decode_tags(std::string_view text, const std::string& where);
Result<InstanceDocument> decode_instance(std::string_view text, const std::string& where);

std::vector<IdentityItem> identity_items(const std::vector<identity::Finding>& findings);
/// 16 hexadecimal digits.
std::string hex_text(std::uint64_t value);

}  // namespace cowtgt::store
