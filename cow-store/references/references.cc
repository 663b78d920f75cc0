#include "cow-store/references/references.h"

#include <algorithm>
#include <array>
#include <map>
#include <memory>
#include <string_view>
#include <utility>

#include "cow-store/base/endian.h"
#include "cow-store/identity/ext_layout.h"
#include "cow-store/identity/reference_plan.h"
#include "cow-store/references/boot_archive.h"
#include "cow-store/references/files.h"
#include "cow-store/references/grub.h"

namespace cowtgt::references {

using identity::BlockSource;
using identity::Recipe;
using identity::Reference;
using identity::ReferenceKind;
using identity::Structure;
using identity::Unsearchable;
using identity::Window;

namespace {

constexpr std::uint64_t boot_archive_max = std::uint64_t{1} << 30;  ///< bytes
constexpr std::uint64_t text_file_max = std::uint64_t{16} << 20;    ///< bytes searched once more

/// Paths below which files only tell what was. /var may be a file system of its own.
constexpr std::array<std::string_view, 14> history = {"/var/log/",
                                                      "/var/cache/",
                                                      "/var/tmp/",
                                                      "/var/backups/",
                                                      "/var/crash/",
                                                      "/log/",
                                                      "/cache/",
                                                      "/backups/",
                                                      "/crash/",
                                                      "/tmp/",
                                                      "/run/",
                                                      "/lost+found/",
                                                      "/var/lib/systemd/coredump/",
                                                      "/root/.bash_history"};

/// GRUB's own reader of ext, where grub-install puts it on the root or on a partition for /boot.
constexpr std::array<std::string_view, 8> grub_modules = {
    "/boot/grub/i386-pc/ext2.mod",  "/boot/grub/x86_64-efi/ext2.mod",
    "/boot/grub2/i386-pc/ext2.mod", "/boot/grub2/x86_64-efi/ext2.mod",
    "/grub/i386-pc/ext2.mod",       "/grub/x86_64-efi/ext2.mod",
    "/grub2/i386-pc/ext2.mod",      "/grub2/x86_64-efi/ext2.mod"};
constexpr std::uint64_t grub_module_max = std::uint64_t{1} << 20;  ///< bytes

/// How the files of one kind of file system are found.
struct FilesRow {
    std::string_view format;
    Result<std::unique_ptr<Files>> (*open)(const Window& window);
};
constexpr std::array openers = {
    FilesRow{"ext", open_ext_files},
    FilesRow{"fat", open_fat_files},
    FilesRow{"xfs", open_xfs_files},
};

const FilesRow* opener_of(const Structure& structure) {
    const auto* row = std::ranges::find(openers, structure.format, &FilesRow::format);
    return row == openers.end() ? nullptr : row;
}

bool is_partition_table(const Structure& structure) {
    return structure.format == "gpt" || structure.format == "mbr";
}

bool is_history(std::string_view path) {
    return std::ranges::any_of(history,
                               [path](std::string_view below) { return path.starts_with(below); });
}

bool is_plain_text(Bytes bytes) {
    return std::ranges::find(bytes, std::byte{0}) == bytes.end();
}

/// References of one file system.
class Searcher {
public:
    Searcher(const BlockSource& image, const Structure& structure,
             const std::vector<std::string>& texts)
        : structure_(structure), texts_(texts), window_(image, structure.begin, structure.length) {}

    Result<std::vector<Reference>> run(const std::vector<Occurrence>& found) {
        // Memory of the past; and what is in the clear in LUKS is its own header.
        if (structure_.format == "swap" || structure_.format == "luks") {
            return std::vector<Reference>();
        }
        const FilesRow* row = opener_of(structure_);
        if (row == nullptr) {
            add_all(found, "files are not looked for in this format");
            return std::move(references_);
        }
        if (!structure_.kept_because.empty() && !found.empty()) {
            add_all(found, "whose it is cannot be told: " + structure_.kept_because);
        }
        if (!structure_.kept_because.empty()) return std::move(references_);
        Result<void> done;
        auto files = row->open(window_);
        if (files) {
            done = look_up(**files, found);
            if (done) done = search_boot_archives(**files);
            if (done && structure_.format == "ext") done = look_for_old_grub(**files);
        } else {
            done = files.error();
        }
        if (!done && !identity::is_reason_to_keep(done.error())) return done.error();
        if (!done) {
            references_.clear();
            add_all(found, "whose it is cannot be told: " + done.error().message);
        }
        return std::move(references_);
    }

private:
    void add(const Occurrence& one, ReferenceKind kind, std::string file, std::string reason) {
        references_.push_back({.text = one.text,
                               .kind = kind,
                               .offset = one.offset,
                               .where = structure_.where,
                               .file = std::move(file),
                               .reason = std::move(reason)});
    }

