#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "cow-store/base/bytes.h"
#include "cow-store/base/result.h"
#include "cow-store/base/units.h"
#include "cow-store/base/uuid.h"

/// What must differ between clones on disk: GPT and partition GUIDs, MBR disk signatures, UUIDs of
/// file systems. Found out once, when a template is imported (examine), and changed at each clone
/// in constant time (make_patches).
///
/// Pure: blocks in, patches out. Nothing here writes, draws random numbers or looks at a clock.
/// Everything is validated before the first patch is made, and one structure is patched either in
/// all its copies or not at all: half an identity is worse than an old one.
/// Threads: none; the values are plain and may be copied anywhere.
namespace cowtgt::identity {

/// The image as it is now: memory in a test, a template or the clone of one in the store.
class BlockSource {
public:
    virtual ~BlockSource() = default;
    /// Fills `into`. Requires: offset + into.size() <= size().
    virtual Result<void> read(std::uint64_t offset, MutableBytes into) const = 0;
    virtual std::uint64_t size() const = 0;  ///< bytes
};

/// One identity on the disk, for people and for the JSON of templates and instances.
struct Finding {
    std::string where;         ///< "gpt", "mbr", "partition 1", "ext4 on partition 2"
    std::string kind;          ///< "disk-guid", "partition-guid", "disk-signature", "fs-uuid",
                               ///< "fs-label" (only when changed on request)
    std::string label;         ///< of the file system or partition, in UTF-8; may be empty
    std::string old_value;     ///< as blkid prints it; empty when it was not read
    std::string new_value;     ///< empty in a recipe, and when kept
    std::string kept_because;  ///< why it cannot be changed and how to mend it; empty: it can
    std::string note;          ///< what the user should know although it is changed; mostly empty

    friend bool operator==(const Finding&, const Finding&) = default;
};

/// A run of bytes that holds one copy of something to be patched.
struct Place {
    std::string role;          ///< the format's own word: "superblock", "header", "descriptors"
    std::uint64_t offset = 0;  ///< bytes from the start of the disk
    std::uint64_t length = 0;  ///< bytes
    std::uint64_t number = 0;  ///< which copy: a block group, say

    friend bool operator==(const Place&, const Place&) = default;
};

/// One partition table or file system.
struct Structure {
    std::string format;         ///< "gpt", "mbr", "ext"; the name of a row in formats.cc
    std::string where;          ///< as in its findings
    std::uint64_t begin = 0;    ///< bytes from the start of the disk
    std::uint64_t length = 0;   ///< bytes; nothing outside of it is read or patched
    std::vector<Place> places;  ///< every copy; empty when kept
    std::vector<Finding> findings;
    std::string kept_because;   ///< not empty: nothing of it is ever patched
    bool needs_replay = false;  ///< kept for its journal only, which replay_journals can replay

    friend bool operator==(const Structure&, const Structure&) = default;
};

/// What can become of a text in the image that names an identity, when that identity changes.
enum class ReferenceKind {
    rewritable,  ///< it lies in plain text of a live file whose content has no checksum
    history,     ///< in a log or a cache: it tells what was, and nothing goes by it
    fixed,       ///< it may not or cannot be changed where it is, so the identity has to stay
    reader,      ///< no text: a boot loader that could not read the file system with another UUID
};

/// A place in the image that names an identity by its text, as fstab does with UUID=.
struct Reference {
    std::string text;  ///< as it stands there; the digits alone of a disk signature
    ReferenceKind kind = ReferenceKind::fixed;
    std::uint64_t offset = 0;  ///< of the text, bytes from the start of the disk
    std::string where;         ///< the structure that it lies in; empty: none
    std::string file;          ///< "/etc/fstab"; empty: no file, or not known
    std::string reason;        ///< why it is fixed or history

    friend bool operator==(const Reference&, const Reference&) = default;
};

/// A structure whose files cannot be searched for references.
struct Unsearchable {
    std::string where;
    std::string reason;         ///< "it is encrypted"
    bool names_itself = false;  ///< its files may be the ones that mount it

