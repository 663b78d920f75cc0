#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <set>
#include <string_view>
#include <tuple>
#include <vector>

#include "tests/e2e/daemon.h"
#include "tests/unit/identity/matrix_disk.h"

/// Every format, made by its own tools, in every layout: imported, cloned three times, read back
/// over iSCSI, and judged by the format's own checker, by blkid, by its files and byte by byte.
namespace cowtgt::identity {
namespace {

namespace fs = std::filesystem;

constexpr std::uint64_t mib = 1024 * 1024;
constexpr int clone_count = 3;

/// How files get into a template, and how those of a clone are read.
enum class Files { none, by_mount, by_mtools, by_commands };

struct Format {
    const char* name;
    const char* make;   ///< shell; $DEV is a block device
    const char* check;  ///< shell; fails when the content of $DEV is not right
    Files files = Files::none;
    std::uint64_t size = 64 * mib;
    const char* label = "ROOTFS";  ///< as blkid tells it; "" when the format has none
    std::size_t clusters_max = 8;  ///< 4 KiB clusters that one clone changes, without the GPT
    const char* mount = "";        ///< options
    const char* fill = "true";     ///< by_commands: shell; puts content on $DEV
    const char* look = "false";    ///< by_commands: shell; prints the content of $DEV
};

constexpr const char* ext_check = "e2fsck -fn $DEV";
constexpr const char* xfs_check = "xfs_repair -n $DEV";
constexpr const char* btrfs_check = "btrfs check $DEV";
constexpr const char* fat_check = "fsck.fat -n $DEV";
/// The files of an XFS that was never mounted, for mkfs.xfs -p.
constexpr const char* protofile =
    "protofile() { printf 'boot\\n1 1\\nd--755 0 0\\netc d--755 0 0\\n"
    "passwd ---644 0 0 /etc/passwd\\n$\\nsh ---755 0 0 /bin/sh\\n$\\n'; }; ";
/// Puts a logical volume into a group's description: lvcreate needs the kernel's device-mapper.
constexpr const char* add_volume =
    "add_volume() { sed -i 's/^.physical_volumes {/logical_volumes { root { "
    "id = \"AAAAAA-AAAA-AAAA-AAAA-AAAA-AAAA-AAAAAA\" status = [\"READ\", \"WRITE\", \"VISIBLE\"] "
    "segment_count = 1 segment1 { start_extent = 0 extent_count = 8 type = \"striped\" "
    "stripe_count = 1 stripes = [\"pv0\", 0] } } }\\n&/' $1; }; ";
/// Read by GRUB, since Linux 6.1 does not mount version 4.
constexpr const char* xfs_look =
    "for pair in etc/passwd=/etc/passwd sh=/bin/sh; do "
    "grub-fstest $DEV cmp \"(loop0)/${pair%=*}\" ${pair#*=} || exit 1; done; "
    "grub-fstest $DEV ls '(loop0)/etc/' '(loop0)/'";
constexpr const char* luks_check =
    "cryptsetup luksDump $DEV && printf secret | cryptsetup open --test-passphrase $DEV";

const Format formats[] = {
    {"ext4", "mke2fs -q -F -t ext4 -L ROOTFS $DEV", ext_check, Files::by_mount},
    {"ext4_seed", "mke2fs -q -F -t ext4 -O metadata_csum_seed -L ROOTFS $DEV", ext_check,
     Files::by_mount},
    {"ext4_old", "mke2fs -q -F -t ext4 -O ^metadata_csum,uninit_bg -L ROOTFS $DEV", ext_check,
     Files::by_mount, 160 * mib, "ROOTFS", 16},
    {"ext3", "mke2fs -q -F -t ext3 -L ROOTFS $DEV", ext_check, Files::by_mount},
    {"ext2", "mke2fs -q -F -t ext2 -L ROOTFS $DEV", ext_check, Files::by_mount},
    {"xfs", "mkfs.xfs -q -L ROOTFS $DEV", xfs_check, Files::by_mount, 320 * mib},
    {"xfs_rmap", "mkfs.xfs -q -m rmapbt=1 -i nrext64=1 -L ROOTFS $DEV", xfs_check, Files::by_mount,
     320 * mib},
    {"xfs_su32k", "mkfs.xfs -q -l su=32k -L ROOTFS $DEV", xfs_check, Files::by_mount, 320 * mib},
    {"xfs_su256k", "mkfs.xfs -q -l su=256k -L ROOTFS $DEV", xfs_check, Files::by_mount, 320 * mib},
    {"xfs_fresh", "protofile >$DIR/files && mkfs.xfs -q -L ROOTFS -p $DIR/files $DEV", xfs_check,
     Files::by_commands, 320 * mib, "ROOTFS", 8, "", "true", xfs_look},
    {"xfs_v4", "protofile >$DIR/files && mkfs.xfs -q -m crc=0 -L ROOTFS -p $DIR/files $DEV",
     xfs_check, Files::by_commands, 320 * mib, "ROOTFS", 8, "", "true", xfs_look},
    {"btrfs", "mkfs.btrfs -q -L ROOTFS $DEV", btrfs_check, Files::by_mount, 160 * mib},
    {"btrfs_xxhash", "mkfs.btrfs -q --csum xxhash -L ROOTFS $DEV", btrfs_check, Files::by_mount,
     160 * mib},
    {"btrfs_sha256", "mkfs.btrfs -q --csum sha256 -L ROOTFS $DEV", btrfs_check, Files::by_mount,
     160 * mib},
    {"btrfs_blake2", "mkfs.btrfs -q --csum blake2 -L ROOTFS $DEV", btrfs_check, Files::by_mount,
     160 * mib},
    {"btrfs_mixed", "mkfs.btrfs -q --mixed -L ROOTFS $DEV", btrfs_check, Files::by_mount, 48 * mib},
    {"swap", "mkswap -q -L ROOTFS $DEV", "blkid -p -u other $DEV"},
    {"fat12", "mkfs.fat -F 12 -n ROOTFS $DEV", fat_check, Files::by_mtools, 8 * mib},
    {"fat16", "mkfs.fat -F 16 -n ROOTFS $DEV", fat_check, Files::by_mtools, 64 * mib},
    {"fat32", "mkfs.fat -F 32 -s 1 -n ROOTFS $DEV", fat_check, Files::by_mtools, 300 * mib},
    {"exfat", "mkfs.exfat -L ROOTFS $DEV", "fsck.exfat -n $DEV", Files::by_mount, 64 * mib,
     "ROOTFS", 8, "-t exfat-fuse"},
    {"ntfs", "mkntfs -F -q -f -L ROOTFS $DEV", "ntfsfix -n $DEV", Files::by_mount},
    {"luks1",
     "printf secret | cryptsetup luksFormat -q --type luks1 --pbkdf-force-iterations 1000 "
     "--offset 4096 $DEV -",
     luks_check, Files::by_commands, 16 * mib, "", 8, "",
     "head -c 14M /dev/urandom | dd of=$DEV bs=1M seek=2 iflag=fullblock conv=notrunc,fsync",
     "dd if=$DEV bs=1M skip=2 status=none | sha256sum"},
    {"luks2",
     "printf secret | cryptsetup luksFormat -q --type luks2 --pbkdf pbkdf2 "
     "--pbkdf-force-iterations 1000 --offset 32768 --label ROOTFS $DEV -",
     luks_check, Files::by_commands, 32 * mib, "ROOTFS", 8, "",
     "head -c 16M /dev/urandom | dd of=$DEV bs=1M seek=16 iflag=fullblock conv=notrunc,fsync",
     "dd if=$DEV bs=1M skip=16 status=none | sha256sum"},
    // An id that could be a UUID's, as far as the search for references goes by its beginning.
    {"lvm2",
     "pvcreate -q --devices $DEV --norestorefile --uuid ef4999-WG0y-cD5p-rDx0-2B9p-cefb-nzDVsm "
     "$DEV >/dev/null && vgcreate -q --devices $DEV cowtgt-test $DEV && "
     "vgcfgbackup -q --devices $DEV -f $DIR/group cowtgt-test && add_volume $DIR/group && "
     "vgcfgrestore -q --devices $DEV -f $DIR/group cowtgt-test",
     "pvck --devices $DEV $DEV && vgck --devices $DEV cowtgt-test", Files::by_commands, 64 * mib,
     "", 8, "",
     "head -c 32M /dev/urandom | dd of=$DEV bs=1M seek=1 iflag=fullblock conv=notrunc,fsync",
     "dd if=$DEV bs=1M skip=1 count=32 status=none | sha256sum && "
     "lvs --devices $DEV --noheadings -o vg_name,lv_name,lv_size,seg_pe_ranges cowtgt-test "
     "2>/dev/null | "
     "sed 's:/dev/[a-z0-9]*:DEV:'"},
};

/// Every format on the bare disk and in a GPT; the first of each family in the other layouts too.
std::vector<std::tuple<Format, Layout>> combinations() {
    constexpr std::array first_of_family = {"ext4", "xfs",   "btrfs", "fat32",
                                            "swap", "luks2", "lvm2"};
    std::vector<std::tuple<Format, Layout>> all;
    for (const Format& format : formats) {
        all.push_back({format, Layout::bare});
        all.push_back({format, Layout::gpt});
        if (std::ranges::find(first_of_family, std::string_view(format.name)) ==
            first_of_family.end()) {
            continue;
        }
        all.push_back({format, Layout::gpt_4096});
        all.push_back({format, Layout::mbr});
    }
    return all;
}

/// $DIR is a folder for the command's own files.
std::string with_device(const char* command, const std::string& device, const fs::path& folder) {
    return std::string(protofile) + add_volume + "DEV=" + device + "; DIR=" + folder.string() +
           "; " + command;
}

using Combination = std::tuple<Format, Layout>;

class Matrix : public testing::TestWithParam<Combination> {
protected:
    const Format& format() const { return std::get<0>(GetParam()); }
    DiskShape shape() const { return {std::get<1>(GetParam()), format().size}; }

