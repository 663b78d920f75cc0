#include "boot-helper/capture/capture.h"

#include <fcntl.h>

#include <algorithm>
#include <cerrno>
#include <functional>
#include <system_error>
#include <utility>
#include <vector>

#include "boot-helper/core/command_line.h"
#include "boot-helper/image/lint.h"
#include "boot-helper/image/opened_image.h"
#include "cow-store/file_posix.h"

namespace cowtgt::boot {

namespace {

constexpr std::size_t piece_bytes = 1U << 20;
/// No kernel or initrd is so large; a name given by mistake may be.
constexpr std::uint64_t blob_bytes_max = std::uint64_t{1} << 30;

/// Hands a file of this host to a sink.
Result<void> read_host_file(const std::filesystem::path& path, const FileTree::Sink& sink) {
    Result<RawImageFile> file = RawImageFile::open(path);
    if (!file) return file.error();
    if (file->size_bytes() == 0 || file->size_bytes() > blob_bytes_max) {
        return Error{ErrorCode::usage, path.string() + " has " +
                                           std::to_string(file->size_bytes()) +
                                           " bytes; that is no kernel and no initrd"};
    }
    std::vector<std::byte> piece(piece_bytes);
    for (std::uint64_t at = 0; at < file->size_bytes(); at += piece.size()) {
        piece.resize(std::min<std::uint64_t>(piece.size(), file->size_bytes() - at));
        if (auto read = file->read(at, piece); !read) return read;
        if (auto put = sink(piece); !put) return put;
    }
    return {};
}

using ReadAll = std::function<Result<void>(const FileTree::Sink&)>;

/// What URLs and scripts can carry; see Blob::name.
std::string harmless_name(std::string name) {
    const auto is_plain = [](char c) {
        const bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
        return letter || (c >= '0' && c <= '9') ||
               std::string_view("-._+~").find(c) != std::string_view::npos;
    };
    std::replace_if(
        name.begin(), name.end(), [&](char c) { return !is_plain(c); }, '_');
    return name.empty() || name.front() == '.' ? "blob" + name : name;
}

/// Copies into the folder; the file gets its hash as name when that is known.
Result<KeptBlob> keep_blob(const ReadAll& read, const std::string& name,
                           const std::filesystem::path& folder) {
    const std::filesystem::path fresh = folder / "part";
    auto file = PosixFile::open(fresh, O_WRONLY | O_CREAT | O_EXCL, 0644);
    if (!file) return file.error();
    std::uint64_t at = 0;
    const Result<CopiedFile> copied = copy_hashed(read, [&](Bytes bytes) -> Result<void> {
        if (at + bytes.size() > blob_bytes_max) {
            return Error{ErrorCode::refused, name + " is too large for a kernel or an initrd"};
        }
        auto written = (*file)->write_at(at, bytes);
        at += bytes.size();
        return written;
    });
    if (!copied) return copied.error();
    if (auto synced = (*file)->sync_data(); !synced) return synced.error();
    std::error_code problem;
    std::filesystem::rename(fresh, folder / copied->sha256, problem);
    if (problem) return system_error("keeping " + name, problem.value());
    return KeptBlob{copied->sha256, harmless_name(name), copied->size_bytes};
}

Result<InitrdReport> read_host_initrd(const std::filesystem::path& path) {
    std::vector<std::byte> bytes;
    const Result<void> read = read_host_file(path, [&bytes](Bytes more) -> Result<void> {
        bytes.insert(bytes.end(), more.begin(), more.end());
        return {};
    });
    if (!read) return read.error();
    return read_initrd(bytes);
}

/// The root of an image that could not be looked into: its only file system for Linux.
const Partition* only_linux_partition(const OpenedImage& image) {
    const Partition* found = nullptr;
    for (const Partition& partition : image.partitions()) {
        const std::string& type = partition.file_system;
        if (type.empty() || type == "vfat" || type == "swap") continue;
        if (found != nullptr) return nullptr;
        found = &partition;
    }
    return found;
}

/// A boot loader elsewhere than where firmware looks by itself. Only names that a script can carry.
std::string find_efi_program(FileTree* efi) {
    if (efi == nullptr || efi->has_file("/EFI/BOOT/BOOTX64.EFI")) return {};
    const Result<std::vector<FileEntry>> vendors = efi->list("/EFI");
    if (!vendors) return {};
    for (const char* program : {"shimx64.efi", "grubx64.efi"}) {
        for (const FileEntry& vendor : *vendors) {
            const std::string folder = "/EFI/" + vendor.name;
            if (!efi->has_file(folder + "/" + program)) continue;
            if (harmless_name(vendor.name) != vendor.name) continue;
            return "\\EFI\\" + vendor.name + "\\" + program;
        }
    }
    return {};
}

void take_findings(const LintSubject& subject, BootRecord& record) {
    for (Finding& finding : lint(subject)) {
        record.findings.push_back(
            {std::string(finding.code), std::string(to_string(finding.severity)),
             std::move(finding.what), std::string(finding.breaks), std::string(finding.mend)});
    }
}

/// Fills the record, and the subject of the lint, from the files that the operator gave.
Result<void> take_given(const CaptureOptions& options, const std::filesystem::path& folder,
                        BootRecord& record, LintSubject& subject) {
    const auto keep = [&folder](const std::filesystem::path& file) {
        return keep_blob([&file](const FileTree::Sink& sink) { return read_host_file(file, sink); },
                         file.filename().string(), folder);
    };
    Result<InitrdReport> report = read_host_initrd(options.initrd);
    if (!report) return report.error();
    Result<KeptBlob> kernel = keep(options.kernel);
    if (!kernel) return kernel.error();
    Result<KeptBlob> initrd = keep(options.initrd);
    if (!initrd) return initrd.error();
    record.kernel_version = kernel->name;
    record.kernel = std::move(*kernel);
    record.initrd = std::move(*initrd);
    record.dialect = report->dialect;
    subject.kernel.emplace().version = record.kernel_version;
    subject.initrd = std::move(*report);
    return {};
}

/// The same from the image.
Result<void> take_found(const Kernel& kernel, const std::filesystem::path& folder,
                        BootRecord& record, LintSubject& subject) {
    const auto keep = [&](const std::string& path) {
        return keep_blob([&](const FileTree::Sink& sink) { return kernel.tree->read(path, sink); },
                         std::filesystem::path(path).filename().string(), folder);
    };
    Result<KeptBlob> image = keep(kernel.kernel_path);
    if (!image) return image.error();
    Result<KeptBlob> initrd = keep(kernel.initrd_path);
    if (!initrd) return initrd.error();
    Result<InitrdReport> report = read_initrd(*kernel.tree, kernel.initrd_path);
    if (!report) return report.error();
    record.kernel_version = kernel.version;
    record.kernel = std::move(*image);
    record.initrd = std::move(*initrd);
    record.dialect = report->dialect;
    subject.kernel = kernel;
    subject.initrd = std::move(*report);
    return {};
}

Result<void> take_kernel(const OpenedImage& image, const CaptureOptions& options,
                         const std::filesystem::path& folder, BootRecord& record,
                         LintSubject& subject) {
    if (!options.kernel.empty()) return take_given(options, folder, record, subject);
    const Result<Kernel> kernel = choose_kernel(image, options.kernel_version);
    if (kernel) return take_found(*kernel, folder, record, subject);
    const bool is_wanted = !options.kernel_version.empty() || options.mode == BootMode::kernel;
    if (is_wanted) return kernel.error();
    record.no_kernel_because = kernel.error().message;
    return {};
}

}  // namespace

Result<void> check_capture_options(const CaptureOptions& options) {
    if (options.kernel.empty() != options.initrd.empty()) {
        return Error{ErrorCode::usage, "--kernel and --initrd are given together"};
    }
    if (!options.kernel.empty() && !options.kernel_version.empty()) {
        return Error{ErrorCode::usage,
                     "--kernel-version chooses from the image; leave it out with --kernel"};
    }
    return check_extra_words(options.extra_words);
}

Result<BootRecord> capture(const identity::BlockSource& disk, const CaptureOptions& options,
                           const std::filesystem::path& folder) {
    if (auto fine = check_capture_options(options); !fine) return fine.error();
    DiskImage source(disk);
    const Result<OpenedImage> image = OpenedImage::open(source);
    if (!image) return image.error();
    BootRecord record;
    LintSubject subject{*image, {}, {}};
    auto taken = take_kernel(*image, options, folder, record, subject);
    if (!taken) return taken.error();
    record.root_label = image->root_label();
    record.root_uuid = image->root_uuid();
    const Partition* only = image->root() == nullptr ? only_linux_partition(*image) : nullptr;
    if (only != nullptr) {
        record.root_label = only->label;
        record.root_uuid = only->uuid;
    }
    record.efi_program = find_efi_program(image->efi());
    record.mode = options.mode.value_or(record.kernel ? BootMode::kernel : BootMode::disk);
    record.dialect = options.dialect.value_or(record.dialect);
    record.extra_words = options.extra_words;
    take_findings(subject, record);
    if (auto written = write_boot_record(folder, record); !written) return written.error();
    return record;
}

Result<InitrdReport> read_kept_initrd(const KeptBlob& initrd, const std::filesystem::path& folder) {
    return read_host_initrd(folder / initrd.sha256);
}

Result<void> verify_blobs(const BootRecord& record, const std::filesystem::path& folder) {
    for (const std::optional<KeptBlob>* blob : {&record.kernel, &record.initrd}) {
        if (!blob->has_value()) continue;
        const std::filesystem::path file = folder / (*blob)->sha256;
        const Result<CopiedFile> found =
            copy_hashed([&file](const FileTree::Sink& sink) { return read_host_file(file, sink); },
                        [](Bytes) { return Result<void>(); });
        if (!found) return found.error();
        if (found->sha256 != (*blob)->sha256) {
            return Error{ErrorCode::corrupt, (*blob)->name + " of the template is damaged (" +
                                                 file.string() + "); restore it from a backup"};
        }
    }
    return {};
}

}  // namespace cowtgt::boot