    friend bool operator==(const Unsearchable&, const Unsearchable&) = default;
};

/// Everything a clone needs to know about its template, stored beside it (public fields only, so
/// that it is written to JSON and read back field by field). A recipe that was damaged or does not
/// fit the image never makes a bad patch: the structures it names are kept, with the reason.
struct Recipe {
    std::uint32_t version = 2;       ///< of this struct's meaning; 1 knew no references
    std::uint32_t block_size = 512;  ///< logical block size of the disk: 512, or 4096 by its GPT
    std::uint64_t disk_size = 0;     ///< bytes
    std::vector<Structure> structures;
    std::vector<Reference> references;  ///< by offset; found by cow-store/references
    std::vector<Unsearchable> unsearchable;

    friend bool operator==(const Recipe&, const Recipe&) = default;
};
inline constexpr std::uint32_t recipe_version = 2;

/// Reads what is on the image, all but the references. Unknown, damaged or unsafe structures are no
/// error: they are listed as kept. An Error means that the image could not be read.
Result<Recipe> examine(const BlockSource& image);

/// All findings of a recipe, in the order of the disk, for display.
std::vector<Finding> findings_of(const Recipe& recipe);

/// An explicit wish for one file system.
struct Override {
    std::string target;  ///< its `where`, or its label as it is on the image
    std::string value;   ///< the new label or the new UUID as text, as blkid prints it
};

/// Whether what nobody asked for by name changes.
enum class Values { derived_from_seed, as_in_image };

/// What becomes of the space behind the last partition when the clone is larger than its image.
enum class Growth { leave_free, last_partition };

/// What becomes of the texts in files that name an identity which changes.
enum class References {
    rewrite,  ///< changed in place; an identity with one that cannot be is kept
    keep,     ///< no file changes: an identity that a file names is kept
    ignore,   ///< no file changes, and identities change all the same
};

/// Who the clone will be. The same choice on the same image gives the same patches.
struct IdentityChoice {
    /// Every new value is derived from it and from the value's own name on the disk, so one fresh
    /// random seed per instance gives all of them, and a reset with the stored seed the same again.
    Uuid seed;
    /// Bytes; 0: as the image. If larger, the backup GPT moves to the new end. Never smaller.
    std::uint64_t disk_size = 0;
    Growth growth = Growth::leave_free;
    Values values = Values::derived_from_seed;
    References references = References::rewrite;
    std::vector<Override> labels;
    std::vector<Override> uuids;
};

/// Bytes to be written over the clone's content at a byte offset of the disk.
struct Patch {
    std::uint64_t offset = 0;
    std::vector<std::byte> bytes;

    friend bool operator==(const Patch&, const Patch&) = default;
};

/// What journals would write when their file systems are mounted.
struct Replay {
    std::vector<Patch> patches;  ///< ascending, without overlap
    struct Failure {
        std::string where;
        std::string reason;
    };
    std::vector<Failure> failures;  ///< structures whose journals are as they were
};
/// Replays the journals of all structures that need it, on paper: lay the patches over the image
/// (PatchedSource) and examine that. An Error means that the image could not be read.
Result<Replay> replay_journals(const Recipe& recipe, const BlockSource& image);

struct Patching {
    std::vector<Patch> patches;     ///< ascending, without overlap
    std::vector<Finding> findings;  ///< old and new, or kept and why; in the recipe's order
};

/// Makes the patches that give `image` (the template's content, or a clone's) the identity of
/// `choice`. Reads only the places of the recipe and validates them again; what no longer holds is
/// kept with the reason. Errors: the image cannot be read; a smaller disk; an override that names
/// nothing, or whose value is not possible (usage).
Result<Patching> make_patches(const Recipe& recipe, const BlockSource& image,
                              const IdentityChoice& choice);

/// One whole cluster of the disk as a layer stores it.
struct Cluster {
    ClusterIndex index;
    std::array<std::byte, cluster_size> bytes{};
};

/// The clusters that `patches` touch, with the image's content around them; past the end of the
/// image there are zeros. Ascending, one for each cluster touched.
/// Requires: patches as make_patches returns them.
Result<std::vector<Cluster>> to_clusters(const std::vector<Patch>& patches,
                                         const BlockSource& image);

}  // namespace cowtgt::identity
