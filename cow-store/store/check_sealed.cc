#include "cow-store/store/check_sealed.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <memory>
#include <optional>
#include <utility>

#include "cow-store/file_posix.h"
#include "cow-store/store/catalogue.h"
#include "cow-store/store/workplace.h"
#include "cow-store/volume/examine_layer.h"

namespace cowtgt::store {

namespace {

/// Looking for the one bit that is wrong takes some seconds for a chunk.
constexpr std::size_t chunks_located_max = 16;

/// Parts of the disk whose clusters lie in [begin, end) of a layer file.
std::vector<ByteRange> guest_ranges(const ClusterMap& map, ByteRange place) {
    std::vector<ByteRange> ranges;
    const auto add = [&ranges](ByteRange range) {
        if (!ranges.empty() && ranges.back().end == range.begin) {
            ranges.back().end = range.end;
        } else {
            ranges.push_back(range);
        }
    };
    for (auto index = map.next_used_leaf(0); index; index = map.next_used_leaf(*index + 1)) {
        const Leaf& leaf = *map.leaf(*index);
        for (std::uint32_t at = 0; at < clusters_per_leaf;) {
            const Leaf::Piece piece = leaf.find(at, clusters_per_leaf - at);
            const std::uint64_t begin = byte_offset(piece.value);
            const std::uint64_t end = begin + piece.count * std::uint64_t{unit_size};
            if (is_data(piece.value) && begin < place.end && end > place.begin) {
                const std::uint64_t guest =
                    (std::uint64_t{*index} * clusters_per_leaf + at) * cluster_size;
                const std::uint64_t first = std::max(begin, place.begin);
                add({guest + (first - begin), guest + (std::min(end, place.end) - begin)});
            }
            at += piece.count;
        }
    }
    return ranges;
}

/// Writes into a sealed file, which keeps its time: to its users it never changed.
Result<void> rewrite(const SealedFile& file, std::uint64_t offset, Bytes bytes) {
    struct stat before {};
    if (::stat(file.path.c_str(), &before) != 0) {
        return system_error("looking at " + file.path.string(), errno);
    }
    const Result<Descriptor> opened = open_descriptor(file.path, O_RDWR);
    if (!opened) return opened.error();
    Result<void> written = write_all_at(opened->get(), offset, bytes, file.path.string());
    if (!written) return written;
    const std::array<timespec, 2> times = {before.st_atim, before.st_mtim};
    if (::futimens(opened->get(), times.data()) != 0 || ::fsync(opened->get()) != 0) {
        return system_error("syncing " + file.path.string(), errno);
    }
    return {};
}

/// One sealed file while it is checked.
class SealedCheck {
public:
    SealedCheck(const Context& context, const SealedUse& use,
                const std::vector<std::string>& objects, const CheckOptions& options,
                CheckReport& report)
        : context_(context),
          file_(use.file),
          objects_(objects),
          options_(options),
          report_(report) {}

    Result<void> run(const Pace& pace) {
        const Result<Descriptor> opened = open_for_scan(file_.path);
        if (!opened) {
            add({.sentence = opened.error().os_errno == ENOENT
                                 ? sealed_name(file_) + " is gone; restore it from a backup"
                                 : opened.error().message});
            return {};
        }
        const Result<Fingerprint> found = fingerprint_of(opened->get(), file_.path);
        if (!found) return found.error();
        if (found->size != file_.fingerprint.size) {
            add({.sentence = sealed_name(file_) + " has " + std::to_string(found->size) +
                             " bytes instead of " + std::to_string(file_.fingerprint.size) +
                             "; restore it from a backup"});
            return {};
        }
        if (file_.kind == SealedFile::Kind::layer) load_map();
        const std::optional<std::vector<std::uint64_t>> hashes = find_hashes(opened->get(), pace);
        Result<void> done;
        if (hashes) done = compare(opened->get(), *hashes, pace);
        if (done && file_.kind == SealedFile::Kind::layer) examine();
        ++report_.files;
        return done;
    }

private:
    void add(CheckFinding finding) {
        finding.file = file_.path.string();
        finding.objects = objects_;
        report_.findings.push_back(std::move(finding));
    }

    void load_map() {
        const Result<std::unique_ptr<PosixFile>> file = PosixFile::open(file_.path, O_RDONLY);
        if (!file) return;
        Result<LayerExamination> found = examine_layer(**file, LayerUse::at_rest, context_.boot_id);
        if (found) map_ = std::move(found->map);
    }

    /// What the map's own checksums say, after the chunks were compared and perhaps repaired.
    void examine() {
        const Result<std::unique_ptr<PosixFile>> file = PosixFile::open(file_.path, O_RDONLY);
        if (!file) return;
        const Result<LayerExamination> found =
            examine_layer(**file, LayerUse::at_rest, context_.boot_id);
        if (!found) {
            add({.sentence = found.error().message});
            return;
        }
        for (const LayerDamage& damage : found->damage) {
            CheckFinding finding{
                .place = {damage.offset, damage.offset + damage.length},
                .sentence = damage.what + "; restore " + file_.path.string() + " from a backup"};
            if (damage.guest_end > damage.guest_begin) {
                finding.guest = {{damage.guest_begin, damage.guest_end}};
            }
            add(std::move(finding));
        }
        if (found->summary && found->summary->uuid != file_.uuid) {
            add({.sentence = file_.path.string() + " is another layer than the one that belongs "
                                                   "there; restore it from a backup"});
        }
    }

