#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "cow-store/base/result.h"
#include "cow-store/base/uuid.h"
#include "cow-store/store/environment.h"

namespace cowtgt::identity {
class BlockSource;
}

/// The directory of templates and instances (DESIGN: one directory per object, named as the user
/// named it; small metadata files are text, replaced atomically).
///
/// Everything here may wait for the disk and may be killed at any step: the next open() finds an
/// object either whole or not at all, and says what it cleaned up.
namespace cowtgt::store {

/// "debian12" or "debian12@3"; version 0 means: @stable if tagged, else the newest.
struct TemplateRef {
    std::string name;
    std::uint32_t version = 0;
    std::string tag;
};
Result<TemplateRef> parse_template_ref(std::string_view text);

/// Names of instances and templates: `[a-z0-9]([a-z0-9-]*[a-z0-9])?`, at most 63 bytes; init, tpl,
/// snap and mac-* are reserved. The error says which rule is broken.
Result<void> check_name(std::string_view name);
/// Tags of template versions: as labels.
Result<void> check_tag(std::string_view tag);
/// Labels of snapshots: as names, but none is reserved, and not digits alone.
Result<void> check_snapshot_label(std::string_view label);

/// One identity as it is on disk: "gpt disk", "partition 2", "ext4 partition 2".
struct IdentityItem {
    std::string where;  ///< "gpt", "partition 1", "ext4 on partition 2"
    std::string kind;   ///< "disk-guid", "partition-guid", "disk-signature", "fs-uuid"
    std::string label;  ///< of the file system or partition, if any
    std::string old_value;
    std::string new_value;     ///< empty when kept
    std::string kept_because;  ///< why it was kept, empty when it was changed
    std::string note;          ///< what to know although it was changed; mostly empty
};

/// What a template's disk holds in one place.
struct ContentItem {
    std::string where;   ///< "ext4 on partition 2", "gpt"
    std::string format;  ///< "gpt", "mbr", "ext", "xfs", ...
    std::string label;
    std::string uuid;
    std::uint64_t begin = 0;       ///< bytes from the start of the disk
    std::uint64_t size_bytes = 0;  ///< of the partition, or of the disk
    std::string problem;           ///< why its identity stays, "its journal ..."; empty: clean
};

/// What becomes of a text that names an identity, in clones that change all that they can.
enum class ReferenceFate : std::uint8_t {
    rewritten,
    left,          ///< a log or a cache: nothing goes by it
    fixed,         ///< it cannot be changed, so the value stays
    kept,          ///< it could be changed, but the value stays for another reason
    after_replay,  ///< told in each clone, whose journal is replayed first
};

/// A file of a template's disk that names an identity by its text.
struct ReferenceItem {
    std::string value;  ///< as it is written there
    std::string where;  ///< the file system; empty: outside of all
    std::string file;   ///< empty: not known
    ReferenceFate fate = ReferenceFate::rewritten;
    std::string reason;  ///< why it is not rewritten
};

struct TemplateInfo {
    std::string name;
    std::uint32_t version = 0;
    std::vector<std::string> tags;
    std::uint64_t size_bytes = 0;       ///< of the disk
    std::uint64_t allocated_bytes = 0;  ///< on the host
    std::uint32_t block_size = 512;
    std::string content_id;   ///< hash over the chunk hashes, hex; empty: not known yet
    bool verified = false;    ///< everything it consists of was hashed
    std::string imported_at;  ///< RFC 3339
    std::string source;
    std::string note;  ///< for people
    Uuid uuid;
    std::vector<IdentityItem> identity;  ///< what is there and would change at a clone
    std::vector<ContentItem> contents;   ///< in the order of the disk
    std::vector<ReferenceItem> references;
    std::vector<std::string> instances;  ///< who uses it
    std::string damage;  ///< why it cannot be used; empty: nothing is known to be wrong
};

/// Where an instance stands that goes back to its template at each boot. Means nothing for others.
enum class BootPhase : std::uint8_t {
    running,  ///< its machine may be running, or have run: what it wrote counts
    armed,    ///< the same, but a boot script was asked for
    fresh,    ///< is as its template for the boot under way; no system has logged in yet
};

struct InstanceInfo {
    std::string name;
    std::string template_name;  ///< empty: it stands on none
    std::uint32_t template_version = 0;
    std::uint64_t size_bytes = 0;
    std::uint64_t allocated_bytes = 0;  ///< of its own, on the host
    std::uint32_t block_size = 512;
    Uuid uuid;  ///< of the instance, new at each clone
    std::string created_at;
    std::vector<IdentityItem> identity;
    std::vector<std::string> snapshots;  ///< labels, from the oldest to the newest
    std::string origin;                  ///< "web01@before" for the clone of a snapshot, else empty
    BootPhase boot_phase = BootPhase::running;
    bool is_flattening = false;  ///< on its way to stand on no template
    std::string damage;          ///< why it cannot be used; empty: nothing is known to be wrong
};

struct SnapshotInfo {
    std::string instance;
    std::string label;
    std::string created_at;
    std::uint64_t size_bytes = 0;       ///< of the disk
    std::uint64_t allocated_bytes = 0;  ///< of its own layer, on the host
    std::vector<std::string> clones;    ///< instances that were cloned from it
    bool verified = false;              ///< its own layer was hashed
};

/// Bytes on the host.
struct SpaceInfo {
    std::string name;                ///< "web01", "debian12@3"
    std::uint64_t own_bytes = 0;     ///< nothing else stands on it, or it was made by this one
    std::uint64_t sealed_bytes = 0;  ///< of them, in the layers of snapshots
    std::uint64_t shared_bytes = 0;  ///< what it reads that others made: template, layers of others
    std::uint64_t freed_bytes = 0;   ///< what its removal gives back
};
struct StoreSpace {
    std::vector<SpaceInfo> instances;  ///< without those whose document cannot be read
    std::vector<SpaceInfo> templates;  ///< by version
    std::uint64_t total_bytes = 0;     ///< of all of them, each file counted once
    std::uint64_t free_bytes = 0;      ///< that may still be written
};

/// The file system that the store is on.
struct PoolSpace {
    std::uint64_t free_bytes = 0;   ///< that may still be written
    std::uint64_t total_bytes = 0;  ///< that there are
};

enum class RangeContent : std::uint8_t { data, zeros };
struct ChangedRange {
    std::uint64_t offset = 0;  ///< bytes
    std::uint64_t length = 0;  ///< bytes
    RangeContent content = RangeContent::data;

