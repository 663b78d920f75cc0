#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>

#include "cow-store/base/uuid.h"
#include "cow-store/store/environment.h"
#include "cow-store/store/file_system.h"
#include "cow-store/store/sealed_file.h"
#include "cow-store/store/store.h"

namespace cowtgt::store {

/// Where things lie in a store's directory.
///
///     store.json  lock  ballast  tmp/  sums/{UUID.json, UUID.xxh3}
///     templates/NAME/{tags.json, VERSION/{template.json, image.raw, chunks.xxh3, UUID.cow...,
///     boot/}}
///     instances/NAME/{instance.json, live.cow, UUID.cow..., boot/}
///     receiving/NAME/{stream.json, received, live.cow}
struct Layout {
    using Path = std::filesystem::path;
    Path root;

    Path document() const { return root / "store.json"; }
    Path lock() const { return root / "lock"; }
    Path ballast() const { return root / "ballast"; }
    Path work() const { return root / "tmp"; }
    Path sums() const { return root / "sums"; }
    Path sums_document(const Uuid& layer) const { return sums() / (to_string(layer) + ".json"); }
    Path sums_table(const Uuid& layer) const { return sums() / (to_string(layer) + ".xxh3"); }
    Path receiving(std::string_view name) const { return root / "receiving" / name; }
    Path templates() const { return root / "templates"; }
    Path instances() const { return root / "instances"; }

    Path versions_of(std::string_view name) const { return templates() / name; }
    Path tags_of(std::string_view name) const { return versions_of(name) / tags_file; }
    Path version(std::string_view name, std::uint32_t number) const {
        return versions_of(name) / std::to_string(number);
    }
    Path boot_folder_of(std::string_view name, std::uint32_t number) const {
        return version(name, number) / boot_folder;
    }
    Path instance(std::string_view name) const { return instances() / name; }
    Path own_boot_folder(std::string_view name) const { return instance(name) / boot_folder; }

    static constexpr const char* tags_file = "tags.json";
    static constexpr const char* template_file = "template.json";
    static constexpr const char* image_file = "image.raw";
    static constexpr const char* chunks_file = "chunks.xxh3";
    static constexpr const char* boot_folder = "boot";  ///< boot-helper/capture says what is in it
    static constexpr const char* instance_file = "instance.json";
    static constexpr const char* stream_file = "stream.json";  ///< in a folder of receiving/
    static constexpr const char* received_file = "received";   ///< there: records, in their order
    static constexpr const char* live_file = "live.cow";       ///< until the first snapshot

    /// Of a layer that is named by its uuid.
    static std::string layer_file(const Uuid& uuid) { return to_string(uuid) + ".cow"; }
};

/// What every operation on an open store works with.
struct Context {
    Layout layout;
    FileSystem files;
    Environment environment;
    Locking locking = Locking::none;
    Uuid boot_id;
    std::shared_ptr<ReadSums> read_sums = std::make_shared<ReadSums>();

    /// Bytes that may still be written, as the environment has it.
    Result<std::uint64_t> free_bytes() const {
        if (environment.free_bytes) return environment.free_bytes();
        return free_bytes_of(layout.root);
    }
};

/// "debian12@3"
inline std::string template_text(std::string_view name, std::uint32_t version) {
    return std::string(name) + "@" + std::to_string(version);
}

}  // namespace cowtgt::store
