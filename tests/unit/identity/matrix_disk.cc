#include "tests/unit/identity/matrix_disk.h"

#include <gtest/gtest.h>
#include <sched.h>
#include <sys/mount.h>

#include <algorithm>
#include <array>

#include "cow-store/base/endian.h"

namespace cowtgt::identity {

namespace {

constexpr std::uint64_t mib = 1024 * 1024;

/// A network namespace that another test makes takes copies of all mounts that it sees, and XFS
/// does not mount a UUID twice: so nobody sees those of this process.
class OwnMounts : public testing::Environment {
public:
    void SetUp() override {
        ASSERT_EQ(unshare(CLONE_NEWNS), 0);
        ASSERT_EQ(mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr), 0);
    }
};
const testing::Environment* const own_mounts =
    testing::AddGlobalTestEnvironment(new OwnMounts);  // NOLINT: GoogleTest owns it

std::string first_line(const std::string& text) {
    return text.substr(0, text.find('\n'));
}

/// One partition of type Linux, and a signature.
void write_mbr(const std::filesystem::path& path, std::uint32_t first, std::uint32_t count) {
    std::array<std::byte, 512> sector{};
    const auto put = [&](std::size_t at, std::uint32_t value) {
        const le32 field = value;
        std::ranges::copy(bytes_of_struct(field), sector.begin() + static_cast<long>(at));
    };
    put(440, 0x5eed5eed);
    put(446 + 4, 0x83);
    put(446 + 8, first);
    put(446 + 12, count);
    put(508, 0xaa550000);
    write_file(path, 0, sector);
}

/// On the file itself where that is possible: devices make it wait for the kernel.
ToolResult run_sgdisk(const std::filesystem::path& path, const DiskShape& shape,
                      const std::string& arguments) {
    if (shape.block_size() == 512) return run_tool("sgdisk " + arguments + " " + path.string());
    const LoopDevice disk(path, 0, FileImage(path).size(), shape.block_size());
    return run_tool("sgdisk " + arguments + " " + disk.path());
}

}  // namespace

std::string_view name_of(Layout layout) {
    switch (layout) {
        case Layout::bare:
            return "bare";
        case Layout::gpt:
            return "gpt";
        case Layout::gpt_4096:
            return "gpt_4096";
        case Layout::mbr:
            return "mbr";
    }
    return "";
}

LoopDevice::LoopDevice(const std::filesystem::path& file, std::uint64_t offset,
                       std::uint64_t length, std::uint32_t block_size) {
    // Another process may take the free device in between; losetup says so and is asked again.
    for (int attempt = 0; attempt < 20 && path_.empty(); ++attempt) {
        const ToolResult made =
            run_tool("losetup --find --show --offset " + std::to_string(offset) + " --sizelimit " +
                     std::to_string(length) + " --sector-size " + std::to_string(block_size) + " " +
                     file.string());
        if (made.exit_code == 0) path_ = first_line(made.output);
    }
    CHECK(!path_.empty());
}

LoopDevice::~LoopDevice() {
    run_tool("losetup --detach " + path_);
}

Mount::Mount(const std::string& device, const std::filesystem::path& folder,
             const std::string& options)
    : folder_(folder) {
    std::filesystem::create_directories(folder);
    const ToolResult made = run_tool("mount " + options + " " + device + " " + folder.string());
    mounted_ = made.exit_code == 0;
    error_ = made.output;
}

Mount::~Mount() {
    if (mounted_) run_tool("umount " + folder_.string());
}

std::uint64_t DiskShape::content_begin() const {
    return layout == Layout::bare ? 0 : mib;
}

std::uint64_t DiskShape::disk_size() const {
    return layout == Layout::bare ? content_size : content_size + 2 * mib;
}

void make_disk(const std::filesystem::path& path, const DiskShape& shape) {
    make_sparse_file(path, shape.disk_size());
    if (shape.layout == Layout::bare) return;
    const std::uint64_t first = shape.content_begin() / shape.block_size();
    const std::uint64_t count = shape.content_size / shape.block_size();
    if (shape.layout == Layout::mbr) {
        write_mbr(path, static_cast<std::uint32_t>(first), static_cast<std::uint32_t>(count));
        return;
    }
    const ToolResult made = run_sgdisk(path, shape,
                                       "-a 1 -n 1:" + std::to_string(first) + ":" +
                                           std::to_string(first + count - 1) + " -c 1:content");
    ASSERT_EQ(made.exit_code, 0) << made.output;
}

std::string table_problems(const std::filesystem::path& path, const DiskShape& shape) {
    if (shape.layout == Layout::bare || shape.layout == Layout::mbr) return "";
    const ToolResult verdict = run_sgdisk(path, shape, "-v");
    const bool good = verdict.output.find("No problems found") != std::string::npos;
    return good ? "" : verdict.output;
}

}  // namespace cowtgt::identity
