#include "boot-helper/image/opened_image.h"

#include <openssl/evp.h>

#include <algorithm>
#include <array>

namespace cowtgt::boot {

namespace {

constexpr std::string_view kernel_prefix = "vmlinuz-";

bool is_ext(const Partition& partition) {
    return partition.file_system == "ext2" || partition.file_system == "ext3" ||
           partition.file_system == "ext4" || partition.file_system == "ext4dev";
}

bool is_root(FileTree& tree) {
    return tree.has_folder("/etc") && tree.has_folder("/usr");
}

bool has_kernel(FileTree& tree) {
    const Result<std::vector<FileEntry>> entries = tree.list("/");
    return entries && std::any_of(entries->begin(), entries->end(), [](const FileEntry& entry) {
               return entry.name.starts_with(kernel_prefix);
           });
}

const std::string no_text;

bool is_digit(char c) {
    return c >= '0' && c <= '9';
}

/// The order of one character outside of numbers: `~` before the end, the end before letters,
/// letters before everything else.
int character_order(char c) {
    if (c == '~') return -1;
    if (c == '\0' || is_digit(c)) return 0;
    const bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
    return letter ? c : c + 256;
}

/// A release candidate comes before its release: "6.6-rc1" is read as "6.6~rc1".
std::string sortable(std::string_view version) {
    std::string text(version);
    for (std::size_t at = 0; (at = text.find("-rc", at)) != std::string::npos; ++at) {
        text[at] = '~';
    }
    return text;
}

/// Takes the digits off the front, leading zeros dropped.
std::string_view take_number(std::string_view& text) {
    std::size_t end = 0;
    while (end < text.size() && is_digit(text[end]))
        ++end;
    std::string_view number = text.substr(0, end);
    text.remove_prefix(end);
    number.remove_prefix(std::min(number.find_first_not_of('0'), number.size()));
    return number;
}

int compare_versions(std::string_view a, std::string_view b) {
    const auto front = [](std::string_view text) { return text.empty() ? '\0' : text.front(); };
    while (!a.empty() || !b.empty()) {
        while ((!a.empty() && !is_digit(a.front())) || (!b.empty() && !is_digit(b.front()))) {
            const int difference = character_order(front(a)) - character_order(front(b));
            if (difference != 0) return difference;
            a.remove_prefix(std::min<std::size_t>(1, a.size()));
            b.remove_prefix(std::min<std::size_t>(1, b.size()));
        }
        const std::string_view number_a = take_number(a);
        const std::string_view number_b = take_number(b);
        if (number_a.size() != number_b.size()) return number_a.size() < number_b.size() ? -1 : 1;
        if (const int order = number_a.compare(number_b); order != 0) return order;
    }
    return 0;
}

/// The initrd of a version, by the names that distributions give it.
std::string find_initrd(FileTree& tree, const std::string& folder, const std::string& version) {
    const std::array names = {"initrd.img-" + version, "initramfs-" + version + ".img",
                              "initrd-" + version, "initrd-" + version + ".img",
                              "initramfs-" + version};
    for (const std::string& name : names) {
        if (tree.has_file(folder + name)) return folder + name;
    }
    return {};
}

void find_kernels_in(FileTree& tree, const std::string& folder, FileTree& root,
                     std::vector<Kernel>& kernels) {
    const Result<std::vector<FileEntry>> entries = tree.list(folder);
    if (!entries) return;
    for (const FileEntry& entry : *entries) {
        if (!entry.name.starts_with(kernel_prefix) || entry.type != FileEntry::Type::file) continue;
        Kernel kernel;
        kernel.version = entry.name.substr(kernel_prefix.size());
        kernel.tree = &tree;
        kernel.kernel_path = folder + entry.name;
        kernel.initrd_path = find_initrd(tree, folder, kernel.version);
        kernel.has_modules = root.has_folder("/lib/modules/" + kernel.version) ||
                             root.has_folder("/usr/lib/modules/" + kernel.version);
        kernels.push_back(std::move(kernel));
    }
}

std::string names_of(const std::vector<Kernel>& kernels) {
    std::string names;
    for (const Kernel& kernel : kernels)
        names += (names.empty() ? "" : ", ") + kernel.version;
    return names;
}

constexpr std::string_view by_hand = "; give a kernel and an initrd by --kernel and --initrd";

/// Empty when machines can boot it.
std::string why_unfit(const Kernel& kernel) {
    if (kernel.initrd_path.empty()) return "kernel " + kernel.version + " has no initrd beside it";
    if (!kernel.has_modules) {
        return "kernel " + kernel.version + " has no /lib/modules/" + kernel.version;
    }
    return {};
}

}  // namespace

Result<OpenedImage> OpenedImage::open(ImageSource& source) {
    Result<std::vector<Partition>> partitions = find_partitions(source);
    if (!partitions) return partitions.error();
    OpenedImage image;
    image.partitions_ = std::move(*partitions);
    std::string problem;
    for (std::size_t index = 0; index < image.partitions_.size(); ++index) {
        const Partition& partition = image.partitions_[index];
        const bool fat = partition.file_system == "vfat";
        if (!is_ext(partition) && !fat) continue;
        Mounted mounted{index,
                        std::make_unique<ImagePart>(source, partition.offset, partition.size_bytes),
                        nullptr};
        Result<std::unique_ptr<FileTree>> tree =
            fat ? open_fat_tree(*mounted.part) : open_ext_tree(*mounted.part);
        if (!tree) {
            problem = describe(partition) + ": " + tree.error().message;
            continue;
        }
        mounted.tree = std::move(*tree);
        image.place(std::move(mounted));
    }
    if (image.root() == nullptr) image.no_root_because_ = image.why_no_root(problem);
    return image;
}

void OpenedImage::place(Mounted mounted) {
    const Partition& partition = partitions_[mounted.index];
    if (partition.file_system == "vfat") {
        const bool efi = partition.is_efi_system || mounted.tree->has_folder("/EFI");
        if (efi && !efi_.tree) efi_ = std::move(mounted);
    } else if (is_root(*mounted.tree)) {
        if (!root_.tree) root_ = std::move(mounted);
    } else if (has_kernel(*mounted.tree)) {
        if (!boot_.tree) boot_ = std::move(mounted);
    }
}

std::string OpenedImage::why_no_root(const std::string& problem) const {
    std::string found;
    for (const Partition& partition : partitions_) {
        found += (found.empty() ? "" : ", ") + describe(partition);
    }
    std::string why =
        "no ext2, ext3 or ext4 root file system with /etc and /usr was found in it (" + found + ")";
    if (!problem.empty()) why += "; " + problem;
    return why;
}

const std::string& OpenedImage::root_label() const {
    const Partition* partition = root_partition();
    return partition == nullptr ? no_text : partition->label;
}

const std::string& OpenedImage::root_uuid() const {
    const Partition* partition = root_partition();
    return partition == nullptr ? no_text : partition->uuid;
}

std::vector<Kernel> find_kernels(const OpenedImage& image) {
    std::vector<Kernel> kernels;
    if (image.root() == nullptr) return kernels;
    if (image.boot() != nullptr) find_kernels_in(*image.boot(), "/", *image.root(), kernels);
    find_kernels_in(*image.root(), "/boot/", *image.root(), kernels);
    std::stable_sort(kernels.begin(), kernels.end(), [](const Kernel& a, const Kernel& b) {
        return is_older_version(b.version, a.version);
    });
    return kernels;
}

Result<Kernel> choose_kernel(const OpenedImage& image, std::string_view version) {
    if (image.root() == nullptr) {
        return Error{ErrorCode::not_found, image.no_root_because() + std::string(by_hand)};
    }
    const std::vector<Kernel> kernels = find_kernels(image);
    if (kernels.empty()) {
        return Error{ErrorCode::not_found,
                     "no /boot/vmlinuz-VERSION is in the image" + std::string(by_hand)};
    }
    std::string why;
    for (const Kernel& kernel : kernels) {
        if (!version.empty() && kernel.version != version) continue;
        const std::string unfit = why_unfit(kernel);
        if (unfit.empty()) return kernel;
        why += (why.empty() ? "" : "; ") + unfit;
    }
    if (why.empty()) {
        return Error{ErrorCode::not_found, "no kernel " + std::string(version) +
                                               " is in the image; it has " + names_of(kernels)};
    }
    return Error{ErrorCode::not_found, why + std::string(by_hand)};
}

bool is_older_version(std::string_view a, std::string_view b) {
    return compare_versions(sortable(a), sortable(b)) < 0;
}

Result<CopiedFile> copy_file(FileTree& tree, std::string_view path, const FileTree::Sink& sink) {
    return copy_hashed([&](const FileTree::Sink& hashing) { return tree.read(path, hashing); },
                       sink);
}

Result<CopiedFile> copy_hashed(const std::function<Result<void>(const FileTree::Sink&)>& read,
                               const FileTree::Sink& sink) {
    const std::unique_ptr<EVP_MD_CTX, void (*)(EVP_MD_CTX*)> hash(EVP_MD_CTX_new(),
                                                                  EVP_MD_CTX_free);
    const Error hash_error{ErrorCode::failed, "OpenSSL has no SHA-256"};
    if (!hash || EVP_DigestInit_ex(hash.get(), EVP_sha256(), nullptr) != 1) return hash_error;
    CopiedFile copied;
    const Result<void> done = read([&](Bytes bytes) -> Result<void> {
        if (EVP_DigestUpdate(hash.get(), bytes.data(), bytes.size()) != 1) return hash_error;
        copied.size_bytes += bytes.size();
        return sink(bytes);
    });
    if (!done) return done.error();
    std::array<unsigned char, EVP_MAX_MD_SIZE> digest{};
    unsigned int size = 0;
    if (EVP_DigestFinal_ex(hash.get(), digest.data(), &size) != 1) return hash_error;
    constexpr std::string_view digits = "0123456789abcdef";
    for (unsigned int at = 0; at < size; ++at) {
        copied.sha256 += digits[digest[at] >> 4];
        copied.sha256 += digits[digest[at] & 15];
    }
    return copied;
}

}  // namespace cowtgt::boot