    /// Files of many sizes, some of them removed again, in two mounts. (exFAT has no links.)
    void age(const std::string& device) {
        const fs::path folder = folder_.file("age");
        for (const char* round : {"1", "2"}) {
            const Mount mount(device, folder, format().mount);
            ASSERT_TRUE(mount.mounted()) << mount.error();
            const ToolResult done = run_tool(
                "cd " + folder.string() + " && for d in 1 2 3 4 5; do mkdir -p " + round +
                "/$d; for f in 1 2 3 4 5 6 7 8; do head -c $((d * f * 1000)) /dev/urandom > " +
                round + "/$d/$f; done; ln -s 1 " + round + "/$d/link 2>/dev/null || touch " +
                round + "/$d/nolink; rm " + round + "/$d/3; done; echo UUID > fstab; sync -f .");
            ASSERT_EQ(done.exit_code, 0) << done.output;
        }
    }

    void make_template() {
        disk_ = folder_.file("disk");
        make_disk(disk_, shape());
        const LoopDevice content = shape().content_of(disk_);
        const ToolResult made =
            run_tool(with_device(format().make, content.path(), folder_.file("")));
        ASSERT_EQ(made.exit_code, 0) << made.output;
        if (format().files == Files::by_mount) age(content.path());
        if (format().files == Files::by_mtools) {
            const ToolResult filled =
                run_tool("cd " + folder_.file("").string() +
                         " && head -c 300000 /dev/urandom > a && mmd -i " + content.path() +
                         " ::/EFI && mcopy -i " + content.path() + " a ::/EFI/BOOTX64.EFI");
            ASSERT_EQ(filled.exit_code, 0) << filled.output;
        }
        if (format().files == Files::by_commands) {
            const ToolResult filled =
                run_tool(with_device(format().fill, content.path(), folder_.file("")));
            ASSERT_EQ(filled.exit_code, 0) << filled.output;
        }
        const ToolResult checked =
            run_tool(with_device(format().check, content.path(), folder_.file("")));
        ASSERT_EQ(checked.exit_code, 0) << checked.output;
        files_ = files_of(content.path());
        uuids_.insert(blkid(content.path(), "UUID"));
    }

