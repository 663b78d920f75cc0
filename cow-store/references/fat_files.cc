#include <algorithm>
#include <array>
#include <cstring>
#include <optional>
#include <utility>

#include "cow-store/identity/disk_text.h"
#include "cow-store/identity/fat_layout.h"
#include "cow-store/references/files.h"

namespace cowtgt::references {

namespace {

namespace fat = identity::fat;
using fat::DirectoryEntry;
using fat::Run;
using identity::Window;

constexpr std::size_t files_max = 100'000;
constexpr std::uint64_t folder_size_max = std::uint64_t{2} << 20;  ///< bytes: 65536 entries
constexpr std::size_t path_length_max = 4096;                      ///< bytes
constexpr std::uint64_t clusters_max = std::uint64_t{1} << 22;     ///< of all files; in memory

/// A part of a long name, in front of the entry that it names.
struct LongNameEntry {
    std::uint8_t number;  ///< the last part comes first and has bit 6
    std::array<std::byte, 10> first;
    std::uint8_t attributes;
    std::uint8_t type;
    std::uint8_t checksum;
    std::array<std::byte, 12> second;
    le16 always_zero;
    std::array<std::byte, 4> third;
};
static_assert(sizeof(LongNameEntry) == sizeof(DirectoryEntry) && alignof(LongNameEntry) == 1);

/// Collects the parts of a name in UTF-16.
class LongName {
public:
    void add(const LongNameEntry& part) {
        constexpr std::uint8_t last_part = 0x40;
        if ((part.number & last_part) != 0) text_.clear();
        std::vector<std::byte> units(part.first.begin(), part.first.end());
        units.insert(units.end(), part.second.begin(), part.second.end());
        units.insert(units.end(), part.third.begin(), part.third.end());
        text_.insert(text_.begin(), units.begin(), units.end());
        if (text_.size() > 20 * units.size()) text_.clear();
    }
    std::string take() { return identity::text_from_utf16(std::exchange(text_, {})); }

private:
    std::vector<std::byte> text_;
};

std::string short_name(const DirectoryEntry& entry) {
    constexpr std::uint8_t small_base = 0x08;
    constexpr std::uint8_t small_extension = 0x10;
    const auto part = [&](std::size_t begin, std::size_t length, std::uint8_t small) {
        std::string text = identity::text_from_disk(Bytes(entry.name).subspan(begin, length));
        text.erase(text.find_last_not_of(' ') + 1);
        if ((entry.small_letters & small) == 0) return text;
        std::ranges::transform(text, text.begin(), [](char c) {
            return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
        });
        return text;
    };
    const std::string extension = part(8, 3, small_extension);
    return part(0, 8, small_base) + (extension.empty() ? "" : "." + extension);
}

struct FatFile {
    std::string path;
    bool is_folder = false;
    std::uint64_t size = 0;  ///< bytes; 0 for a folder
    std::vector<Run> runs;
};

class FatFiles final : public Files {
public:
    FatFiles(const Window& window, fat::Volume volume)
        : window_(window),
          volume_(std::move(volume)),
          clusters_left_(std::min<std::uint64_t>(volume_.cluster_count, clusters_max)) {}

    /// Walks through all folders.
    Result<void> read_tree() {
        auto root = fat::root_directory(window_, volume_);
        if (!root) return root.error();
        files_.push_back({"/", true, 0, *std::move(root)});
        for (std::size_t i = 0; i < files_.size(); ++i) {
            if (!files_[i].is_folder) continue;
            if (Result<void> done = read_folder(FatFile(files_[i])); !done) return done;
        }
        return {};
    }

    Result<std::vector<Owner>> owners_of(const std::vector<std::uint64_t>& offsets) override {
        std::vector<Owner> owners;
        for (const std::uint64_t offset : offsets) {
            Result<Owner> owner = owner_of(offset);
            if (!owner) return owner.error();
            owners.push_back(*std::move(owner));
        }
        return owners;
    }

    Result<std::vector<std::string>> boot_archives() override {
        std::vector<std::string> paths;
        for (const FatFile& file : files_) {
            const std::string_view path = file.path;
            if (!file.is_folder && is_boot_archive(path.substr(path.rfind('/') + 1))) {
                paths.push_back(file.path);
            }
        }
        return paths;
    }