    friend bool operator==(const ChangedRange&, const ChangedRange&) = default;
};
/// What may read otherwise than before. A range that was written with what was there is listed.
struct Changes {
    std::string from;                   ///< "debian12@3", "web01@before"
    std::uint64_t size_bytes = 0;       ///< of the disk
    std::uint64_t from_size_bytes = 0;  ///< of the disk then
    std::vector<ChangedRange> ranges;   ///< in rising order, not overlapping
};

/// Called now and then with bytes done and bytes in all (0: unknown).
using Progress = std::function<void(std::uint64_t done, std::uint64_t total)>;

class ByteStream;  // byte_stream.h: what can be read once and in order
/// Takes what machines boot with (kernel, initrd) from the disk of a template and leaves it,
/// synced, in a folder that belongs to the version from then on. An error ends the import.
using FillBootFolder = std::function<Result<void>(const identity::BlockSource& disk,
                                                  const std::filesystem::path& folder)>;

struct ImportOptions {
    std::filesystem::path image;  ///< "-" is standard input
    /// What is read in the place of the file `image`, which then only names it: a download.
    std::shared_ptr<ByteStream> stream;
    std::string sha256;  ///< that the image, as it comes, has to have; empty: any
    std::string name;
    std::string note;  ///< for people
    Progress progress;
    FillBootFolder fill_boot_folder;  ///< empty: the version has no boot folder yet
};
struct ImportResult {
    TemplateInfo info;
    std::string twin;  ///< "debian12@2" when the same content is already there, else empty
};

enum class IdentityMode {
    automatic,  ///< new values wherever that is safe; the rest is kept, with the reason
    keep,       ///< the values of the template
    require,    ///< as automatic, but without an instance if a value had to be kept
};

/// What becomes of texts in files that name an identity which changes.
enum class ReferenceMode {
    rewrite,  ///< rewritten where that is safe, else the identity is kept
    keep,     ///< no file changes; an identity that one names is kept
    ignore,   ///< no file changes; identities change all the same
};

/// What becomes of the identity on the disk of a clone. Kept with the instance, for its resets.
struct IdentityWishes {
    /// A value for one file system, which is named by its place or by its label.
    struct Value {
        std::string target;
        std::string value;

