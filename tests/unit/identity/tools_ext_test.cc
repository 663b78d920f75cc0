#include <gtest/gtest.h>

#include <string>

#include "tests/unit/identity/tool_images.h"

namespace cowtgt::identity {
namespace {

namespace fs = std::filesystem;

constexpr std::uint64_t mib = 1024 * 1024;
constexpr const char* old_uuid = "11111111-2222-3333-4444-555555555555";

struct ExtCase {
    const char* name;
    const char* type;          ///< as examine() says it
    const char* options;       ///< of mke2fs
    std::uint64_t size;        ///< bytes
    std::size_t clusters_max;  ///< 4 KiB clusters that may change
};

// The primary superblock and one backup for each of the groups 1, 3, 5, 7, ... that there are.
const ExtCase ext_cases[] = {
    {"ext4", "ext4", "-t ext4", 512 * mib, 4},
    {"no_metadata_csum", "ext4", "-t ext4 -O ^metadata_csum,^uninit_bg", 512 * mib, 4},
    {"csum_seed", "ext4", "-t ext4 -O metadata_csum_seed", 512 * mib, 4},
    {"no_64bit", "ext4", "-t ext4 -O ^64bit", 512 * mib, 4},
    {"blocks_of_1k", "ext4", "-t ext4 -b 1024", 128 * mib, 7},
    {"blocks_of_2k", "ext4", "-t ext4 -b 2048", 128 * mib, 6},
    {"bigalloc", "ext4", "-t ext4 -O bigalloc -C 65536", 512 * mib, 4},
    {"bigalloc_1k", "ext4", "-t ext4 -b 1024 -O bigalloc -C 16384", 512 * mib, 5},
    {"sparse_super2", "ext4", "-t ext4 -O sparse_super2,^resize_inode", 1024 * mib, 3},
    {"no_sparse_super", "ext4", "-t ext4 -O ^sparse_super,^resize_inode", 1024 * mib, 8},
    {"uninit_bg", "ext4", "-t ext4 -O ^metadata_csum,uninit_bg", 1024 * mib, 14},
    {"uninit_bg_32bit", "ext4", "-t ext4 -O ^metadata_csum,uninit_bg,^64bit -b 1024", 128 * mib,
     14},
    {"uninit_bg_meta_bg", "ext4",
     "-t ext4 -O ^metadata_csum,uninit_bg,meta_bg,^resize_inode -b 1024", 256 * mib, 24},
    {"uninit_bg_bigalloc_1k", "ext4",
     "-t ext4 -O ^metadata_csum,uninit_bg,bigalloc,^resize_inode -b 1024 -C 16384", 512 * mib, 14},
    {"meta_bg", "ext4", "-t ext4 -O meta_bg,^resize_inode", 512 * mib, 4},
    {"no_flex_bg", "ext4", "-t ext4 -O ^flex_bg", 512 * mib, 4},
    {"ea_inode", "ext4", "-t ext4 -O ea_inode", 512 * mib, 4},
    {"ea_inode_no_csum", "ext4", "-t ext4 -O ea_inode,^metadata_csum", 512 * mib, 4},
    {"orphan_file_fast_commit", "ext4",
     "-t ext4 -O orphan_file,fast_commit,mmp -E mmp_update_interval=1", 512 * mib, 4},
    {"inline_casefold_encrypt", "ext4", "-t ext4 -O inline_data,casefold,encrypt,verity", 512 * mib,
     4},
    {"quota_project", "ext4", "-t ext4 -O quota,project", 512 * mib, 4},
    {"no_journal", "ext4", "-t ext4 -O ^has_journal", 512 * mib, 4},
    {"ext2", "ext2", "-t ext2", 512 * mib, 4},
    {"ext3", "ext3", "-t ext3", 512 * mib, 4},
    {"small", "ext4", "-t ext4", 2 * mib, 1},
};

/// dumpe2fs -h without the lines that are meant to change.
std::string described(const fs::path& path, const std::string& options = "") {
    return run_tool("dumpe2fs -h " + options + " " + path.string() +
                    " | grep -v -e '^dumpe2fs' -e '^Filesystem UUID' -e '^Filesystem features' "
                    "-e '^Checksum:' -e '^Checksum seed'")
        .output;
}

class RealExt : public testing::TestWithParam<ExtCase> {
protected:
    /// The image of the case in a file, with some content.
    fs::path make_image() {
        const fs::path content = folder_.file("content");
        fs::create_directories(content / "etc");
        run_tool("head -c 300000 /dev/urandom > " + (content / "data").string() + "; echo web > " +
                 (content / "etc" / "hostname").string());
        const fs::path image = folder_.file("image");
        make_sparse_file(image, GetParam().size);
        const ToolResult made =
            run_tool(std::string("mke2fs -q -F ") + GetParam().options + " -L rootfs -U " +
                     old_uuid + " -d " + content.string() + " " + image.string());
        EXPECT_EQ(made.exit_code, 0) << made.output;
        run_tool("e2fsck -fy " + image.string());  // mke2fs -d leaves quotas that are not right
        return image;
    }

