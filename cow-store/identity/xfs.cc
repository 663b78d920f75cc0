#include "cow-store/identity/xfs.h"

#include <algorithm>
#include <cstring>
#include <optional>
#include <vector>

#include "cow-store/base/checksum.h"
#include "cow-store/identity/disk_text.h"
#include "cow-store/identity/xfs_dirty_log.h"
#include "cow-store/identity/xfs_layout.h"
#include "cow-store/identity/xfs_log_items.h"

namespace cowtgt::identity {

using xfs::CheckedRecord;
using xfs::DirtyLog;
using xfs::Log;
using xfs::Superblock;

namespace {

constexpr std::string_view superblock_role = "superblock";
constexpr std::string_view log_role = "log record";
constexpr std::string_view dirty_log_role = "log";

struct SuperblockCopy {
    std::uint64_t group;
    std::uint64_t offset;  ///< bytes from the start of the window
    Superblock sb;
    std::vector<std::byte> sector;  ///< whole, as it is hashed
};

/// Everything of the file system that a patch changes, read and found good.
struct XfsFileSystem {
    std::vector<SuperblockCopy> superblocks;  ///< the primary one first
    std::uint64_t log_offset;                 ///< bytes from the start of the window
    std::uint64_t log_length;                 ///< bytes
    CheckedRecord last_record;
    std::optional<DirtyLog> dirty;  ///< absent: it was unmounted, and the last record says so
};

std::uint32_t checksum_of(const SuperblockCopy& copy) {
    std::vector<std::byte> sector = copy.sector;
    Superblock sb = copy.sb;
    sb.sb_crc = 0;
    std::memcpy(sector.data(), &sb, sizeof(sb));
    return crc32c(sector);
}

Error impossible(std::string_view what) {
    return {ErrorCode::corrupt,
            "its superblock has impossible " + std::string(what) + ": run xfs_repair"};
}

bool is_size_of(std::uint32_t size, std::uint8_t log, std::uint32_t least, std::uint32_t most) {
    return size >= least && size <= most && log < 32 && size == 1U << log;
}

/// The numbers that say where things lie.
Result<void> check_geometry(const Window& window, const Superblock& sb) {
    const std::uint64_t block_size = sb.sb_blocksize.get();
    if (!is_size_of(sb.sb_blocksize.get(), sb.sb_blocklog, 512, 65536)) {
        return impossible("block size");
    }
    const std::uint64_t agblocks = sb.sb_agblocks.get();
    const std::uint64_t agcount = sb.sb_agcount.get();
    const std::uint64_t dblocks = sb.sb_dblocks.get();
    if (agblocks < 16 || agcount == 0 || sb.sb_agblklog > 31 ||
        agblocks > std::uint64_t{1} << sb.sb_agblklog || dblocks > agcount * agblocks ||
        dblocks <= (agcount - 1) * agblocks) {
        return impossible("allocation groups");
    }
    if (agcount > xfs::allocation_groups_max) {
        return Error{ErrorCode::refused, "it has more than " +
                                             std::to_string(xfs::allocation_groups_max) +
                                             " allocation groups"};
    }
    if (dblocks > window.length() / block_size) {
        return Error{ErrorCode::corrupt,
                     "it is larger than the space it lies in (was the image cut off?)"};
    }
    const std::uint64_t log_group = sb.sb_logstart.get() >> sb.sb_agblklog;
    const std::uint64_t log_block =
        sb.sb_logstart.get() & ((std::uint64_t{1} << sb.sb_agblklog) - 1);
    const std::uint64_t logblocks = sb.sb_logblocks.get();
    if (log_group >= agcount || logblocks == 0 || logblocks > agblocks ||
        log_block > agblocks - logblocks || logblocks * block_size > xfs::log_size_max ||
        log_group * agblocks + log_block + logblocks > dblocks) {
        return impossible("log");
    }
    return {};
}

Result<void> check_features(const Superblock& sb) {
    const auto refused = [](const char* reason) { return Error{ErrorCode::refused, reason}; };
    if (sb.sb_inprogress != 0) return refused("it was never finished by mkfs.xfs: make it anew");
    if (xfs::is_version_5(sb)) {
        if (sb.sb_features_compat.get() != 0 ||
            (sb.sb_features_ro_compat.get() & ~xfs::ro_compat_known) != 0 ||
            (sb.sb_features_incompat.get() & ~xfs::incompat_known) != 0 ||
            sb.sb_features_log_incompat.get() != 0) {
            return Error{ErrorCode::unsupported,
                         "it has features that this version does not know, which may depend on "
                         "the UUID: see xfs_info, and make it anew without them"};
        }
        if ((sb.sb_features_incompat.get() & xfs::incompat_needs_repair) != 0) {
            return refused("it is marked as needing repair: run xfs_repair");
        }
    }
    if (sb.sb_logstart.get() == 0) {
        return refused(
            "its log is on another device, which has the UUID too: make it anew with an internal "
            "log");
    }
    if (sb.sb_rblocks.get() != 0) {
        return refused("it has a realtime device: make it anew without one");
    }
    return {};
}

Result<SuperblockCopy> read_copy(const Window& window, std::uint64_t group, std::uint64_t offset,
                                 std::uint32_t sector_size) {
    SuperblockCopy copy{.group = group, .offset = offset, .sb = {}, .sector = {}};
    Result<std::vector<std::byte>> sector = window.read_bytes(offset, sector_size);
    if (!sector) return sector.error();
    copy.sector = *std::move(sector);
    std::memcpy(&copy.sb, copy.sector.data(), sizeof(copy.sb));
    return copy;
}

/// The primary one. Its checksum comes first: without it no other word can be believed.
Result<SuperblockCopy> read_primary(const Window& window) {
    const Result<Superblock> sb = window.read_struct<Superblock>(0);
    if (!sb) return sb.error();
    if (sb->sb_magicnum.get() != xfs::superblock_magic) {
        return Error{ErrorCode::corrupt, "the XFS file system is gone"};
    }
    if (!is_size_of(sb->sb_sectsize.get(), sb->sb_sectlog, 512, 32768)) {
        return impossible("sector size");
    }
    const std::uint32_t version = sb->sb_versionnum.get() & xfs::version_mask;
    if (version != 4 && version != 5) {
        return Error{ErrorCode::unsupported, "it is of an unknown version"};
    }
    Result<SuperblockCopy> copy = read_copy(window, 0, 0, sb->sb_sectsize.get());
    if (!copy) return copy;
    if (xfs::is_version_5(*sb) && checksum_of(*copy) != sb->sb_crc.get()) {
        return Error{ErrorCode::corrupt, "the checksum of its superblock is wrong: run xfs_repair"};
    }
    if (Result<void> good = check_features(*sb); !good) return good.error();
    if (Result<void> good = check_geometry(window, *sb); !good) return good.error();
    return copy;
}

/// The copies are not kept up to date in their counters.
Result<void> check_backup(const Superblock& primary, const SuperblockCopy& copy) {
    const Superblock& sb = copy.sb;
    const std::string name = "its superblock in group " + std::to_string(copy.group);
    if (sb.sb_magicnum != primary.sb_magicnum || sb.sb_uuid != primary.sb_uuid ||
        sb.sb_blocksize != primary.sb_blocksize || sb.sb_dblocks != primary.sb_dblocks ||
        sb.sb_agblocks != primary.sb_agblocks || sb.sb_agcount != primary.sb_agcount ||
        sb.sb_agblklog != primary.sb_agblklog || sb.sb_logstart != primary.sb_logstart ||
        sb.sb_logblocks != primary.sb_logblocks || sb.sb_sectsize != primary.sb_sectsize ||
        sb.sb_inodesize != primary.sb_inodesize ||
        xfs::is_version_5(sb) != xfs::is_version_5(primary) ||
        xfs::has_meta_uuid(sb) != xfs::has_meta_uuid(primary) ||
        (xfs::has_meta_uuid(sb) && sb.sb_meta_uuid != primary.sb_meta_uuid)) {
        return Error{ErrorCode::corrupt, name + " differs from the primary: run xfs_repair"};
    }
    if (xfs::is_version_5(sb) && checksum_of(copy) != sb.sb_crc.get()) {
        return Error{ErrorCode::corrupt, name + " has a wrong checksum: run xfs_repair"};
    }
    return {};
}

/// The superblock as transactions in the log have it: the kernel puts it back when it mounts. Gives
/// each image of it to `visit`, as far as it was logged.
template <typename Visit>
Result<void> each_logged_superblock(const DirtyLog& log, MutableBytes text, const Visit& visit) {
    const auto items = xfs::committed_items(log, text);
    if (!items) return items.error();
    for (const xfs::LogItem& item : *items) {
        if (item.type != xfs::buffer_item) continue;
        const auto changes = xfs::changes_of(item);
        if (!changes) return changes.error();
        if (changes->format.blf_blkno.get() != 0) continue;
        for (const xfs::BufferChanges::Run& run : changes->runs) {
            if (Result<void> done = visit(run); !done) return done;
        }
    }
    return {};
}

/// The bytes of a superblock from `offset`, where the run has all of them.
std::vector<MutableBytes> field_in(const xfs::BufferChanges::Run& run, std::uint64_t offset,
                                   std::uint64_t length) {
    std::vector<MutableBytes> parts;
    if (offset < run.offset || offset + length > run.offset + run.length) return parts;
    std::uint64_t begin = offset - run.offset;
    for (const MutableBytes piece : *run.region) {
        if (begin >= piece.size()) {
            begin -= piece.size();
            continue;
        }
        const std::uint64_t count = std::min<std::uint64_t>(length, piece.size() - begin);
        parts.push_back(piece.subspan(begin, count));
        length -= count;
        begin = 0;
        if (length == 0) break;
    }
    return parts;
}

void put_field(const xfs::BufferChanges::Run& run, std::uint64_t offset, Bytes value) {
    for (const MutableBytes part : field_in(run, offset, value.size())) {
        std::ranges::copy(value.first(part.size()), part.begin());
        value = value.subspan(part.size());
    }
}

Result<void> check_logged_superblocks(const DirtyLog& log, const Superblock& primary) {
    std::vector<std::byte> text = log.text;
    return each_logged_superblock(log, text, [&](const auto& run) -> Result<void> {
        const auto uuid =
            xfs::joined(field_in(run, offsetof(Superblock, sb_uuid), sizeof(primary.sb_uuid)));
        if (!uuid.empty() && !std::ranges::equal(uuid, primary.sb_uuid)) {
            return xfs::log_not_understood("a superblock in it has another UUID");
        }
        return {};
    });
}

/// Reads and checks the log. `log_record` is where its last record was when it was clean.
Result<void> read_log(const Window& window, std::optional<std::uint64_t> log_record,
                      const Superblock& sb, XfsFileSystem& fs) {
    const Log log = xfs::log_of(window, sb);
    fs.log_offset = log.offset();
    fs.log_length = log.length();
    std::uint64_t at = 0;
    if (log_record) {
        if (*log_record < log.offset()) return impossible("log");
        at = *log_record - log.offset();
    } else {
        const Result<std::uint64_t> newest = xfs::find_newest_record(log);
        if (!newest) return newest.error();
        at = *newest;
    }
    Result<CheckedRecord> last = xfs::read_record(log, at, sb.sb_uuid);
    if (!last) return std::move(last).error();
    const Result<bool> is_clean = xfs::is_clean_end(log, *last);
    if (!is_clean) return is_clean.error();
    fs.last_record = *std::move(last);
    if (*is_clean) return {};
    if (log_record) {
        return Error{ErrorCode::refused,
                     "it was mounted since the template was imported: import the image again"};
    }
    if (!xfs::is_version_5(sb)) {
        return Error{ErrorCode::refused,
                     "its log is not clean (the machine was running or crashed), and it is of "
                     "version 4: mount and unmount it once"};
    }
    Result<DirtyLog> dirty = xfs::read_dirty_log(log, sb.sb_uuid);
    if (!dirty) return std::move(dirty).error();
    fs.dirty = *std::move(dirty);
    return check_logged_superblocks(*fs.dirty, sb);
}

/// Reads and checks all that a patch changes. The error is the reason to keep the identity.
/// `log_record` is where the last record was found before, in bytes from the start of the window;
/// without it the whole log is searched.
Result<XfsFileSystem> read_file_system(const Window& window,
                                       std::optional<std::uint64_t> log_record) {
    Result<SuperblockCopy> primary = read_primary(window);
    if (!primary) return primary.error();
    const Superblock& sb = primary->sb;
    XfsFileSystem fs{};
    const std::uint64_t group_size = std::uint64_t{sb.sb_agblocks.get()} * sb.sb_blocksize.get();
    for (std::uint64_t group = 1; group < sb.sb_agcount.get(); ++group) {
        Result<SuperblockCopy> copy =
            read_copy(window, group, group * group_size, sb.sb_sectsize.get());
        if (!copy) return copy.error();
        if (Result<void> good = check_backup(sb, *copy); !good) return good.error();
        fs.superblocks.push_back(*std::move(copy));
    }
    if (Result<void> done = read_log(window, log_record, sb, fs); !done) {
        return std::move(done).error();
    }
    fs.superblocks.insert(fs.superblocks.begin(), *std::move(primary));
    return fs;
}

std::vector<Place> places_of(const Window& window, const XfsFileSystem& fs) {
    std::vector<Place> places;
    for (const SuperblockCopy& copy : fs.superblocks) {
        places.push_back({.role = std::string(superblock_role),
                          .offset = window.begin() + copy.offset,
                          .length = copy.sector.size(),
                          .number = copy.group});
    }
    if (fs.dirty) {
        places.push_back({.role = std::string(dirty_log_role),
                          .offset = window.begin() + fs.log_offset,
                          .length = fs.log_length,
                          .number = 0});
        return places;
    }
    places.push_back({.role = std::string(log_role),
                      .offset = window.begin() + fs.log_offset + fs.last_record.at,
                      .length = sizeof(xfs::LogRecordHeader),
                      .number = 0});
    return places;
}

std::optional<std::uint64_t> known_log_record(const Structure& structure, const Window& window) {
    const auto place = std::ranges::find(structure.places, log_role, &Place::role);
    if (place == structure.places.end() || place->offset < window.begin()) return std::nullopt;
    return place->offset - window.begin();
}

Finding uuid_finding(const std::string& where, const Superblock& sb) {
    return found(where, "fs-uuid", to_string(uuid_from_disk(sb.sb_uuid)),
                 text_from_disk(sb.sb_fname));
}

struct NewIdentity {
    std::array<std::byte, 16> uuid;
    std::array<std::byte, 12> fname;
};

Patch superblock_patch(const Window& window, SuperblockCopy copy, const NewIdentity& to) {
    Superblock& sb = copy.sb;
    if (xfs::is_version_5(sb) && !xfs::has_meta_uuid(sb)) {
        sb.sb_meta_uuid = sb.sb_uuid;
        sb.sb_features_incompat = sb.sb_features_incompat.get() | xfs::incompat_meta_uuid;
    }
    sb.sb_uuid = to.uuid;
    sb.sb_fname = to.fname;
    if (!xfs::is_version_5(sb)) {
        // Older copies end earlier: only what is defined in version 4 is written.
        constexpr std::size_t end_of_label =
            offsetof(Superblock, sb_fname) + sizeof(Superblock::sb_fname);
        return patch_at(window, copy.offset, bytes_of_struct(sb).first(end_of_label));
    }
    sb.sb_crc = checksum_of(copy);
    return patch_at(window, copy.offset, bytes_of_struct(sb));
}

/// The one record that the kernel looks at in a clean log.
Patch log_patch(const Window& window, const XfsFileSystem& fs, const NewIdentity& to) {
    CheckedRecord record = fs.last_record;
    record.header.h_fs_uuid = to.uuid;
    if (record.hashed_size != 0) record.header.h_crc = xfs::checksum_of(record);
    return patch_at(window, fs.log_offset + record.at, bytes_of_struct(record.header));
}

/// All records that the kernel replays, and in them the superblock.
Result<std::vector<Patch>> dirty_log_patches(const Window& window, const XfsFileSystem& fs,
                                             const NewIdentity& to, bool has_new_label) {
    const Superblock& primary = fs.superblocks.front().sb;
    const auto& meta_uuid = xfs::has_meta_uuid(primary) ? primary.sb_meta_uuid : primary.sb_uuid;
    std::vector<std::byte> text = fs.dirty->text;
    const auto put_identity = [&](const xfs::BufferChanges::Run& run) -> Result<void> {
        put_field(run, offsetof(Superblock, sb_uuid), to.uuid);
        if (has_new_label) put_field(run, offsetof(Superblock, sb_fname), to.fname);
        if (!xfs::is_version_5(primary)) return {};
        constexpr std::uint64_t features_offset = offsetof(Superblock, sb_features_incompat);
        const auto logged = xfs::joined(field_in(run, features_offset, sizeof(be32)));
        if (!logged.empty()) {
            be32 features;
            std::memcpy(&features, logged.data(), sizeof(features));
            features = features.get() | xfs::incompat_meta_uuid;
            put_field(run, features_offset, bytes_of_struct(features));
        }
        put_field(run, offsetof(Superblock, sb_meta_uuid), meta_uuid);
        return {};
    };
    Result<void> done = each_logged_superblock(*fs.dirty, text, put_identity);
    if (!done) return std::move(done).error();
    std::vector<Patch> patches = xfs::rewritten_records(*fs.dirty, to.uuid, text);
    for (Patch& patch : patches)
        patch.offset += window.begin() + fs.log_offset;
    return patches;
}

Result<NewIdentity> new_identity(const PatchRequest& request, const Superblock& primary) {
    NewIdentity to{};
    const Result<Uuid> uuid = chosen_uuid(request, "fs-uuid", uuid_from_disk(primary.sb_uuid));
    if (!uuid) return uuid.error();
    std::memcpy(to.uuid.data(), uuid->bytes.data(), to.uuid.size());
    to.fname = primary.sb_fname;
    if (request.label) {
        const Result<void> fits = check_label(*request.label, to.fname.size(), "XFS");
        if (!fits) return fits.error();
        to.fname = {};
        std::memcpy(to.fname.data(), request.label->data(), request.label->size());
    }
    return to;
}

}  // namespace

Result<Superblock> xfs::read_superblock(const Window& window) {
    const Result<SuperblockCopy> primary = read_primary(window);
    if (!primary) return primary.error();
    return primary->sb;
}

Result<std::optional<Structure>> examine_xfs(const Window& window, const std::string& place) {
    if (!window.contains(0, sizeof(Superblock))) return std::optional<Structure>();
    const Result<Superblock> sb = window.read_struct<Superblock>(0);
    if (!sb) return sb.error();
    if (sb->sb_magicnum.get() != xfs::superblock_magic) return std::optional<Structure>();
    Structure structure = structure_in(window, "xfs", "XFS", place);
    structure.findings.push_back(uuid_finding(structure.where, *sb));
    const Result<XfsFileSystem> fs = read_file_system(window, std::nullopt);
    if (!fs) return with_places(std::move(structure), fs.error());
    return with_places(std::move(structure), places_of(window, *fs));
}

Result<Patching> patch_xfs(const PatchRequest& request) {
    const Window& window = request.window;
    const Result<XfsFileSystem> fs =
        read_file_system(window, known_log_record(request.structure, window));
    if (!fs) return fs.error();
    if (Result<void> same = check_places(request.structure, places_of(window, *fs)); !same) {
        return same.error();
    }
    const Superblock& primary = fs->superblocks.front().sb;
    const Result<NewIdentity> to = new_identity(request, primary);
    if (!to) return to.error();

    Patching patching;
    for (const SuperblockCopy& copy : fs->superblocks)
        patching.patches.push_back(superblock_patch(window, copy, *to));
    if (fs->dirty) {
        auto records = dirty_log_patches(window, *fs, *to, request.label.has_value());
        if (!records) return std::move(records).error();
        std::ranges::move(*records, std::back_inserter(patching.patches));
    } else {
        patching.patches.push_back(log_patch(window, *fs, *to));
    }
    Finding uuid = changed(uuid_finding(request.structure.where, primary),
                           to_string(uuid_from_disk(to->uuid)));
    if (xfs::is_version_5(primary) && !xfs::has_meta_uuid(primary)) {
        uuid.note = "the feature meta_uuid is on now: Linux 4.3 or newer reads it";
    }
    patching.findings.push_back(uuid);
    if (request.label) {
        patching.findings.push_back(changed_label(uuid, text_from_disk(to->fname)));
    }
    return patching;
}

}  // namespace cowtgt::identity