    /// Nothing: there are none to compare with, or they are damaged themselves.
    std::optional<std::vector<std::uint64_t>> find_hashes(int fd, const Pace& pace) {
        SealedFile hashed = file_;
        if (file_.kind == SealedFile::Kind::layer) {
            const Result<std::optional<SumsDocument>> sums = load_sums(context_, file_.uuid);
            if (sums && !*sums && file_.content_id == 0) {
                add({.kind = CheckFinding::Kind::notice,
                     .sentence = sealed_name(file_) +
                                 " is not hashed yet, so only its map could be "
                                 "checked; the daemon does it when it runs"});
                return std::nullopt;
            }
            if (hashed.content_id == 0 && sums) hashed.content_id = (*sums)->content_id;
        }
        Result<std::vector<std::uint64_t>> hashes = load_table(hashed);
        if (hashes) return std::move(*hashes);
        add({.sentence = hashes.error().message});
        report_.findings.back().file = hashed.table.string();
        if (options_.repair && hashed.content_id != 0) return make_table(hashed, fd, pace);
        return std::nullopt;
    }

    /// The table again, if the file is the one that the content id proves.
    std::optional<std::vector<std::uint64_t>> make_table(const SealedFile& hashed, int fd,
                                                         const Pace& pace) {
        CheckFinding& finding = report_.findings.back();
        const Result<Workplace> workplace =
            Workplace::make(context_, Work::replace, to_string(file_.uuid));
        if (!workplace) return std::nullopt;
        const std::filesystem::path path = workplace->path() / Layout::chunks_file;
        const Result<std::unique_ptr<File>> table = context_.files.create_file(path);
        if (!table) return std::nullopt;
        const Result<std::uint64_t> id =
            hash_file(fd, file_.fingerprint.size, sealed_name(file_), **table, pace);
        if (!id || *id != hashed.content_id) {
            finding.sentence =
                hashed.table.string() + " and " + sealed_name(file_) +
                " do not belong together, and neither is what it was; restore both from a backup";
            return std::nullopt;
        }
        Result<void> done = (*table)->sync_data();
        if (done) done = context_.files.rename(path, hashed.table);
        if (done) done = context_.files.sync_directory(hashed.table.parent_path());
        if (!done) return std::nullopt;
        finding.kind = CheckFinding::Kind::repaired;
        finding.sentence = hashed.table.string() + " was damaged and was made again";
        Result<std::vector<std::uint64_t>> hashes = load_table(hashed);
        return hashes ? std::optional{std::move(*hashes)} : std::nullopt;
    }

    Result<void> compare(int fd, const std::vector<std::uint64_t>& hashes, const Pace& pace) {
        return compare_file(fd, file_.fingerprint.size, sealed_name(file_), hashes, pace,
                            [&](std::uint64_t offset, Bytes chunk) -> Result<void> {
                                const std::uint64_t index = offset / chunk_size;
                                damaged(offset, chunk, index < hashes.size() ? hashes[index] : 0);
                                return {};
                            });
    }

    void damaged(std::uint64_t offset, Bytes chunk, std::uint64_t hash) {
        CheckFinding finding{.place = {offset, offset + chunk.size()}};
        std::vector<std::byte> mended(chunk.begin(), chunk.end());
        std::optional<std::uint64_t> bit;
        if (located_ < chunks_located_max) {
            ++located_;
            bit = mend_single_bit(mended, hash, chunk_hash);
        }
        if (bit) finding.place = {offset + *bit / 8, offset + *bit / 8 + 1};
        finding.guest =
            file_.kind == SealedFile::Kind::image
                ? std::vector<ByteRange>{finding.place}
                : (map_ ? guest_ranges(*map_, finding.place) : std::vector<ByteRange>{});
        finding.sentence = place_text(finding.place, bit.has_value());
        if (bit && options_.repair) {
            const Bytes byte = Bytes{mended}.subspan(*bit / 8, 1);
            const Result<void> written = rewrite(file_, offset + *bit / 8, byte);
            finding.kind = written ? CheckFinding::Kind::repaired : finding.kind;
            finding.sentence += written ? "; it was flipped back" : "; " + written.error().message;
        } else if (bit) {
            finding.sentence += "; `cowtgt check --repair` flips it back";
        } else {
            finding.sentence += "; restore it from a backup";
        }
        add(std::move(finding));
    }

    std::string place_text(ByteRange place, bool is_one_bit) const {
        if (is_one_bit) {
            return sealed_name(file_) + " has one bit flipped in byte " +
                   std::to_string(place.begin);
        }
        return sealed_name(file_) + " differs within the bytes from " +
               std::to_string(place.begin) + " to " + std::to_string(place.end - 1);
    }

    const Context& context_;
    const SealedFile& file_;
    const std::vector<std::string>& objects_;
    const CheckOptions& options_;
    CheckReport& report_;
    std::unique_ptr<ClusterMap> map_;  ///< of a layer, as far as it can be read
    std::size_t located_ = 0;          ///< chunks in which the wrong bit was looked for
};

}  // namespace

Result<void> check_sealed_file(const Context& context, const SealedUse& use,
                               const std::vector<std::string>& objects, const CheckOptions& options,
                               const Pace& pace, CheckReport& report) {
    return SealedCheck(context, use, objects, options, report).run(pace);
}

}  // namespace cowtgt::store
