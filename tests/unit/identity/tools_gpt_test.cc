#include <gtest/gtest.h>

#include <array>
#include <cctype>
#include <set>
#include <string>

#include "tests/unit/identity/tool_images.h"

namespace cowtgt::identity {
namespace {

namespace fs = std::filesystem;

constexpr std::uint64_t mib = 1024 * 1024;

/// An ESP and an ext4 root, as installers make them.
void make_gpt_disk(const fs::path& image) {
    make_sparse_file(image, 256 * mib);
    const ToolResult made =
        run_tool("sgdisk -n 1:2048:+32M -t 1:ef00 -c 1:ESP -n 2:0:+220M -t 2:8304 -c 2:root " +
                 image.string() + " && mkfs.vfat --offset 2048 " + image.string() +
                 " 32768 && mke2fs -q -F -t ext4 -L ROOT -E offset=$((67584*512)) " +
                 image.string() + " 220M");
    ASSERT_EQ(made.exit_code, 0) << made.output;
}

void expect_sgdisk_finds_nothing(const fs::path& image) {
    const ToolResult verified = run_tool("sgdisk -v " + image.string());
    EXPECT_EQ(verified.exit_code, 0);
    EXPECT_NE(verified.output.find("No problems found"), std::string::npos) << verified.output;
    EXPECT_EQ(verified.output.find("Caution"), std::string::npos) << verified.output;
}

const Finding* find(const std::vector<Finding>& findings, const std::string& where) {
    for (const Finding& finding : findings) {
        if (finding.where == where) return &finding;
    }
    return nullptr;
}

TEST(RealGpt, DiskWithEspAndExt4) {
    TemporaryFolder folder;
    const fs::path image = folder.file("image");
    make_gpt_disk(image);
    const Recipe recipe = examine_file(image);
    EXPECT_EQ(recipe.block_size, 512U);
    ASSERT_EQ(recipe.structures.size(), 3U);
    EXPECT_EQ(recipe.structures[0].where, "gpt");
    EXPECT_EQ(recipe.structures[1].where, "FAT on partition 1");
    EXPECT_EQ(recipe.structures[1].kept_because, "");
    EXPECT_EQ(recipe.structures[2].where, "ext4 on partition 2");

    const fs::path clone = folder.file("clone");
    const CloneImage made = clone_image(image, clone, recipe, choice_of(1));
    EXPECT_LE(made.clusters.size(), 14U);
    expect_sgdisk_finds_nothing(clone);
    const std::vector<Finding>& findings = made.patching.findings;
    ASSERT_EQ(findings.size(), 5U);
    EXPECT_EQ(find(findings, "gpt")->old_value, blkid(image, "PTUUID"));
    EXPECT_EQ(find(findings, "gpt")->new_value, blkid(clone, "PTUUID"));
    EXPECT_EQ(find(findings, "partition 2")->label, "root");
    const std::string info = run_tool("sgdisk -i 2 " + clone.string()).output;
    std::string guid = find(findings, "partition 2")->new_value;
    for (char& c : guid)
        c = static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
    EXPECT_NE(info.find("Partition unique GUID: " + guid), std::string::npos) << info;
    EXPECT_NE(info.find("Partition name: 'root'"), std::string::npos) << info;
    EXPECT_EQ(blkid(clone, "UUID", "-O $((67584*512))"),
              find(findings, "ext4 on partition 2")->new_value);

    EXPECT_EQ(blkid(clone, "UUID", "-O $((2048*512))"),
              find(findings, "FAT on partition 1")->new_value);

    const fs::path root = folder.file("root");
    run_tool("dd bs=1M iflag=skip_bytes conv=sparse skip=$((67584*512)) if=" + clone.string() +
             " of=" + root.string());
    const ToolResult checked = run_tool("e2fsck -fn " + root.string());
    EXPECT_EQ(checked.exit_code, 0) << checked.output;
    std::vector<std::uint64_t> patched;
    for (const Cluster& cluster : made.clusters)
        patched.push_back(cluster.index.value);
    EXPECT_EQ(differing_clusters(image, clone), patched);
}

TEST(RealGpt, BackupMovesToTheEndOfALargerDisk) {
    TemporaryFolder folder;
    const fs::path image = folder.file("image");
    make_gpt_disk(image);
    const Recipe recipe = examine_file(image);
    // One block more: the new backup lies over the old one. Then far away, and not on a cluster.
    for (const std::uint64_t larger : {256 * mib + 512, 256 * mib + 17 * 512, 3000 * mib + 512}) {
        SCOPED_TRACE(larger);
        IdentityChoice choice = choice_of(2);
        choice.disk_size = larger;
        const fs::path clone = folder.file("clone");
        const CloneImage made = clone_image(image, clone, recipe, choice);
        EXPECT_LE(made.clusters.size(), 16U);
        expect_sgdisk_finds_nothing(clone);
        EXPECT_NE(run_tool("sgdisk -p " + clone.string())
                      .output.find("last usable sector is " + std::to_string(larger / 512 - 34)),
                  std::string::npos);
        // The clone is an image like any other: examined and patched again.
        const fs::path second = folder.file("second");
        const Recipe again = examine_file(clone);
        EXPECT_EQ(again.structures[0].kept_because, "");
        clone_image(clone, second, again, choice_of(3));
        expect_sgdisk_finds_nothing(second);
    }
}

TEST(RealGpt, TwoHundredClonesShareNothing) {
    TemporaryFolder folder;
    const fs::path image = folder.file("image");
    make_gpt_disk(image);
    const FileImage source(image);
    const Recipe recipe = examine_file(image);
    std::set<std::string> values;
    for (std::uint8_t seed = 0; seed < 200; ++seed) {
        const Result<Patching> patching = make_patches(recipe, source, choice_of(seed));
        ASSERT_TRUE(patching.has_value());
        for (const Finding& finding : patching->findings) {
            if (finding.kept_because.empty()) values.insert(finding.new_value);
        }
    }
    EXPECT_EQ(values.size(), 200U * 5);  // the disk, two partitions, two file systems
}

/// One used entry of a boot record at byte `record`.
void write_mbr_entry(const fs::path& image, std::uint64_t record, std::uint64_t slot,
                     std::uint8_t type, std::uint32_t first, std::uint32_t count) {
    std::array<std::uint8_t, 16> entry{};
    entry[4] = type;
    for (unsigned i = 0; i < 4; ++i) {
        entry[8 + i] = static_cast<std::uint8_t>(first >> (8 * i));
        entry[12 + i] = static_cast<std::uint8_t>(count >> (8 * i));
    }
    write_file(image, record + 446 + 16 * slot, std::as_bytes(std::span(entry)));
    write_file(image, record + 510, bytes_of("\x55\xaa"));
}

TEST(RealMbr, PrimaryAndLogicalPartitions) {
    TemporaryFolder folder;
    const fs::path image = folder.file("image");
    make_sparse_file(image, 128 * mib);
    write_file(image, 0x1b8, bytes_of("\x78\x56\x34\x12"));
    write_mbr_entry(image, 0, 0, 0x83, 2048, 65536);
    write_mbr_entry(image, 0, 1, 0x05, 67584, 190000);
    write_mbr_entry(image, 67584 * 512, 0, 0x83, 2048, 65536);
    write_mbr_entry(image, 67584 * 512, 1, 0x05, 67584, 67584);
    write_mbr_entry(image, (67584 + 67584) * 512, 0, 0x83, 2048, 65536);
    for (const char* sector : {"2048", "69632", "137216"}) {
        ASSERT_EQ(run_tool(std::string("mke2fs -q -F -t ext4 -E offset=$((512*") + sector + ")) " +
                           image.string() + " 32M")
                      .exit_code,
                  0);
    }
    const Recipe recipe = examine_file(image);
    ASSERT_EQ(recipe.structures.size(), 4U);
    EXPECT_EQ(recipe.structures[0].findings[0].old_value, blkid(image, "PTUUID"));
    EXPECT_EQ(recipe.structures[1].where, "ext4 on partition 1");
    EXPECT_EQ(recipe.structures[2].where, "ext4 on partition 5");
    EXPECT_EQ(recipe.structures[3].where, "ext4 on partition 6");
    const fs::path clone = folder.file("clone");
    const CloneImage cloned = clone_image(image, clone, recipe, choice_of(5));
    EXPECT_EQ(blkid(clone, "PTUUID"), cloned.patching.findings[0].new_value);
    EXPECT_NE(blkid(clone, "PTUUID"), "12345678");
    EXPECT_EQ(blkid(clone, "UUID", "-O $((137216*512))"), cloned.patching.findings[3].new_value);
}

}  // namespace
}  // namespace cowtgt::identity
