#include "boot-helper/capture/capture.h"

#include <gtest/gtest.h>

#include <fstream>
#include <iterator>

#include "boot-helper/image/image_source.h"
#include "tests/unit/boot-helper/image_maker.h"

namespace cowtgt::boot {
namespace {

class FileDisk final : public identity::BlockSource {
public:
    explicit FileDisk(const std::filesystem::path& file)
        : file_(std::move(RawImageFile::open(file)).value()) {}
    Result<void> read(std::uint64_t offset, MutableBytes into) const override {
        return file_.read(offset, into);
    }
    std::uint64_t size() const override { return file_.size_bytes(); }

private:
    mutable RawImageFile file_;
};

class CaptureTest : public ::testing::Test {
protected:
    Result<BootRecord> capture_disk(const CaptureOptions& options = {}) {
        folder_ = maker_.path("boot" + std::to_string(++captures_));
        std::filesystem::create_directory(folder_);
        return capture(FileDisk(maker_.path("disk.img")), options, folder_);
    }
    std::string content(const std::string& name) const {
        std::ifstream file(folder_ / name, std::ios::binary);
        return {std::istreambuf_iterator<char>(file), {}};
    }

    ImageMaker maker_;
    std::filesystem::path folder_;
    int captures_ = 0;
};

TEST_F(CaptureTest, KernelAndInitrdAreTakenFromTheImage) {
    maker_.write_good_root();
    maker_.make_disk();
    const auto record = capture_disk();
    ASSERT_TRUE(record) << record.error().message;
    EXPECT_EQ(record->mode, BootMode::kernel);
    EXPECT_EQ(record->dialect, Dialect::initramfs_tools);
    EXPECT_EQ(record->kernel_version, "6.1.0-50-amd64");
    ASSERT_TRUE(record->kernel && record->initrd);
    EXPECT_EQ(content(record->kernel->sha256), "the kernel 6.1.0-50-amd64");
    EXPECT_EQ(record->kernel->name, "vmlinuz-6.1.0-50-amd64");
    EXPECT_EQ(record->root_label, "root");
    EXPECT_EQ(record->root_uuid, "11111111-2222-3333-4444-555555555555");
    const auto read = read_boot_record(folder_);
    ASSERT_TRUE(read) << read.error().message;
    EXPECT_EQ(*read, *record);
    EXPECT_TRUE(verify_blobs(*record, folder_));
    std::ofstream(folder_ / record->initrd->sha256, std::ios::app) << "more";
    const auto damaged = verify_blobs(*record, folder_);
    ASSERT_FALSE(damaged);
    EXPECT_EQ(damaged.error().code, ErrorCode::corrupt);
}

TEST_F(CaptureTest, AnImageWithoutAKernelBootsByItsOwnLoader) {
    maker_.write("root/etc/fstab", "");
    maker_.write("root/usr/bin/true", "");
    maker_.write("esp/EFI/debian/grubx64.efi", "GRUB");
    maker_.make_disk();
    const auto record = capture_disk();
    ASSERT_TRUE(record) << record.error().message;
    EXPECT_EQ(record->mode, BootMode::disk);
    EXPECT_FALSE(record->kernel);
    EXPECT_NE(record->no_kernel_because.find("--kernel and --initrd"), std::string::npos);
    EXPECT_EQ(record->efi_program, "\\EFI\\DEBIAN\\grubx64.efi");
    // ... but what was asked for in so many words must be had
    CaptureOptions version;
    version.kernel_version = "6.1";
    EXPECT_EQ(capture_disk(version).error().code, ErrorCode::not_found);
    CaptureOptions mode;
    mode.mode = BootMode::kernel;
    EXPECT_EQ(capture_disk(mode).error().code, ErrorCode::not_found);
}

TEST_F(CaptureTest, AKernelByHandForWhatCannotBeLookedInto) {
    maker_.run("truncate -s 1M disk.img");
    maker_.write("my kernel;x", "a kernel");
    maker_.write("initrd", compressed(Compression::zstd, cpio_archive(debian_names())));
    CaptureOptions options;
    options.kernel = maker_.path("my kernel;x");
    EXPECT_EQ(capture_disk(options).error().code, ErrorCode::usage);
    options.initrd = maker_.path("initrd");
    options.extra_words = "root=/dev/sda1 ro";
    const auto record = capture_disk(options);
    ASSERT_TRUE(record) << record.error().message;
    EXPECT_EQ(record->mode, BootMode::kernel);
    EXPECT_EQ(record->dialect, Dialect::initramfs_tools);
    EXPECT_EQ(record->kernel->name, "my_kernel_x");
    EXPECT_EQ(content(record->kernel->sha256), "a kernel");
    options.kernel_version = "6.1";
    EXPECT_EQ(capture_disk(options).error().code, ErrorCode::usage);
    options.kernel_version.clear();
    options.initrd = maker_.path("absent");
    EXPECT_FALSE(capture_disk(options));
    options.initrd = maker_.path("initrd");
    options.extra_words = "a || b";
    EXPECT_EQ(capture_disk(options).error().code, ErrorCode::usage);
}

TEST(BootRecord, DamageIsFoundAndNamed) {
    BootRecord record;
    record.kernel = KeptBlob{std::string(64, 'a'), "vmlinuz", 7};
    record.findings.push_back({"hostname", "warning", "what", "breaks", "mend"});
    const std::string text = encode(record);
    const auto read = decode_boot_record(text, "boot.json");
    ASSERT_TRUE(read) << read.error().message;
    EXPECT_EQ(*read, record);
    for (std::size_t at = 0; at < text.size(); ++at) {
        std::string damaged = text;
        damaged[at] = static_cast<char>(damaged[at] ^ 1);
        const auto wrong = decode_boot_record(damaged, "boot.json");
        if (wrong) {
            EXPECT_EQ(*wrong, record) << at;  // blanks between values mean nothing
        } else {
            EXPECT_NE(wrong.error().message.find("boot.json"), std::string::npos);
        }
    }
    record.kernel->sha256 = "../../etc/passwd";
    EXPECT_EQ(decode_boot_record(encode(record), "boot.json").error().code, ErrorCode::corrupt);
}

TEST(BootRecord, Settings) {
    BootRecord record;
    record.no_kernel_because = "there is none";
    EXPECT_EQ(change_boot_setting(record, "mode", "kernel").error().code, ErrorCode::refused);
    EXPECT_TRUE(change_boot_setting(record, "mode", "disk"));
    EXPECT_EQ(record.mode, BootMode::disk);
    EXPECT_TRUE(change_boot_setting(record, "initramfs", "dracut"));
    EXPECT_EQ(record.dialect, Dialect::dracut);
    EXPECT_TRUE(change_boot_setting(record, "words", "quiet console=ttyS0"));
    EXPECT_EQ(record.extra_words, "quiet console=ttyS0");
    EXPECT_TRUE(change_boot_setting(record, "efi", "\\EFI\\debian\\grubx64.efi"));
    EXPECT_EQ(record.efi_program, "\\EFI\\debian\\grubx64.efi");
    EXPECT_TRUE(change_boot_setting(record, "efi", "none"));
    EXPECT_EQ(record.efi_program, "");
    for (const auto& [name, value] :
         {std::pair{"mode", "net"}, std::pair{"initramfs", "arch"},
          std::pair{"words", "${net0/ip}"}, std::pair{"efi", "EFI\\x.efi"},
          std::pair{"efi", "\\a b"}, std::pair{"other", "x"}}) {
        EXPECT_EQ(change_boot_setting(record, name, value).error().code, ErrorCode::usage) << name;
    }
    EXPECT_EQ(record.extra_words, "quiet console=ttyS0");
}

}  // namespace
}  // namespace cowtgt::boot