    void add_all(const std::vector<Occurrence>& found, const std::string& reason) {
        for (const Occurrence& one : found)
            add(one, ReferenceKind::fixed, "", reason);
    }

    /// A text may begin in one block and end in the next, so both its ends are looked up.
    Result<void> look_up(Files& files, const std::vector<Occurrence>& found) {
        if (found.empty()) return {};
        std::vector<std::uint64_t> offsets;
        for (const Occurrence& one : found) {
            offsets.push_back(one.offset - window_.begin());
            offsets.push_back(offsets.back() + one.text.size() - 1);
        }
        const auto owners = files.owners_of(offsets);
        if (!owners) return owners.error();
        for (std::size_t i = 0; i < found.size(); ++i) {
            Result<void> done = judge(found[i], (*owners)[2 * i], (*owners)[2 * i + 1]);
            if (!done) return done;
        }
        return check_split_texts(files);
    }

    Result<void> judge(const Occurrence& one, const Owner& first, const Owner& last) {
        using Kind = Owner::Kind;
        if (first.kind == Kind::nobody || last.kind == Kind::nobody) return {};
        if (first.kind == Kind::file && last.kind == Kind::file &&
            (first.path != last.path || last.position != first.position + one.text.size() - 1)) {
            return {};  // ends of two files that only lie side by side
        }
        for (const Owner* owner : {&first, &last}) {
            if (is_history(owner->path)) {
                add(one, ReferenceKind::history, owner->path, "it is a log or a cache");
                return {};
            }
            if (owner->kind == Kind::untouchable) {
                add(one, ReferenceKind::fixed, owner->path, owner->reason);
                return {};
            }
            const auto around = window_.read_bytes(owner->run_begin, owner->run_length);
            if (!around) return around.error();
            if (!is_plain_text(*around)) {
                add(one, ReferenceKind::fixed, owner->path,
                    "it is no text, and may have checksums of its own");
                return {};
            }
        }
        add(one, ReferenceKind::rewritable, first.path, "");
        return {};
    }

    /// A file may lie in pieces with a text across two of them, which the search of the disk cannot
    /// see: every file that names something is read once more as a whole.
    Result<void> check_split_texts(Files& files) {
        std::map<std::string, std::size_t> counts;
        for (const Reference& reference : references_) {
            if (reference.kind == ReferenceKind::rewritable) ++counts[reference.file];
        }
        for (const auto& [path, count] : counts) {
            TextSearch search(texts_);
            std::uint64_t position = 0;
            const Result<void> read = files.read(path, text_file_max, [&](Bytes piece) {
                search.feed(position, piece);
                position += piece.size();
            });
            if (!read) return read;
            const std::vector<Occurrence> in_file = search.finish();
            if (position >= text_file_max || in_file.size() == count) continue;
            for (const Occurrence& one : in_file) {
                add({one.text, 0}, ReferenceKind::fixed, path,
                    "the file lies in pieces, and one ends within a UUID");
            }
        }
        return {};
    }

    Result<void> search_boot_archives(Files& files) {
        if (texts_.empty()) return {};
        const auto paths = files.boot_archives();
        if (!paths) return paths.error();
        for (const std::string& path : *paths) {
            std::vector<std::byte> archive;
            const Result<void> read = files.read(path, boot_archive_max, [&](Bytes piece) {
                archive.insert(archive.end(), piece.begin(), piece.end());
            });
            if (!read) return read;
            const auto named = search_boot_archive(archive, texts_);
            const std::vector<std::string>& texts = named ? *named : texts_;
            for (const std::string& text : texts) {
                add({text, 0}, ReferenceKind::fixed, path,
                    named ? "it is compressed" : "it may, " + named.error().message);
            }
        }
        return {};
    }

    /// A new UUID turns metadata_csum_seed on where checksums begin with the old one.
    Result<void> look_for_old_grub(Files& files) {
        namespace ext = identity::ext;
        const auto sb = window_.read_struct<ext::Superblock>(ext::superblock_offset);
        if (!sb) return sb.error();
        if (!ext::has_ro_compat(*sb, ext::ro_compat_metadata_csum) ||
            ext::has_incompat(*sb, ext::incompat_csum_seed) || structure_.findings.empty()) {
            return {};
        }
        for (const std::string_view path : grub_modules) {
            std::vector<std::byte> module;
            const Result<void> read = files.read(
                std::string(path), grub_module_max,
                [&](Bytes piece) { module.insert(module.end(), piece.begin(), piece.end()); });
            if (!read && read.error().code == ErrorCode::not_found) continue;
            if (!read) return read;
            if (!refuses_checksum_seed(module)) continue;
            add({structure_.findings.front().old_value, 0}, ReferenceKind::reader,
                std::string(path),
                "it is older than GRUB's fix for metadata_csum_seed, which a new UUID needs: "
                "install GRUB 2.12, or make the file system with -O metadata_csum_seed");
        }
        return {};
    }

