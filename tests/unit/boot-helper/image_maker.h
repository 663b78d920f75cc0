#pragma once

#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>

#include "tests/unit/boot-helper/initrd_samples.h"

namespace cowtgt::boot {

/// A folder that goes away with its images. Images are made with the programs that make real
/// ones: mke2fs, mkfs.vfat, mtools, sgdisk.
class ImageMaker {
public:
    ImageMaker() {
        std::string name =
            (std::filesystem::temp_directory_path() / "cowtgt-image.XXXXXX").string();
        if (::mkdtemp(name.data()) == nullptr) ADD_FAILURE() << "no temporary folder";
        folder_ = name;
    }
    ~ImageMaker() { std::filesystem::remove_all(folder_); }
    ImageMaker(const ImageMaker&) = delete;
    ImageMaker& operator=(const ImageMaker&) = delete;

    std::filesystem::path path(const std::string& name) const { return folder_ / name; }

    void run(const std::string& command) const {
        const std::string all = "cd " + folder_.string() + " && PATH=$PATH:/usr/sbin:/sbin && { " +
                                command + "; } >log 2>&1";
        if (std::system(all.c_str()) == 0) return;
        std::ifstream log(path("log"));
        ADD_FAILURE() << command << "\n" << std::string(std::istreambuf_iterator<char>(log), {});
    }

    /// Writes FOLDER/NAME, `name` being for instance "root/etc/fstab".
    void write(const std::string& name, const std::string& text) const {
        std::filesystem::create_directories(path(name).parent_path());
        std::ofstream(path(name)) << text;
    }

    /// A sealed Debian with a kernel, in the folder "root".
    void write_good_root() const {
        const std::string version = "6.1.0-50-amd64";
        write("root/boot/vmlinuz-" + version, "the kernel " + version);
        write("root/boot/initrd.img-" + version,
              compressed(Compression::zstd, cpio_archive(debian_names())));
        write("root/usr/lib/modules/" + version + "/modules.dep", "");
        std::filesystem::create_symlink("usr/lib", path("root/lib"));
        write("root/etc/fstab", "# UUID=0 was here\nLABEL=root / ext4 defaults,_netdev 0 1\n");
        write("root/etc/machine-id", "");
        write("root/etc/hostname", "localhost\n");
        write("root/etc/iscsi/initiatorname.iscsi", "# InitiatorName=x\nGenerateName=yes\n");
        write("root/etc/iscsi/iscsid.conf", "node.session.timeo.replacement_timeout = 86400\n");
        write("root/usr/sbin/sshd", "");
        write("root/etc/systemd/system/cowtgt-ssh-keys.service", "");
        write("root/boot/grub/grub.cfg", "search --label root --set root\n");
    }

    /// disk.img: GPT with an ESP out of the folder "esp" and an ext4 out of the folder "root".
    void make_disk(const std::string& mke2fs_options = "-t ext4") const {
        std::filesystem::create_directories(path("esp"));
        write_table();
        run("mkfs.vfat -F 12 -n ESP --offset=2048 disk.img 4096"
            " && for f in esp/*; do [ -e $f ] || continue;"
            "    mcopy -s -i disk.img@@1M $f ::/; done"
            " && mke2fs -q " +
            mke2fs_options +
            " -L root -U 11111111-2222-3333-4444-555555555555"
            " -d root -E offset=5242880 -F disk.img 56M");
    }

private:
    static constexpr std::streamoff disk_bytes = 64 << 20;
    static constexpr std::streamoff table_bytes = 1 << 20;  ///< at each end

    /// The table is made once: sgdisk waits a second for the devices of each disk.
    void write_table() const {
        static const std::string ends = make_table();
        std::ofstream disk(path("disk.img"), std::ios::binary);
        disk.write(ends.data(), table_bytes);
        disk.seekp(disk_bytes - table_bytes);
        disk.write(ends.data() + table_bytes, table_bytes);
    }

    std::string make_table() const {
        run("truncate -s 64M table.img"
            " && sgdisk -n1:2048:+4M -t1:ef00 -n2:0:0 -t2:8304 table.img");
        std::ifstream table(path("table.img"), std::ios::binary);
        std::string ends(2 * table_bytes, '\0');
        table.read(ends.data(), table_bytes);
        table.seekg(disk_bytes - table_bytes);
        table.read(ends.data() + table_bytes, table_bytes);
        return ends;
    }

    std::filesystem::path folder_;
};

}  // namespace cowtgt::boot
