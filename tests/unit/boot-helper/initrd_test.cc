#include "boot-helper/image/initrd.h"

#include <gtest/gtest.h>

#include "boot-helper/image/cpio_names.h"
#include "tests/unit/boot-helper/initrd_samples.h"

namespace cowtgt::boot {
namespace {

using Texts = std::vector<std::string>;

class EachCompression : public testing::TestWithParam<Compression> {};

TEST_P(EachCompression, BehindUncompressedMicrocode) {
    const std::string microcode = cpio_archive({"kernel/x86/microcode/GenuineIntel.bin"});
    const std::string initrd = microcode + compressed(GetParam(), cpio_archive(debian_names()));
    const InitrdReport report = read_initrd(bytes_of(initrd));
    EXPECT_EQ(report.unread_because, "");
    EXPECT_EQ(report.dialect, Dialect::initramfs_tools);
    EXPECT_TRUE(report.has_login);
    EXPECT_TRUE(report.modules.contains("virtio_net"));
    ASSERT_FALSE(report.layers.empty());
    EXPECT_EQ(report.layers.front(), "none");
    EXPECT_EQ(report.layers.back(), to_string(GetParam()));
}

TEST_P(EachCompression, CutOffAnywhereIsSaid) {
    const std::string whole = compressed(GetParam(), cpio_archive(debian_names()));
    for (std::size_t size = 0; size < whole.size(); size += 7) {
        const InitrdReport report = read_initrd(bytes_of(whole.substr(0, size)));
        const bool must_be_said = size > 0 && size < whole.size() / 2;
        EXPECT_TRUE(!must_be_said || !report.unread_because.empty()) << size;
    }
}

TEST_P(EachCompression, TwoCompressedArchivesInARow) {
    const std::string initrd =
        compressed(GetParam(), cpio_archive({"usr/lib/dracut/modules.txt"})) +
        std::string(512, '\0') + compressed(GetParam(), cpio_archive({"usr/sbin/iscsiroot"}));
    const InitrdReport report = read_initrd(bytes_of(initrd));
    EXPECT_EQ(report.unread_because, "");
    EXPECT_EQ(report.dialect, Dialect::dracut);
    EXPECT_TRUE(report.has_login);
}

INSTANTIATE_TEST_SUITE_P(All, EachCompression,
                         testing::Values(Compression::none, Compression::gzip, Compression::xz,
                                         Compression::lzma, Compression::zstd, Compression::lz4,
                                         Compression::lz4_legacy));

InitrdReport report_of(const Texts& names) {
    return read_initrd(bytes_of(cpio_archive(names)));
}

TEST(Initrd, Dialects) {
    EXPECT_EQ(report_of({"lib/dracut/hooks/cmdline/90-parse-iscsiroot.sh"}).dialect,
              Dialect::dracut);
    EXPECT_TRUE(report_of({"lib/dracut/hooks/cmdline/90-parse-iscsiroot.sh"}).has_login);
    EXPECT_FALSE(report_of({"usr/lib/dracut-lib.sh"}).has_login);
    EXPECT_EQ(report_of({"usr/lib/dracut-lib.sh"}).dialect, Dialect::dracut);
    EXPECT_EQ(report_of({"scripts/init-top/ORDER"}).dialect, Dialect::initramfs_tools);
    EXPECT_FALSE(report_of({"scripts/init-top/ORDER", "sbin/iscsistart"}).has_login)
        << "without open-iscsi's script nobody runs it";
    EXPECT_EQ(report_of({"usr/bin/iscsistart", "init"}).dialect, Dialect::ibft);
    EXPECT_EQ(report_of({"init"}).dialect, Dialect::unknown);
    EXPECT_FALSE(report_of({"init"}).has_login);
}

TEST(Initrd, ModuleNames) {
    const InitrdReport report =
        report_of({"./lib/modules/6.1/kernel/a/snd-pcm.ko.zst", "lib/modules/6.1/modules.dep",
                   "etc/x.ko", "usr/lib/modules/6.1/kernel/b/e1000.ko"});
    EXPECT_EQ(report.modules, (std::set<std::string>{"e1000", "snd_pcm"}));
}

TEST(Initrd, WhatIsNoInitrdIsNamed) {
    EXPECT_NE(read_initrd(bytes_of("hello, this is text")).unread_because, "");
    EXPECT_NE(read_initrd(bytes_of("BZh91AY&SY")).unread_because.find("bzip2"), std::string::npos);
    EXPECT_NE(read_initrd(bytes_of(gzip_of("no archive"))).unread_because, "");
    EXPECT_EQ(read_initrd({}).unread_because, "");
}

TEST(CpioNames, PiecesOfAnySizeGiveTheSame) {
    const std::string archive = cpio_archive(debian_names());
    for (std::size_t piece = 1; piece < 130; ++piece) {
        Texts names;
        CpioNames reader([&names](std::string_view name) { names.emplace_back(name); });
        for (std::size_t at = 0; at < archive.size(); at += piece) {
            const std::string part = archive.substr(at, piece);
            EXPECT_EQ(reader.feed(bytes_of(part)), part.size());
        }
        EXPECT_EQ(names, debian_names()) << piece;
        EXPECT_EQ(reader.state(), CpioNames::State::padding);
    }
}

TEST(CpioNames, StopsAtWhatFollowsThePadding) {
    const std::string archive = cpio_archive({"a"});
    CpioNames reader([](std::string_view) {});
    EXPECT_EQ(reader.feed(bytes_of(archive + "\x1f\x8b")), archive.size());
    EXPECT_EQ(reader.state(), CpioNames::State::ended);
}

TEST(CpioNames, BrokenHeaders) {
    for (std::string member : {cpio_member("a", 1), cpio_member("a", 1), cpio_member("a", 1)}) {
        static int which = 0;
        if (which == 0) member[5] = '7';                    // magic of the old binary form
        if (which == 1) member.replace(94, 8, "0000zzzz");  // name size
        if (which == 2) member.replace(94, 8, "00001001");  // longer than names are
        ++which;
        CpioNames reader([](std::string_view) {});
        reader.feed(bytes_of(member));
        EXPECT_EQ(reader.state(), CpioNames::State::broken) << which;
    }
}

}  // namespace
}  // namespace cowtgt::boot
