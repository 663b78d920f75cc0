#pragma once

#include <filesystem>
#include <optional>
#include <string>

#include "boot-helper/capture/boot_record.h"
#include "boot-helper/image/image_source.h"
#include "boot-helper/image/initrd.h"
#include "cow-store/base/result.h"
#include "cow-store/identity/identity.h"

namespace cowtgt::boot {

/// What the operator says about an image; empty: found out.
struct CaptureOptions {
    std::string kernel_version;    ///< which of several to take
    std::filesystem::path kernel;  ///< files of this host, for what cannot be looked into:
    std::filesystem::path initrd;  ///< both or none
    std::optional<BootMode> mode;
    std::optional<Dialect> dialect;
    std::string extra_words;
};

/// Contradictions and words that no script could carry.
Result<void> check_capture_options(const CaptureOptions& options);

/// Looks into a disk, lints it, takes the kernel and the initrd, and leaves them with their record
/// in `folder`, all synced. That no kernel is found is no error: the record says why, and machines
/// boot in disk mode. An error is what the options ask for and cannot be had, and the disk's own.
/// Waits for the disk; needs memory of the size of the initrd.
Result<BootRecord> capture(const identity::BlockSource& disk, const CaptureOptions& options,
                           const std::filesystem::path& folder);

/// The disk of a template for the readers of images.
/// Ownership: keeps a reference to `disk`.
class DiskImage final : public ImageSource {
public:
    explicit DiskImage(const identity::BlockSource& disk) : disk_(disk) {}
    std::uint64_t size_bytes() const override { return disk_.size(); }
    Result<void> read(std::uint64_t offset, MutableBytes to) override {
        return disk_.read(offset, to);
    }

private:
    const identity::BlockSource& disk_;
};

/// What a kept initrd holds.
Result<InitrdReport> read_kept_initrd(const KeptBlob& initrd, const std::filesystem::path& folder);

/// Whether the blobs are what the record says, by their hashes. corrupt names the file.
Result<void> verify_blobs(const BootRecord& record, const std::filesystem::path& folder);

}  // namespace cowtgt::boot
