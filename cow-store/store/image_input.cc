#include "cow-store/store/image_input.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <system_error>
#include <utility>
#include <vector>

#include "cow-store/file_posix.h"

namespace cowtgt::store {

namespace {

struct Signature {
    std::size_t offset;  ///< bytes
    std::string_view bytes;
    std::string_view format;
};
constexpr std::array signatures = {
    Signature{0, "QFI\xfb", "qcow2"},
    Signature{0, "KDMV", "vmdk"},
    Signature{0, "COWD", "vmdk"},
    Signature{0, "# Disk DescriptorFile", "vmdk"},
    Signature{0, "vhdxfile", "vhdx"},
    Signature{0, "conectix", "vpc"},
    Signature{64, "\x7f\x10\xda\xbe", "vdi"},
};

Error failed(const std::string& name, std::string_view why) {
    return Error{ErrorCode::failed, name + " cannot be imported: " + std::string(why)};
}

Result<ImageInput> open_standard_input() {
    ImageInput input;
    input.path = "-";
    input.name = "standard input";
    input.is_stream = true;
    input.file = Descriptor{::fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 3)};
    if (!input.file.is_open()) return system_error("reading standard input", errno);
    return input;
}

Result<std::string_view> format_of(int fd, const std::string& name) {
    std::array<std::byte, signature_length> beginning{};
    const Result<std::size_t> got = read_some_at(fd, 0, beginning, name);
    if (!got) return got.error();
    return image_format(Bytes{beginning}.first(*got));
}

}  // namespace

std::string_view image_format(Bytes beginning) {
    const std::string_view text = text_of(beginning);
    for (const Signature& signature : signatures) {
        if (text.size() < signature.offset + signature.bytes.size()) continue;
        if (text.substr(signature.offset, signature.bytes.size()) == signature.bytes) {
            return signature.format;
        }
    }
    return "raw";
}

Result<void> check_disk_size(std::uint64_t size, const std::string& name) {
    if (size == 0) return failed(name, "it is empty");
    if (size % 512 != 0) {
        return failed(name, "its size, " + std::to_string(size) +
                                " bytes, is not a multiple of 512, so it is no image of a disk");
    }
    if (size > disk_size_max) {
        return failed(name, "its size, " + std::to_string(size) +
                                " bytes, is more than the 16 TiB that a disk may have");
    }
    return {};
}

Result<ImageInput> open_image(const std::filesystem::path& path) {
    if (path == "-") return open_standard_input();
    ImageInput input;
    std::error_code failure;
    input.path = std::filesystem::absolute(path, failure);
    if (failure) return system_error("finding " + path.string(), failure.value());
    input.name = path.string();
    Result<Descriptor> file = open_descriptor(path, O_RDONLY | O_NONBLOCK);
    if (!file && file.error().os_errno == ENOENT) {
        return Error{ErrorCode::not_found, "there is no image " + input.name, ENOENT};
    }
    if (!file) return std::move(file).error();
    input.file = std::move(*file);

    struct stat status {};
    if (::fstat(input.file.get(), &status) != 0)
        return system_error("reading " + input.name, errno);
    if (S_ISDIR(status.st_mode)) return failed(input.name, "it is a folder");
    if (!S_ISREG(status.st_mode) && !S_ISBLK(status.st_mode)) {
        return failed(input.name, "it is neither a file nor a disk (standard input is named -)");
    }
    const off_t end = ::lseek(input.file.get(), 0, SEEK_END);
    if (end < 0) return system_error("asking for the size of " + input.name, errno);
    input.size = static_cast<std::uint64_t>(end);

    const Result<std::string_view> format = format_of(input.file.get(), input.name);
    if (!format) return format.error();
    input.format = *format;
    if (input.format == "raw") {
        if (Result<void> size = check_disk_size(input.size, input.name); !size) {
            return size.error();
        }
    }
    (void)::posix_fadvise(input.file.get(), 0, 0, POSIX_FADV_SEQUENTIAL);
    return input;
}

}  // namespace cowtgt::store