    void expect_healthy(const fs::path& clone, const std::string& uuid) {
        const ToolResult forced = run_tool("e2fsck -fn " + clone.string());
        EXPECT_EQ(forced.exit_code, 0) << forced.output;
        // "check forced" would mean that a backup says something else than the primary.
        const ToolResult preened = run_tool("e2fsck -n " + clone.string());
        EXPECT_EQ(preened.exit_code, 0) << preened.output;
        EXPECT_NE(preened.output.find(": clean,"), std::string::npos) << preened.output;
        EXPECT_EQ(blkid(clone, "UUID"), uuid);
        EXPECT_EQ(blkid(clone, "LABEL"), "rootfs");
    }

    TemporaryFolder folder_;
};

TEST_P(RealExt, CloneIsCleanWithNewUuidAndNothingElseChanged) {
    const fs::path image = make_image();
    const Recipe recipe = examine_file(image);
    ASSERT_EQ(recipe.structures.size(), 1U);
    EXPECT_EQ(recipe.structures[0].kept_because, "");
    const std::string where = std::string(GetParam().type) + " on the whole disk";
    EXPECT_EQ(recipe.structures[0].where, where);
    EXPECT_EQ(findings_of(recipe)[0].old_value, old_uuid);
    EXPECT_EQ(findings_of(recipe)[0].label, "rootfs");

    const fs::path clone = folder_.file("clone");
    const CloneImage made = clone_image(image, clone, recipe, choice_of(1));
    ASSERT_EQ(made.patching.findings.size(), 1U);
    EXPECT_EQ(made.patching.findings[0].kept_because, "");
    const std::string uuid = made.patching.findings[0].new_value;
    EXPECT_NE(uuid, old_uuid);
    expect_healthy(clone, uuid);
    EXPECT_EQ(described(clone), described(image));

    std::vector<std::uint64_t> patched;
    for (const Cluster& cluster : made.clusters)
        patched.push_back(cluster.index.value);
    EXPECT_EQ(differing_clusters(image, clone), patched);
    EXPECT_LE(patched.size(), GetParam().clusters_max);

    // Every copy, not only the primary: the numbers of the blocks are e2fsprogs' own.
    const std::string blocks =
        run_tool("dumpe2fs " + clone.string() +
                 " 2>/dev/null | sed -n 's/.*Backup superblock at \\([0-9]*\\),.*/\\1/p'")
            .output;
    const std::string block_size =
        run_tool("dumpe2fs -h " + clone.string() + " 2>/dev/null | sed -n 's/^Block size: *//p'")
            .output;
    for (std::size_t at = 0; at < blocks.size(); at = blocks.find('\n', at) + 1) {
        const std::string block = blocks.substr(at, blocks.find('\n', at) - at);
        const ToolResult backup = run_tool("dumpe2fs -h -o superblock=" + block + " -o blocksize=" +
                                           block_size.substr(0, block_size.size() - 1) + " " +
                                           clone.string() + " | grep UUID:");
        EXPECT_NE(backup.output.find(uuid), std::string::npos) << block << ": " << backup.output;
    }
}

TEST_P(RealExt, CloneOfCloneIsPatchedAgainWithTheSameRecipe) {
    const fs::path image = make_image();
    const Recipe recipe = examine_file(image);
    const fs::path clone = folder_.file("clone");
    const fs::path second = folder_.file("second");
    const CloneImage once = clone_image(image, clone, recipe, choice_of(1));
    const CloneImage twice = clone_image(clone, second, recipe, choice_of(2));
    ASSERT_EQ(twice.patching.findings.size(), 1U);
    EXPECT_EQ(twice.patching.findings[0].old_value, once.patching.findings[0].new_value);
    EXPECT_NE(twice.patching.findings[0].new_value, twice.patching.findings[0].old_value);
    expect_healthy(second, twice.patching.findings[0].new_value);
}

INSTANTIATE_TEST_SUITE_P(MadeByMke2fs, RealExt, testing::ValuesIn(ext_cases),
                         [](const auto& one) { return std::string(one.param.name); });

TEST(RealExtUsed, TenThousandFilesAreTheSameAfterwards) {
    TemporaryFolder folder;
    const fs::path content = folder.file("content");
    fs::create_directories(content);
    ASSERT_EQ(run_tool("cd " + content.string() +
                       " && for d in $(seq 100); do mkdir $d; for f in $(seq 100); do echo $d/$f > "
                       "$d/$f; done; done")
                  .exit_code,
              0);
    const fs::path image = folder.file("image");
    make_sparse_file(image, 512 * mib);
    ASSERT_EQ(
        run_tool("mke2fs -q -F -t ext4 -d " + content.string() + " " + image.string()).exit_code,
        0);
    const fs::path clone = folder.file("clone");
    const CloneImage made = clone_image(image, clone, examine_file(image), choice_of(3));
    EXPECT_EQ(made.clusters.size(), 3U);  // groups 0, 1 and 3
    const ToolResult checked = run_tool("e2fsck -fn " + clone.string());
    EXPECT_EQ(checked.exit_code, 0) << checked.output;
    const fs::path dump = folder.file("dump");
    fs::create_directories(dump);
    run_tool("debugfs -R 'rdump / " + dump.string() + "' " + clone.string());
    const ToolResult same = run_tool("rmdir " + (dump / "lost+found").string() + "; diff -r " +
                                     content.string() + " " + dump.string());
    EXPECT_EQ(same.exit_code, 0) << same.output.substr(0, 2000);
}

TEST(RealExtUsed, LargeExtendedAttributesOutlastTheirUuid) {
    TemporaryFolder folder;
    const fs::path image = folder.file("image");
    make_sparse_file(image, 64 * mib);
    run_tool("head -c 20000 /dev/urandom | base64 -w0 > " + folder.file("value").string());
    for (const char* features : {"ea_inode", "ea_inode,^metadata_csum"}) {
        SCOPED_TRACE(features);
        ASSERT_EQ(
            run_tool(std::string("mke2fs -q -F -t ext4 -O ") + features + " " + image.string())
                .exit_code,
            0);
        const ToolResult set =
            run_tool("debugfs -w -R 'ea_set -f " + folder.file("value").string() +
                     " /lost+found user.big' " + image.string());
        run_tool("e2fsck -fy " + image.string());  // debugfs counts the blocks wrongly
        ASSERT_EQ(run_tool("e2fsck -fn " + image.string()).exit_code, 0) << set.output;
        const fs::path clone = folder.file("clone");
        clone_image(image, clone, examine_file(image), choice_of(4));
        const ToolResult checked = run_tool("e2fsck -fn " + clone.string());
        EXPECT_EQ(checked.exit_code, 0) << checked.output;
        const auto get = [&](const fs::path& from) {
            return "debugfs -R 'ea_get -f " + folder.file("got").string() +
                   " /lost+found user.big' " + from.string() + " && sha256sum " +
                   folder.file("got").string();
        };
        const ToolResult original = run_tool(get(image));
        const ToolResult read = run_tool(get(clone));
        EXPECT_EQ(read.output, original.output);
        EXPECT_EQ(read.exit_code, 0) << read.output;
    }
}

TEST(RealExtHuge, OneTebibyteTakesTwentyClusters) {
    TemporaryFolder folder;
    const fs::path image = folder.file("image");
    make_sparse_file(image, 1024 * 1024 * mib);
    ASSERT_EQ(run_tool("mke2fs -q -F -t ext4 -E nodiscard,lazy_itable_init=1,lazy_journal_init=1 " +
                       image.string())
                  .exit_code,
              0);
    const FileImage source(image);
    const Recipe recipe = examine_file(image);
    const Result<Patching> patching = make_patches(recipe, source, choice_of(5));
    ASSERT_TRUE(patching.has_value());
    const auto clusters = to_clusters(patching->patches, source);
    ASSERT_TRUE(clusters.has_value());
    EXPECT_EQ(clusters->size(), 19U);  // groups 0, 1 and 17 powers of 3, 5 and 7 below 8192
    for (const Patch& patch : patching->patches)
        write_file(image, patch.offset, patch.bytes);
    EXPECT_EQ(blkid(image, "UUID"), patching->findings[0].new_value);
    const ToolResult checked = run_tool("e2fsck -n " + image.string());
    EXPECT_EQ(checked.exit_code, 0) << checked.output;
}

TEST(RealExtLabel, IsChangedOnRequestInAllCopies) {
    TemporaryFolder folder;
    const fs::path image = folder.file("image");
    make_sparse_file(image, 512 * mib);
    ASSERT_EQ(run_tool("mke2fs -q -F -t ext4 -L ROOT " + image.string()).exit_code, 0);
    IdentityChoice choice = choice_of(6);
    choice.labels = {{"ROOT", "web01-root"}};
    choice.uuids = {{"ROOT", "0f0e0d0c-0b0a-4908-8706-050403020100"}};
    const fs::path clone = folder.file("clone");
    clone_image(image, clone, examine_file(image), choice);
    EXPECT_EQ(blkid(clone, "LABEL"), "web01-root");
    EXPECT_EQ(blkid(clone, "UUID"), "0f0e0d0c-0b0a-4908-8706-050403020100");
    EXPECT_EQ(run_tool("e2fsck -fn " + clone.string()).exit_code, 0);
    EXPECT_NE(run_tool("dumpe2fs -h -o superblock=32768 -o blocksize=4096 " + clone.string())
                  .output.find("web01-root"),
              std::string::npos);
}

TEST(RealExtRefusal, DirtyJournalAndExternalJournalAreKept) {
    TemporaryFolder folder;
    const fs::path image = folder.file("image");
    make_sparse_file(image, 64 * mib);
    ASSERT_EQ(run_tool("mke2fs -q -F -t ext4 " + image.string()).exit_code, 0);
    ASSERT_EQ(run_tool("debugfs -w -R 'feature needs_recovery' " + image.string()).exit_code, 0);
    EXPECT_NE(examine_file(image).structures[0].kept_because.find("journal was not replayed"),
              std::string::npos);

    ASSERT_EQ(run_tool("mke2fs -q -F -O journal_dev " + image.string()).exit_code, 0);
    EXPECT_NE(examine_file(image).structures[0].kept_because.find("journal of a file system"),
              std::string::npos);
}

TEST(RealExtRefusal, RemedyOfDamagedBackupWorks) {
    TemporaryFolder folder;
    const fs::path image = folder.file("image");
    make_sparse_file(image, 512 * mib);
    ASSERT_EQ(run_tool("mke2fs -q -F -t ext4 " + image.string()).exit_code, 0);
    flip_bit(image, 32768ULL * 4096 + 0x68, 0);
    const std::string reason = examine_file(image).structures[0].kept_because;
    EXPECT_NE(reason.find("backup superblock in group 1"), std::string::npos) << reason;
    run_tool("e2fsck -fy " + image.string());
    EXPECT_EQ(examine_file(image).structures[0].kept_because, "");
}

}  // namespace
}  // namespace cowtgt::identity