    void serve() {
        daemon_ = std::make_unique<e2e::Daemon>();
        daemon_->command({"template", "import", disk_, "--name", "template"});
        daemon_->start();
    }

    /// The clone as its machine reads it, in a sparse file.
    fs::path clone(int number) {
        const std::string name = "pc" + std::to_string(number);
        daemon_->command({"clone", "template", name, "--identity=require"});
        const fs::path back = folder_.file(name);
        const ToolResult read =
            run_tool("qemu-img convert -f raw -O raw iscsi://" + daemon_->portal() + "/" +
                     daemon_->target(name) + "/0 " + back.string());
        EXPECT_EQ(read.exit_code, 0) << read.output;
        return back;
    }

    std::string files_of(const std::string& device) {
        const fs::path folder = folder_.file("look");
        switch (format().files) {
            case Files::none:
                return "";
            case Files::by_mtools:
                return run_tool("mdir -i " + device + " -/ -b ::/ && mtype -i " + device +
                                " ::/EFI/BOOTX64.EFI | sha256sum")
                    .output;
            case Files::by_commands: {
                const ToolResult looked =
                    run_tool(with_device(format().look, device, folder_.file("")));
                EXPECT_EQ(looked.exit_code, 0) << looked.output;
                return looked.output;
            }
            case Files::by_mount:
                break;
        }
        const Mount mount(device, folder, std::string("-o ro ") + format().mount);
        EXPECT_TRUE(mount.mounted()) << mount.error();
        return run_tool("cd " + folder.string() +
                        " && find . -type f | sort | xargs sha256sum; find . | sort")
            .output;
    }

