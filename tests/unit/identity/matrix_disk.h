#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

#include "tests/unit/identity/tool_images.h"

/// Disks for the matrix of formats: partitioned by sgdisk, seen by the kernel through loop devices.
namespace cowtgt::identity {

enum class Layout { bare, gpt, gpt_4096, mbr };

std::string_view name_of(Layout layout);

/// A part of a file as a block device, until it goes out of scope.
class LoopDevice {
public:
    LoopDevice(const std::filesystem::path& file, std::uint64_t offset, std::uint64_t length,
               std::uint32_t block_size);
    ~LoopDevice();
    LoopDevice(const LoopDevice&) = delete;
    LoopDevice& operator=(const LoopDevice&) = delete;
    const std::string& path() const { return path_; }

private:
    std::string path_;
};

/// A mounted file system, until it goes out of scope.
class Mount {
public:
    Mount(const std::string& device, const std::filesystem::path& folder,
          const std::string& options = "");
    ~Mount();
    Mount(const Mount&) = delete;
    Mount& operator=(const Mount&) = delete;
    bool mounted() const { return mounted_; }
    const std::string& error() const { return error_; }

private:
    std::filesystem::path folder_;
    std::string error_;
    bool mounted_;
};

/// Where the content lies on a disk of a layout.
struct DiskShape {
    Layout layout;
    std::uint64_t content_size;  ///< bytes

    std::uint32_t block_size() const { return layout == Layout::gpt_4096 ? 4096 : 512; }
    std::uint64_t content_begin() const;  ///< bytes from the start of the disk
    std::uint64_t disk_size() const;      ///< bytes
    LoopDevice content_of(const std::filesystem::path& disk) const {
        return {disk, content_begin(), content_size, block_size()};
    }
};

/// An empty disk with its partition table.
void make_disk(const std::filesystem::path& path, const DiskShape& shape);

/// sgdisk's verdict on the table; "" when it finds nothing, or there is no GPT.
std::string table_problems(const std::filesystem::path& disk, const DiskShape& shape);

}  // namespace cowtgt::identity
