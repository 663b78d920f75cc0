#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "cow-store/identity/identity.h"

/// Disk images made and checked by the real tools (e2fsprogs, gdisk, util-linux), in files.
namespace cowtgt::identity {

struct ToolResult {
    int exit_code;
    std::string output;  ///< standard output and error together
};
ToolResult run_tool(const std::string& command);

/// A folder that is gone with all its files when the test ends.
class TemporaryFolder {
public:
    TemporaryFolder();
    ~TemporaryFolder();
    TemporaryFolder(const TemporaryFolder&) = delete;
    TemporaryFolder& operator=(const TemporaryFolder&) = delete;
    std::filesystem::path file(const std::string& name) const { return path_ / name; }

private:
    std::filesystem::path path_;
};

class FileImage : public BlockSource {
public:
    explicit FileImage(const std::filesystem::path& path);
    ~FileImage() override;
    FileImage(const FileImage&) = delete;
    FileImage& operator=(const FileImage&) = delete;
    Result<void> read(std::uint64_t offset, MutableBytes into) const override;
    std::uint64_t size() const override;
    /// Where the file has its next bytes that are not a hole, at `from` or later.
    std::uint64_t next_data(std::uint64_t from) const;

private:
    int descriptor_;
};

void make_sparse_file(const std::filesystem::path& path, std::uint64_t bytes);
void write_file(const std::filesystem::path& path, std::uint64_t offset, Bytes bytes);
void flip_bit(const std::filesystem::path& path, std::uint64_t byte_offset, unsigned bit);

/// What a clone does: `to` becomes a copy of `from` with the clusters of the patches written over
/// it, `disk_size` bytes long.
struct CloneImage {
    Patching patching;
    std::vector<Cluster> clusters;
};
CloneImage clone_image(const std::filesystem::path& from, const std::filesystem::path& to,
                       const Recipe& recipe, const IdentityChoice& choice);

Recipe examine_file(const std::filesystem::path& path);

/// Indices of the 4 KiB clusters in which the files differ.
std::vector<std::uint64_t> differing_clusters(const std::filesystem::path& a,
                                              const std::filesystem::path& b);

IdentityChoice choice_of(std::uint8_t seed);

/// The value of `blkid -p` for a tag such as UUID, with `options` in front of the file name.
std::string blkid(const std::filesystem::path& path, const std::string& tag,
                  const std::string& options = "");

}  // namespace cowtgt::identity