    TemporaryFolder folder_;
    fs::path disk_;
    std::string files_;            ///< of the template
    std::set<std::string> uuids_;  ///< of the template and all clones
    std::unique_ptr<e2e::Daemon> daemon_;
};

TEST_P(Matrix, ThreeClonesAreCleanDistinctAndTheSameFiles) {
    ASSERT_NO_FATAL_FAILURE(make_template());
    serve();
    for (int i = 0; i < clone_count; ++i) {
        const fs::path back = clone(i);
        const std::size_t table = shape().layout == Layout::bare ? 0 : 5;
        EXPECT_LE(differing_clusters(disk_, back).size(), format().clusters_max + table);
        EXPECT_EQ(table_problems(back, shape()), "");
        const LoopDevice content = shape().content_of(back);
        const ToolResult checked =
            run_tool(with_device(format().check, content.path(), folder_.file("")));
        EXPECT_EQ(checked.exit_code, 0) << checked.output;
        uuids_.insert(blkid(content.path(), "UUID"));
        EXPECT_EQ(blkid(content.path(), "LABEL"), format().label);
        EXPECT_EQ(files_of(content.path()), files_);
    }
    EXPECT_EQ(uuids_.size(), clone_count + 1U);
    EXPECT_FALSE(uuids_.contains(""));
}

std::string case_name(const testing::TestParamInfo<Combination>& info) {
    return std::string(std::get<0>(info.param).name) + "_" +
           std::string(name_of(std::get<1>(info.param)));
}

INSTANTIATE_TEST_SUITE_P(Formats, Matrix, testing::ValuesIn(combinations()), case_name);

}  // namespace
}  // namespace cowtgt::identity
