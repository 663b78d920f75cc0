#include "boot-helper/image/opened_image.h"

#include <gtest/gtest.h>

#include "tests/unit/boot-helper/image_maker.h"

namespace cowtgt::boot {
namespace {

RawImageFile source_of(const ImageMaker& maker, const std::string& name = "disk.img") {
    Result<RawImageFile> source = RawImageFile::open(maker.path(name));
    CHECK(source.has_value());
    return std::move(*source);
}

std::string text_in(FileTree& tree, std::string_view path) {
    std::string text;
    const Result<CopiedFile> done = copy_file(tree, path, [&text](Bytes bytes) -> Result<void> {
        text += text_of(bytes);
        return {};
    });
    return done ? text : done.error().message;
}

TEST(OpenedImage, GptWithEspAndRoot) {
    const ImageMaker maker;
    maker.write_good_root();
    maker.write("esp/EFI/BOOT/BOOTX64.EFI", "the loader");
    maker.make_disk();
    RawImageFile source = source_of(maker);
    const Result<OpenedImage> image = OpenedImage::open(source);
    ASSERT_TRUE(image) << image.error().message;
    ASSERT_EQ(image->partitions().size(), 2U);
    EXPECT_EQ(describe(image->partitions()[0]), "partition 1 (vfat)");
    EXPECT_TRUE(image->partitions()[0].is_efi_system);
    EXPECT_EQ(describe(image->partitions()[1]), "partition 2 (ext4)");
    EXPECT_EQ(image->root_label(), "root");
    EXPECT_EQ(image->root_uuid(), "11111111-2222-3333-4444-555555555555");
    ASSERT_NE(image->efi(), nullptr);
    EXPECT_EQ(text_in(*image->efi(), "/efi/boot/bootx64.efi"), "the loader");
    EXPECT_FALSE(image->efi()->find("/EFI/BOOT/OTHER.EFI"));

    const Result<Kernel> kernel = choose_kernel(*image, "");
    ASSERT_TRUE(kernel) << kernel.error().message;
    EXPECT_EQ(kernel->version, "6.1.0-50-amd64");
    EXPECT_EQ(kernel->kernel_path, "/boot/vmlinuz-6.1.0-50-amd64");
    EXPECT_EQ(kernel->initrd_path, "/boot/initrd.img-6.1.0-50-amd64");
    EXPECT_EQ(text_in(*kernel->tree, kernel->kernel_path), "the kernel 6.1.0-50-amd64");
    const Result<InitrdReport> initrd = read_initrd(*kernel->tree, kernel->initrd_path);
    ASSERT_TRUE(initrd);
    EXPECT_EQ(initrd->dialect, Dialect::initramfs_tools);
}

class EachExt : public testing::TestWithParam<const char*> {};

TEST_P(EachExt, KernelIsFoundAndReadWhole) {
    const ImageMaker maker;
    maker.write_good_root();
    std::string content;
    for (int n = 0; content.size() < 3'000'000; ++n)
        content += std::to_string(n * 7919L);
    maker.write("root/boot/vmlinuz-6.1.0-50-amd64", content);
    maker.make_disk(GetParam());
    RawImageFile source = source_of(maker);
    const Result<OpenedImage> image = OpenedImage::open(source);
    ASSERT_TRUE(image);
    const Result<Kernel> kernel = choose_kernel(*image, "");
    ASSERT_TRUE(kernel) << kernel.error().message;
    EXPECT_TRUE(text_in(*kernel->tree, kernel->kernel_path) == content);
}

INSTANTIATE_TEST_SUITE_P(All, EachExt,
                         testing::Values("-t ext2", "-t ext3", "-t ext4 -b 1024",
                                         "-t ext4 -O metadata_csum_seed,inline_data",
                                         "-t ext4 -O bigalloc",
                                         "-t ext4 -O ^64bit,^metadata_csum"));

TEST(OpenedImage, WholeDiskFileSystem) {
    const ImageMaker maker;
    maker.write_good_root();
    maker.run("mke2fs -q -t ext4 -L all -d root disk.img 32M");
    RawImageFile source = source_of(maker);
    const Result<OpenedImage> image = OpenedImage::open(source);
    ASSERT_TRUE(image);
    EXPECT_EQ(image->root_label(), "all");
    EXPECT_EQ(describe(*image->root_partition()), "the image (ext4)");
    EXPECT_TRUE(choose_kernel(*image, ""));
}

TEST(OpenedImage, BootPartitionOfItsOwn) {
    const ImageMaker maker;
    maker.write_good_root();
    maker.run(
        "mkdir boot && mv root/boot/* boot/ && truncate -s 64M disk.img"
        " && sgdisk -n1:2048:+16M -n2:0:0 disk.img"
        " && mke2fs -q -t ext4 -d boot -E offset=1048576 -F disk.img 16M"
        " && mke2fs -q -t ext4 -L root -d root -E offset=17825792 -F disk.img 40M");
    RawImageFile source = source_of(maker);
    const Result<OpenedImage> image = OpenedImage::open(source);
    ASSERT_TRUE(image);
    ASSERT_NE(image->boot(), nullptr);
    const Result<Kernel> kernel = choose_kernel(*image, "");
    ASSERT_TRUE(kernel) << kernel.error().message;
    EXPECT_EQ(kernel->kernel_path, "/vmlinuz-6.1.0-50-amd64");
}

TEST(OpenedImage, NewestKernelThatIsWholeOrTheOneAskedFor) {
    const ImageMaker maker;
    maker.write_good_root();
    for (const char* version : {"6.1.0-9-amd64", "6.1.0-60-amd64", "6.1.0-100-amd64"}) {
        maker.write("root/boot/vmlinuz-" + std::string(version), "k");
    }
    maker.write("root/boot/initrd.img-6.1.0-9-amd64", "i");
    maker.write("root/boot/initrd.img-6.1.0-60-amd64", "i");  // no modules
    maker.write("root/usr/lib/modules/6.1.0-9-amd64/modules.dep", "");
    maker.make_disk();
    RawImageFile source = source_of(maker);
    const Result<OpenedImage> image = OpenedImage::open(source);
    ASSERT_TRUE(image);
    std::vector<std::string> versions;
    for (const Kernel& kernel : find_kernels(*image))
        versions.push_back(kernel.version);
    EXPECT_EQ(versions, (std::vector<std::string>{"6.1.0-100-amd64", "6.1.0-60-amd64",
                                                  "6.1.0-50-amd64", "6.1.0-9-amd64"}));
    EXPECT_EQ(choose_kernel(*image, "")->version, "6.1.0-50-amd64");
    EXPECT_EQ(choose_kernel(*image, "6.1.0-9-amd64")->version, "6.1.0-9-amd64");
    const auto why = [&](const char* version) {
        return choose_kernel(*image, version).error().message;
    };
    EXPECT_NE(why("6.1.0-100-amd64").find("no initrd"), std::string::npos);
    EXPECT_NE(why("6.1.0-60-amd64").find("no /lib/modules/6.1.0-60-amd64"), std::string::npos);
    EXPECT_NE(why("7.0").find("it has 6.1.0-100-amd64, "), std::string::npos);
}

TEST(OpenedImage, OtherFileSystemsAskForAKernelByHand) {
    const ImageMaker maker;
    maker.run("truncate -s 16M disk.img && mkfs.vfat disk.img");
    RawImageFile source = source_of(maker);
    const Result<OpenedImage> image = OpenedImage::open(source);
    ASSERT_TRUE(image);
    EXPECT_EQ(image->root(), nullptr);
    const Result<Kernel> kernel = choose_kernel(*image, "");
    ASSERT_FALSE(kernel);
    EXPECT_NE(kernel.error().message.find("the image (vfat)"), std::string::npos);
    EXPECT_NE(kernel.error().message.find("--kernel and --initrd"), std::string::npos);
}

TEST(OpenedImage, EmptyAndRandomImagesAreNoError) {
    const ImageMaker maker;
    maker.run(
        "truncate -s 1M zero.img; head -c 1000000 /dev/urandom >noise.img; truncate -s 512 "
        "tiny.img");
    for (const char* name : {"zero.img", "noise.img", "tiny.img"}) {
        RawImageFile source = source_of(maker, name);
        const Result<OpenedImage> image = OpenedImage::open(source);
        ASSERT_TRUE(image) << name;
        EXPECT_EQ(image->root(), nullptr);
    }
}

TEST(OpenedImage, Sha256OfACopy) {
    const ImageMaker maker;
    maker.write_good_root();
    maker.write("root/etc/abc", "abc");
    maker.make_disk();
    RawImageFile source = source_of(maker);
    const Result<OpenedImage> image = OpenedImage::open(source);
    ASSERT_TRUE(image);
    const auto ignore = [](Bytes) -> Result<void> { return {}; };
    const Result<CopiedFile> copied = copy_file(*image->root(), "/etc/abc", ignore);
    ASSERT_TRUE(copied);  // the vector of FIPS 180-2
    EXPECT_EQ(copied->sha256, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    EXPECT_EQ(copied->size_bytes, 3U);
    EXPECT_EQ(copy_file(*image->root(), "/etc/none", ignore).error().code, ErrorCode::not_found);
    const auto fail = [](Bytes) -> Result<void> { return Error{ErrorCode::no_space, "full"}; };
    EXPECT_EQ(copy_file(*image->root(), "/etc/abc", fail).error().code, ErrorCode::no_space);
}

TEST(Versions, Order) {
    const std::vector<std::string> ascending = {
        "5.10.0-9", "6.1.0-9-amd64", "6.1.0-10-amd64", "6.6-rc1", "6.6-rc2",
        "6.6",      "6.6.1",         "6.6.1-200.fc39", "6.6.10",  "10.0"};
    for (std::size_t a = 0; a < ascending.size(); ++a) {
        for (std::size_t b = 0; b < ascending.size(); ++b) {
            EXPECT_EQ(is_older_version(ascending[a], ascending[b]), a < b)
                << ascending[a] << " " << ascending[b];
        }
    }
}

}  // namespace
}  // namespace cowtgt::boot
