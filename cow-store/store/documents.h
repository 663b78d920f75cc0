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

/// A sealed layer. Its file lies in the folder of each template version and instance that stands
/// on it, under its uuid: hard links of one file, so that no object needs the folder of another.
struct LayerEntry {
    Uuid uuid;
    std::string file;              ///< name in the folder
    Uuid parent;                   ///< the layer below it; nil: what the owner is made on
    Uuid owner;                    ///< the instance that wrote it
    std::uint64_t size_bytes = 0;  ///< of the disk, as far as the layer knows it
    std::string sealed_at;
    Fingerprint fingerprint;
    std::uint64_t content_id = 0;  ///< of the layer's file; 0: it was not hashed yet

    friend bool operator==(const LayerEntry&, const LayerEntry&) = default;
};

/// STORE/sums/UUID.json, of a sealed layer that was hashed.
struct SumsDocument {
    Uuid uuid;
    std::uint64_t content_id = 0;
    std::uint64_t size_bytes = 0;  ///< of the file
};

/// A sealed layer that has a name.
struct SnapshotEntry {
    std::string label;
    Uuid layer;
    std::string created_at;

    friend bool operator==(const SnapshotEntry&, const SnapshotEntry&) = default;
};

/// STORE/templates/NAME/VERSION/template.json. Name and version are those of its folders.
struct TemplateDocument {
    Uuid uuid;
    /// Of the image at the bottom: that of the template which was imported.
    Uuid image_uuid;
    std::uint64_t content_id = 0;    ///< of the image: its size and all chunk hashes (content.h)
    std::uint64_t image_bytes = 0;   ///< of the image
    std::uint64_t size_bytes = 0;    ///< of the disk
    std::vector<LayerEntry> layers;  ///< on the image, from the top down; empty: as imported
    std::string imported_at;
    std::string source;
    std::string note;
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
    std::string template_name;  ///< empty: it stands on none
    std::uint32_t template_version = 0;
    Uuid template_uuid;
    std::uint64_t template_content_id = 0;
    std::uint64_t size_bytes = 0;
    std::uint32_t block_size = 512;
    std::string created_at;
    Uuid identity_seed;  ///< every new value of the identity follows from it
    IdentityWishes identity_wishes;
    std::string live_file = "live.cow";    ///< in the instance's folder
    Uuid live_parent;                      ///< one of `sealed`; nil: stands on the template
    std::vector<LayerEntry> sealed;        ///< what the live layer or a snapshot stands on
    std::vector<SnapshotEntry> snapshots;  ///< from the oldest to the newest
    std::string origin;                    ///< "web01@before" for the clone of a snapshot
    Uuid origin_layer;                     ///< the layer of that snapshot
    BootPhase boot_phase = BootPhase::running;
    std::vector<IdentityItem> identity;
    bool is_flattening = false;  ///< on its way to stand on nothing
    /// Once it does: what the live layer's file may still name as its parent. The layer follows
    /// when it is opened.
    Uuid former_parent;
};

/// What a stream of a snapshot begins with (STREAM.md), and what is kept of it while it arrives.
struct StreamDocument {
    std::string instance;  ///< that was sent
    std::string label;     ///< of the snapshot
    Uuid layer;        ///< the snapshot's own layer, which its receiver gets under the same uuid
    std::string from;  ///< label of the snapshot before it; empty: the stream holds everything
    Uuid from_layer;   ///< of that; nil: none
    std::uint64_t from_size_bytes = 0;
    std::uint64_t size_bytes = 0;
    std::uint32_t block_size = 512;
    std::string created_at;
    Uuid identity_seed;
    std::vector<IdentityItem> identity;
    std::uint64_t first_offset = 0;  ///< bytes of the disk before it are not in this stream
    bool is_whole = false;           ///< kept only: its end has arrived
};

std::string encode(const StoreDocument& document);
std::string encode(const TemplateDocument& document);
std::string encode(const TagsDocument& document);
std::string encode(const InstanceDocument& document);
std::string encode(const SumsDocument& document);
std::string encode(const StreamDocument& document);

Result<StoreDocument> decode_store(std::string_view text, const std::string& where);
Result<TemplateDocument> decode_template(std::string_view text, const std::string& where);
Result<TagsDocument> decode_tags(std::string_view text, const std::string& where);
Result<InstanceDocument> decode_instance(std::string_view text, const std::string& where);
Result<SumsDocument> decode_sums(std::string_view text, const std::string& where);
Result<StreamDocument> decode_stream(std::string_view text, const std::string& where);

/// Null: there is none.
const LayerEntry* find_layer(const InstanceDocument& document, const Uuid& uuid);
const SnapshotEntry* find_snapshot(const InstanceDocument& document, std::string_view label);

std::vector<IdentityItem> identity_items(const std::vector<identity::Finding>& findings);
/// 16 hexadecimal digits.
std::string hex_text(std::uint64_t value);

}  // namespace cowtgt::store
