#pragma once

#include <cstdint>
#include <filesystem>

#include "cow-store/base/bytes.h"
#include "cow-store/base/result.h"
#include "cow-store/descriptor.h"

namespace cowtgt::boot {

/// The bytes of a disk image, wherever they are: a raw file, a template of the store.
///
/// Threads: one at a time. May wait for the disk.
class ImageSource {
public:
    virtual ~ImageSource() = default;
    virtual std::uint64_t size_bytes() const = 0;
    /// Fills `to` with the bytes from `offset`. Requires: they lie within the image.
    virtual Result<void> read(std::uint64_t offset, MutableBytes to) = 0;
};

/// A raw image file or a block device.
class RawImageFile final : public ImageSource {
public:
    static Result<RawImageFile> open(const std::filesystem::path& file);
    std::uint64_t size_bytes() const override { return size_bytes_; }
    Result<void> read(std::uint64_t offset, MutableBytes to) override;

private:
    RawImageFile(Descriptor file, std::filesystem::path path, std::uint64_t size_bytes)
        : file_(std::move(file)), path_(std::move(path)), size_bytes_(size_bytes) {}

    Descriptor file_;
    std::filesystem::path path_;
    std::uint64_t size_bytes_;
};

/// A part of an image, such as a partition.
/// Ownership: keeps a reference to `whole`.
class ImagePart final : public ImageSource {
public:
    /// Requires: the part lies within the whole.
    ImagePart(ImageSource& whole, std::uint64_t offset, std::uint64_t size_bytes);
    std::uint64_t size_bytes() const override { return size_bytes_; }
    Result<void> read(std::uint64_t offset, MutableBytes to) override;

private:
    ImageSource& whole_;
    std::uint64_t offset_;
    std::uint64_t size_bytes_;
};

}  // namespace cowtgt::boot