        friend bool operator==(const Value&, const Value&) = default;
    };
    IdentityMode mode = IdentityMode::automatic;
    ReferenceMode references = ReferenceMode::rewrite;
    std::vector<Value> labels;
    std::vector<Value> uuids;
    bool grow_last_partition = false;  ///< to the end of a disk that is larger than the template

    friend bool operator==(const IdentityWishes&, const IdentityWishes&) = default;
};

struct CloneOptions {
    TemplateRef source;
    std::string name;
    std::uint64_t size_bytes = 0;  ///< 0: as the template; smaller is refused
    IdentityWishes identity;
    Uuid identity_seed;  ///< all new values follow from it; nil: a random one
};

struct CommitOptions {
    std::string instance;
    std::string name;  ///< of the template, which may be new
    /// Refused when a file system would keep its UUID in clones, as one does whose journal was not
    /// replayed.
    bool require_clean = false;
};

struct OpenedInstance;  // open_instance.h: what the data path needs
struct Context;         // layout.h: what the parts of the store share

enum class Locking {
    exclusive,  ///< the daemon, or a command when no daemon runs
    none,       ///< only reading immutable things and importing, beside a running daemon
};

class Store {
public:
    /// Makes an empty store in `directory`, which may exist if it is empty. Killed half way, it can
    /// be called again. exists: there is a store already; refused: other things lie there.
    static Result<void> create(const std::filesystem::path& directory,
                               const Environment& environment = {});
    /// in_use when another process holds it, naming its pid; unsupported for a newer format.
    static Result<std::unique_ptr<Store>> open(const std::filesystem::path& directory, Locking,
                                               const Environment& environment = {});
    ~Store();

    /// What opening found half made and removed or finished; one sentence each.
    const std::vector<std::string>& cleaned_up() const;

    /// Reads, hashes and writes the image beside the store's other objects, then makes it the next
    /// version of `name` by one rename. Safe beside a running daemon (any Locking).
    Result<ImportResult> import_template(const ImportOptions& options);
    /// One that is damaged is listed, with the reason, and does not hide the others.
    Result<std::vector<TemplateInfo>> templates() const;
    Result<TemplateInfo> find_template(const TemplateRef& ref) const;
    /// in_use while an instance is made on it, naming it. Version 0: all versions.
    Result<void> remove_template(const TemplateRef& ref);
    /// The disk of a template version, for reading; of any thread, one at a time.
    Result<std::unique_ptr<identity::BlockSource>> open_template(const TemplateRef& ref) const;
    /// For a version that was made without one, as by commit. exists: it has one. Safe beside a
    /// running daemon (any Locking).
    Result<void> add_boot_folder(const TemplateRef& ref, const FillBootFolder& fill);
    /// Where it is or would be.
    std::filesystem::path boot_folder(std::string_view name, std::uint32_t version) const;
    /// What this instance boots with: its template's, or its own once it stands on none.
    std::filesystem::path boot_folder(const InstanceInfo& info) const;

    /// Whether remove_template would be refused; else the bytes that it would give back.
    Result<std::uint64_t> try_remove_template(const TemplateRef& ref) const;

    /// Makes the tag name this version, whatever it named before.
    Result<TemplateInfo> tag_template(const TemplateRef& ref, std::string_view tag);
    /// At most 1000 bytes of printable text in one line; empty: none any more.
    Result<TemplateInfo> note_template(const TemplateRef& ref, std::string_view note);
    /// Makes the disk of an instance the next version of a template, in constant time and without
    /// a copy. As snapshot(), for who may use the instance meanwhile.
    Result<TemplateInfo> commit(const CommitOptions& options);

