#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "cow-store/base/result.h"
#include "cow-store/base/uuid.h"
#include "cow-store/descriptor.h"
#include "cow-store/store/documents.h"
#include "cow-store/volume/chunk_sums.h"

/// Files that never change again, images and sealed layers: how it is known that they did not.
///
/// Each has a table of hashes (content.h) and a content id that proves the table. An image has them
/// from its import on. For a sealed layer they are made in the background after it was sealed, and
/// lie in STORE/sums under its uuid: UUID.xxh3, and UUID.json with its content id.
namespace cowtgt::store {

struct Context;

/// A file as those who stand on it know it.
struct SealedFile {
    enum class Kind { image, layer };

    Kind kind = Kind::layer;
    Uuid uuid;
    std::filesystem::path path;
    Fingerprint fingerprint;       ///< when it was sealed, or last verified
    std::uint64_t content_id = 0;  ///< 0: it was not hashed yet
    std::filesystem::path table;   ///< its hashes
};

/// A sealed file, open for reading.
struct OpenedFile {
    Descriptor file;
    /// Not null: it may be another file than the one that was sealed, so each chunk that is read
    /// must match these sums, until they are believed.
    std::shared_ptr<ChunkSums> sums;
    std::string name;  ///< sealed_name()
};

/// The sums of files that are verified at read, each loaded once for all who read it.
/// Threads: any.
class ReadSums {
public:
    /// Null: nobody has it.
    std::shared_ptr<ChunkSums> find(std::uint64_t inode) const;
    /// The one that is there already, or else `sums`.
    std::shared_ptr<ChunkSums> keep(std::uint64_t inode, std::shared_ptr<ChunkSums> sums);
    /// The whole file turned out to be right.
    void believe(std::uint64_t inode);

private:
    mutable std::mutex mutex_;
    std::map<std::uint64_t, std::weak_ptr<ChunkSums>> sums_;  ///< by inode; guarded by mutex_
};

/// Opens the file. Same size, time and inode as known: nothing more is looked at. Another size:
/// refused. Only another time or inode, as after a restore from a backup: its sums come with it;
/// refused if there are none to verify it by.
Result<OpenedFile> open_sealed_file(const Context& context, const SealedFile& file);

/// Where bytes are read that may have to be verified first.
struct ReadableFile {
    int descriptor = -1;
    const ChunkSums* sums = nullptr;  ///< null: nothing to verify by
    std::string name;                 ///< for messages

    /// Each chunk that is read has to match its sum.
    bool is_in_doubt() const { return sums != nullptr && !sums->believed(); }
};
ReadableFile readable(const OpenedFile& file);
/// Fills `into` from `offset`. corrupt: with the place, when a chunk is not what its sum says, or
/// when the file is too short.
Result<void> read_verified(const ReadableFile& file, std::uint64_t offset, MutableBytes into);

/// corrupt: a chunk of a sealed file is another.
Error chunk_differs(const std::string& sealed_name, std::uint64_t offset);

/// What is known of a sealed layer; nothing: it was not hashed yet. Errors: corrupt.
Result<std::optional<SumsDocument>> load_sums(const Context& context, const Uuid& layer);

/// The table of a file, if it is the one that its content id proves; corrupt otherwise.
Result<std::vector<std::uint64_t>> load_table(const SealedFile& file);

/// "the image PATH of template debian12@1", "the sealed layer PATH"
std::string sealed_name(const SealedFile& file);

}  // namespace cowtgt::store