    Result<void> read(const std::string& path, std::uint64_t bytes_max, const Sink& sink) override {
        const auto file = std::ranges::find(files_, path, &FatFile::path);
        if (file == files_.end()) return Error{ErrorCode::not_found, path + " is not there"};
        std::uint64_t left = std::min(file->size, bytes_max);
        for (const Run& run : file->runs) {
            if (left == 0) break;
            const std::uint64_t count = std::min(left, run.length);
            const auto bytes = window_.read_bytes(run.offset, count);
            if (!bytes) return bytes.error();
            sink(*bytes);
            left -= count;
        }
        return {};
    }

private:
    Result<void> read_folder(const FatFile& folder) {
        LongName long_name;
        for (const Run& run : folder.runs) {
            const auto bytes = window_.read_bytes(run.offset, run.length);
            if (!bytes) return bytes.error();
            for (std::size_t at = 0; at + sizeof(DirectoryEntry) <= bytes->size();
                 at += sizeof(DirectoryEntry)) {
                DirectoryEntry entry;
                std::memcpy(&entry, bytes->data() + at, sizeof(entry));
                if (entry.name[0] == fat::never_used) return {};
                if (entry.name[0] == fat::deleted) continue;
                if ((entry.attributes & fat::attributes_of_long_name) ==
                    fat::attributes_of_long_name) {
                    LongNameEntry part;
                    std::memcpy(&part, bytes->data() + at, sizeof(part));
                    long_name.add(part);
                    continue;
                }
                if (Result<void> done = add(folder.path, entry, long_name.take()); !done) {
                    return done;
                }
            }
        }
        return {};
    }

    Result<void> add(const std::string& folder, const DirectoryEntry& entry, std::string name) {
        if ((entry.attributes & fat::attribute_volume_id) != 0) return {};
        if (entry.name[0] == std::byte{'.'}) return {};  // the folder itself and its parent
        if (files_.size() >= files_max) {
            return Error{ErrorCode::unsupported, "it has too many files to look through"};
        }
        if (name.empty()) name = short_name(entry);
        if (folder.size() + name.size() >= path_length_max) {
            return Error{ErrorCode::corrupt, "its folders are nested too deep: run fsck.fat on it"};
        }
        FatFile file{(folder == "/" ? "" : folder) + "/" + name,
                     (entry.attributes & fat::attribute_directory) != 0,
                     entry.size.get(),
                     {}};
        std::uint32_t first = entry.first_cluster_low.get();
        if (volume_.is_fat32()) first |= std::uint32_t{entry.first_cluster_high.get()} << 16;
        if (first != 0) {
            auto runs = fat::runs_from(
                window_, volume_, first,
                file.is_folder ? folder_size_max : file.size + volume_.cluster_bytes);
            if (!runs) return runs.error();
            if (Result<void> counted = count_clusters(runs->size()); !counted) return counted;
            file.runs = *std::move(runs);
        }
        files_.push_back(std::move(file));
        return {};
    }

    /// No cluster belongs to two files, so all have no more of them than the volume. A folder that
    /// is in itself runs into this, too.
    Result<void> count_clusters(std::uint64_t count) {
        if (count <= clusters_left_) {
            clusters_left_ -= count;
            return {};
        }
        if (volume_.cluster_count > clusters_max) {
            return Error{ErrorCode::unsupported, "it has too much in it to look through"};
        }
        return Error{ErrorCode::corrupt, "files of it share clusters: run fsck.fat on it"};
    }

    Result<Owner> owner_of(std::uint64_t offset) const {
        for (const FatFile& file : files_) {
            std::uint64_t position = 0;
            for (const Run& run : file.runs) {
                if (offset >= run.offset && offset - run.offset < run.length) {
                    return owner_in(file, run, position + (offset - run.offset));
                }
                position += run.length;
            }
        }
        Owner owner;
        if (offset < volume_.data_begin) {
            owner.reason = "no file is known to own it";
            return owner;
        }
        const std::uint64_t cluster = (offset - volume_.data_begin) / volume_.cluster_bytes + 2;
        if (cluster - 2 >= volume_.cluster_count) {
            owner.kind = Owner::Kind::nobody;  // too little for a cluster, at the very end
            return owner;
        }
        const auto next = fat::next_cluster(window_, volume_, static_cast<std::uint32_t>(cluster));
        if (!next) return next.error();
        const bool is_free = next->has_value() && **next == 0;
        owner.kind = is_free ? Owner::Kind::nobody : Owner::Kind::untouchable;
        owner.reason = "no file is known to own it";
        return owner;
    }

    static Owner owner_in(const FatFile& file, const Run& run, std::uint64_t position) {
        Owner owner;
        owner.path = file.path;
        if (file.is_folder) {
            owner.reason = "it is part of a folder";
            return owner;
        }
        if (position >= file.size) {
            owner.kind = Owner::Kind::nobody;  // behind the end of the file
            return owner;
        }
        owner.kind = Owner::Kind::file;
        owner.position = position;
        owner.run_begin = run.offset;
        owner.run_length = std::min(run.length, file.size - round_down(position, run.length));
        return owner;
    }

    const Window& window_;
    fat::Volume volume_;
    std::uint64_t clusters_left_;  ///< that no file has been seen to have
    std::vector<FatFile> files_;
};

}  // namespace

Result<std::unique_ptr<Files>> open_fat_files(const identity::Window& window) {
    Result<fat::Volume> volume = fat::read_volume(window);
    if (!volume) return std::move(volume).error();
    auto files = std::make_unique<FatFiles>(window, *std::move(volume));
    if (Result<void> done = files->read_tree(); !done) return std::move(done).error();
    return std::unique_ptr<Files>(std::move(files));
}

}  // namespace cowtgt::references