    Result<InstanceInfo> clone(const CloneOptions& options);
    /// As templates().
    Result<std::vector<InstanceInfo>> instances() const;
    /// At the cost of one folder, however many there are.
    Result<std::vector<std::string>> instance_names() const;
    Result<InstanceInfo> find_instance(std::string_view name) const;
    Result<void> remove_instance(std::string_view name);
    /// Whether remove_instance would be refused, but for being in use; else the bytes that it would
    /// give back.
    Result<std::uint64_t> try_remove_instance(std::string_view name) const;
    Result<void> rename_instance(std::string_view from, std::string_view to);
    /// Back to the template, with the same identity, in constant time.
    Result<void> reset_instance(std::string_view name);

    /// Durable when it returns; the instance may be in use.
    Result<void> set_boot_phase(std::string_view name, BootPhase phase);
    /// Back to the template with the same identity, and this phase, both at once or not at all.
    /// What the instance held becomes its snapshot "last", in the place of the one before. in_use
    /// as snapshot().
    Result<void> reset_for_boot(std::string_view name, BootPhase phase);

    /// Grows the disk; refused when it would shrink. Who serves the instance opens it again.
    Result<InstanceInfo> resize_instance(std::string_view name, std::uint64_t size_bytes);

    /// Seals what the instance holds, in constant time; it goes on with an empty layer on top.
    /// in_use while somebody has it open: whoever serves it closes it before. Empty label: the
    /// next of snap-1, snap-2, ... Errors: exists for the label; refused when it has too many
    /// layers.
    Result<SnapshotInfo> snapshot(std::string_view name, std::string_view label);
    Result<std::vector<SnapshotInfo>> snapshots(std::string_view name) const;
    /// Forgets the name, and the content that nothing else needs; the instance may be in use.
    /// in_use, naming them, when instances were cloned from it.
    Result<void> remove_snapshot(std::string_view name, std::string_view label);
    /// Whether remove_snapshot would be refused.
    Result<void> try_remove_snapshot(std::string_view name, std::string_view label) const;
    /// What was written since is gone, if no other snapshot has it. The size stays.
    Result<void> restore_snapshot(std::string_view name, std::string_view label);
    /// options.source is not looked at. Needs the same space and time as the clone of a template.
    Result<InstanceInfo> clone_snapshot(std::string_view name, std::string_view label,
                                        const CloneOptions& options);

    Result<StoreSpace> space() const;
    /// At the cost of one system call.
    Result<PoolSpace> pool() const;
    Result<SpaceInfo> space_of(std::string_view name) const;
    /// What differs between a snapshot (empty: what the instance holds now, which in_use refuses)
    /// and another one (empty: the template). The maps say it; no data is read.
    Result<Changes> changes(std::string_view name, std::string_view label, std::string_view from);

    /// Recovers the live layer and opens everything below it, for the data path. Waits (at most
    /// 5 s) for requests of a dead daemon that are still in the kernel.
    Result<std::unique_ptr<OpenedInstance>> open_instance(std::string_view name);

    /// The raw content, sparse, through `write` (offset, bytes), in order; runs of zeros are left
    /// out. Instances are recovered first; only for instances that no one serves.
    using Sink = std::function<Result<void>(std::uint64_t offset, std::span<const std::byte>)>;
    Result<void> export_instance(std::string_view name, const Sink& sink, const Progress& progress);
    Result<void> export_template(const TemplateRef& ref, const Sink& sink,
                                 const Progress& progress) const;
    Result<void> export_snapshot(std::string_view name, std::string_view label, const Sink& sink,
                                 const Progress& progress) const;

    /// For verification.h and check.h, whose work goes on beside everything else.
    const Context& context() const;

private:
    friend class Streams;  ///< streams.h: to and from other stores
    friend class Reshape;  ///< reshape.h: another template below, or none

    struct State;
    explicit Store(std::unique_ptr<State> state);
    std::unique_ptr<State> state_;
};

}  // namespace cowtgt::store
