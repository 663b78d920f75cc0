#include "cow-store/store/image_input.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <system_error>
#include <utility>
#include <vector>

#include "cow-store/compression/decompressor.h"
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

bool is_compressed(Bytes beginning) {
    using compression::Compression;
    const Compression kind = compression::compression_of(beginning);
    return kind != Compression::none && kind != Compression::lzma;  // that one is a weak sign
}

/// `bytes` as they come, told by their beginnings.
Result<ImageInput> open_stream(std::shared_ptr<ByteStream> bytes, const std::string& name,
                               const ImportOptions& options) {
    ImageInput input;
    input.path = options.image;
    input.name = name;
    if (!options.sha256.empty()) bytes = verified(std::move(bytes), options.sha256, name);
    auto unpacked = decompressed(std::move(bytes), name);
    if (!unpacked) return std::move(unpacked).error();
    input.stream = std::make_unique<PeekStream>(*std::move(unpacked));
    const auto beginning = input.stream->peek(signature_length);
    if (!beginning) return beginning.error();
    input.format = image_format(*beginning);
    return input;
}

Result<ImageInput> open_standard_input(const ImportOptions& options) {
    Descriptor file{::fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 3)};
    if (!file.is_open()) return system_error("reading standard input", errno);
    const std::string name = "standard input";
    return open_stream(open_descriptor_stream(std::move(file), name), name, options);
}

/// Reads a file once to the end: it has the wanted SHA-256, or that is the error.
Result<void> check_sha256(const std::filesystem::path& path, const std::string& name,
                          const ImportOptions& options) {
    Result<Descriptor> file = open_descriptor(path, O_RDONLY);
    if (!file) return std::move(file).error();
    const std::shared_ptr<ByteStream> stream =
        verified(open_descriptor_stream(std::move(*file), name), options.sha256, name);
    std::vector<std::byte> buffer(std::size_t{1} << 20);
    while (true) {
        const auto count = stream->read(buffer);
        if (!count) return count.error();
        if (*count == 0) return {};
        if (options.progress) options.progress(stream->position(), stream->size());
    }
}

Result<std::vector<std::byte>> beginning_of(int fd, const std::string& name) {
    std::vector<std::byte> beginning(signature_length);
    const Result<std::size_t> got = read_some_at(fd, 0, beginning, name);
    if (!got) return got.error();
    beginning.resize(*got);
    return beginning;
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

Result<ImageInput> open_image(const ImportOptions& options) {
    if (!options.sha256.empty()) {
        if (Result<void> legal = check_sha256_text(options.sha256); !legal) return legal.error();
    }
    const std::filesystem::path& path = options.image;
    if (options.stream) return open_stream(options.stream, path.string(), options);
    if (path == "-") return open_standard_input(options);
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

    const auto beginning = beginning_of(input.file.get(), input.name);
    if (!beginning) return beginning.error();
    if (is_compressed(*beginning)) {
        if (::lseek(input.file.get(), 0, SEEK_SET) < 0) {
            return system_error("reading " + input.name, errno);
        }
        ImportOptions whole = options;
        whole.image = input.path;
        return open_stream(open_descriptor_stream(std::move(input.file), input.name), input.name,
                           whole);
    }
    input.format = image_format(*beginning);
    if (input.format == "raw") {
        if (Result<void> size = check_disk_size(input.size, input.name); !size) {
            return size.error();
        }
    }
    if (!options.sha256.empty()) {
        Result<void> right = check_sha256(path, input.name, options);
        if (!right) return std::move(right).error();
    }
    (void)::posix_fadvise(input.file.get(), 0, 0, POSIX_FADV_SEQUENTIAL);
    return input;
}

}  // namespace cowtgt::store
