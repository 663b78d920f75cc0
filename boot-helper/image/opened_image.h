#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "boot-helper/image/file_tree.h"
#include "boot-helper/image/image_source.h"
#include "boot-helper/image/initrd.h"
#include "boot-helper/image/partitions.h"

namespace cowtgt::boot {

/// An image with its file systems opened, read-only.
///
/// Ownership: keeps a reference to its source.
/// Threads: one at a time; functions wait for the disk.
class OpenedImage {
public:
    static Result<OpenedImage> open(ImageSource& source);

    const std::vector<Partition>& partitions() const { return partitions_; }
    /// The file system that holds /etc and programs; null when none was found, then
    /// no_root_because says why and what to do.
    FileTree* root() const { return root_.tree.get(); }
    const Partition* root_partition() const { return root_.partition(partitions_); }
    const std::string& no_root_because() const { return no_root_because_; }
    /// What is mounted at /boot when it is a file system of its own, else null.
    FileTree* boot() const { return boot_.tree.get(); }
    /// The EFI system partition, else null.
    FileTree* efi() const { return efi_.tree.get(); }
    /// Of the root's file system; empty when there is none.
    const std::string& root_label() const;
    const std::string& root_uuid() const;

private:
    struct Mounted {
        std::size_t index = 0;  ///< in partitions_
        std::unique_ptr<ImagePart> part;
        std::unique_ptr<FileTree> tree;
        const Partition* partition(const std::vector<Partition>& all) const {
            return tree ? &all[index] : nullptr;
        }
    };
    void place(Mounted mounted);
    std::string why_no_root(const std::string& problem) const;

    std::vector<Partition> partitions_;
    Mounted root_;
    Mounted boot_;
    Mounted efi_;
    std::string no_root_because_;
};

/// A kernel in an image and what belongs to it.
struct Kernel {
    std::string version;  ///< "6.1.0-50-amd64": behind "vmlinuz-"
    FileTree* tree = nullptr;
    std::string kernel_path;   ///< in `tree`
    std::string initrd_path;   ///< empty: there is none
    bool has_modules = false;  ///< /lib/modules/VERSION in the root
};

/// All kernels of an image, the newest first.
/// Ownership: they point into `image`.
std::vector<Kernel> find_kernels(const OpenedImage& image);

/// The kernel that machines boot: the newest that has an initrd and modules, or the one with
/// `version` if that is not empty. The error says what is missing and what to give by hand.
Result<Kernel> choose_kernel(const OpenedImage& image, std::string_view version);

/// By the order of versions: "6.1.0-9" < "6.1.0-10", "6.6-rc1" < "6.6".
bool is_older_version(std::string_view a, std::string_view b);

struct CopiedFile {
    std::string sha256;  ///< 64 hex digits, lower case
    std::uint64_t size_bytes = 0;
};
/// Has `read` hand out bytes, hashes them and hands them on.
Result<CopiedFile> copy_hashed(const std::function<Result<void>(const FileTree::Sink&)>& read,
                               const FileTree::Sink& sink);
/// Hands a file to `sink` in pieces and hashes it meanwhile.
Result<CopiedFile> copy_file(FileTree& tree, std::string_view path, const FileTree::Sink& sink);

}  // namespace cowtgt::boot