    const Structure& structure_;
    const std::vector<std::string>& texts_;
    Window window_;
    std::vector<Reference> references_;
};

/// What of `found` lies in the structure.
std::vector<Occurrence> found_in(const Structure& structure, const std::vector<Occurrence>& found) {
    std::vector<Occurrence> inside;
    std::ranges::copy_if(found, std::back_inserter(inside), [&](const Occurrence& one) {
        return one.offset >= structure.begin && one.offset - structure.begin < structure.length &&
               one.text.size() <= structure.length - (one.offset - structure.begin);
    });
    return inside;
}

/// Those whose text is still there, each once.
Result<std::vector<Occurrence>> still_there(const BlockSource& image,
                                            const std::vector<std::string>& texts,
                                            std::vector<Occurrence> found) {
    std::ranges::sort(found, {}, &Occurrence::offset);
    const Window disk(image, 0, image.size());
    std::vector<Occurrence> left;
    for (Occurrence& one : found) {
        if (!left.empty() && left.back().offset == one.offset) continue;
        if (!disk.contains(one.offset, one.text.size())) continue;
        const auto now = disk.read_bytes(one.offset, one.text.size());
        if (!now) return now.error();
        one.text = text_of(*now);
        const std::string value = identity::value_named_by(one.text);
        if (std::ranges::find(texts, value) != texts.end()) left.push_back(std::move(one));
    }
    return left;
}

/// Whether Btrfs ever compressed with zstd or LZO. (zlib leaves no such mark.)
Result<bool> has_compressed_files(const BlockSource& image, const Structure& structure) {
    constexpr std::uint64_t incompat_flags_offset = (std::uint64_t{64} << 10) + 0xbc;
    constexpr std::uint64_t compress_lzo_or_zstd = 0x18;
    const Window window(image, structure.begin, structure.length);
    const auto flags = window.read_struct<le64>(incompat_flags_offset);
    if (!flags) return flags.error();
    return (flags->get() & compress_lzo_or_zstd) != 0;
}

Result<std::vector<Unsearchable>> unsearchable_of(const Recipe& recipe, const BlockSource& image) {
    std::vector<Unsearchable> list;
    for (const Structure& structure : recipe.structures) {
        if (structure.format == "luks") list.push_back({structure.where, "it is encrypted", false});
        if (structure.format != "btrfs") continue;
        const Result<bool> compressed = has_compressed_files(image, structure);
        if (!compressed) return compressed.error();
        if (*compressed) list.push_back({structure.where, "it has compressed files", true});
    }
    return list;
}

}  // namespace

Result<void> find_references(Recipe& recipe, const BlockSource& image,
                             const std::vector<Occurrence>& found,
                             const std::vector<std::string>& too_often) {
    const std::vector<std::string> texts = texts_of(recipe);
    Result<std::vector<Occurrence>> left = still_there(image, texts, found);
    if (!left) return std::move(left).error();
    recipe.references.clear();
    Result<std::vector<Unsearchable>> unsearchable = unsearchable_of(recipe, image);
    if (!unsearchable) return std::move(unsearchable).error();
    recipe.unsearchable = *std::move(unsearchable);
    std::vector<Occurrence> outside = *left;
    for (const Structure& structure : recipe.structures) {
        if (is_partition_table(structure)) continue;
        const std::vector<Occurrence> inside = found_in(structure, *left);
        std::erase_if(outside, [&](const Occurrence& one) {
            return std::ranges::find(inside, one) != inside.end();
        });
        auto references = Searcher(image, structure, texts).run(inside);
        if (!references) return std::move(references).error();
        std::ranges::move(*references, std::back_inserter(recipe.references));
    }
    for (const Occurrence& one : outside) {
        recipe.references.push_back({one.text, ReferenceKind::fixed, one.offset, "", "",
                                     "it may be part of a boot loader"});
    }
    for (const std::string& text : too_often) {
        recipe.references.push_back(
            {text, ReferenceKind::fixed, 0, "", "", "there are too many of them to look at"});
    }
    std::ranges::stable_sort(recipe.references, {}, &Reference::offset);
    return {};
}

}  // namespace cowtgt::references
