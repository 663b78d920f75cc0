#include "tests/unit/identity/tool_images.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace cowtgt::identity {

namespace fs = std::filesystem;

ToolResult run_tool(const std::string& command) {
    FILE* pipe = popen(("( " + command + " ) 2>&1 </dev/null").c_str(), "r");
    CHECK(pipe != nullptr);
    ToolResult result{};
    std::array<char, 4096> buffer;
    while (const std::size_t count = fread(buffer.data(), 1, buffer.size(), pipe)) {
        result.output.append(buffer.data(), count);
    }
    const int status = pclose(pipe);
    result.exit_code = WIFEXITED(status) ? WEXITSTATUS(status) : 128;
    return result;
}

TemporaryFolder::TemporaryFolder() {
    std::string pattern = (fs::temp_directory_path() / "cowtgt-identity-XXXXXX").string();
    CHECK(mkdtemp(pattern.data()) != nullptr);
    path_ = pattern;
}

TemporaryFolder::~TemporaryFolder() {
    fs::remove_all(path_);
}

FileImage::FileImage(const fs::path& path) : descriptor_(open(path.c_str(), O_RDONLY | O_CLOEXEC)) {
    CHECK(descriptor_ >= 0);
}

FileImage::~FileImage() {
    close(descriptor_);
}

Result<void> FileImage::read(std::uint64_t offset, MutableBytes into) const {
    const ssize_t count = pread(descriptor_, into.data(), into.size(), static_cast<off_t>(offset));
    if (count != static_cast<ssize_t>(into.size())) return Error{ErrorCode::io, "short read"};
    return {};
}

std::uint64_t FileImage::next_data(std::uint64_t from) const {
    const off_t found = lseek(descriptor_, static_cast<off_t>(from), SEEK_DATA);
    return found < 0 ? size() : static_cast<std::uint64_t>(found);
}

std::uint64_t FileImage::size() const {
    struct stat status {};
    CHECK(fstat(descriptor_, &status) == 0);
    return static_cast<std::uint64_t>(status.st_size);
}

void make_sparse_file(const fs::path& path, std::uint64_t bytes) {
    const int descriptor = open(path.c_str(), O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    CHECK(descriptor >= 0);
    CHECK(ftruncate(descriptor, static_cast<off_t>(bytes)) == 0);
    close(descriptor);
}

void write_file(const fs::path& path, std::uint64_t offset, Bytes bytes) {
    const int descriptor = open(path.c_str(), O_RDWR | O_CLOEXEC);
    CHECK(descriptor >= 0);
    CHECK(pwrite(descriptor, bytes.data(), bytes.size(), static_cast<off_t>(offset)) ==
          static_cast<ssize_t>(bytes.size()));
    close(descriptor);
}

void flip_bit(const fs::path& path, std::uint64_t byte_offset, unsigned bit) {
    std::byte value{};
    CHECK(FileImage(path).read(byte_offset, {&value, 1}).has_value());
    value ^= std::byte{1} << bit;
    write_file(path, byte_offset, {&value, 1});
}

CloneImage clone_image(const fs::path& from, const fs::path& to, const Recipe& recipe,
                       const IdentityChoice& choice) {
    CHECK(run_tool("cp " + from.string() + " " + to.string()).exit_code == 0);
    const FileImage image(from);
    Result<Patching> patching = make_patches(recipe, image, choice);
    if (!patching) ADD_FAILURE() << patching.error().message;
    Result<std::vector<Cluster>> clusters = to_clusters(patching->patches, image);
    if (!clusters) ADD_FAILURE() << clusters.error().message;
    const std::uint64_t disk_size = std::max(image.size(), choice.disk_size);
    for (const Cluster& cluster : *clusters) {
        const std::uint64_t offset = cluster.index.value * cluster_size;
        const std::uint64_t length = std::min<std::uint64_t>(cluster_size, disk_size - offset);
        write_file(to, offset, Bytes(cluster.bytes).first(length));
    }
    CHECK(truncate(to.c_str(), static_cast<off_t>(disk_size)) == 0);
    return {*std::move(patching), *std::move(clusters)};
}

Recipe examine_file(const fs::path& path) {
    Result<Recipe> recipe = examine(FileImage(path));
    if (!recipe) ADD_FAILURE() << recipe.error().message;
    return *std::move(recipe);
}

std::vector<std::uint64_t> differing_clusters(const fs::path& a, const fs::path& b) {
    const FileImage left(a);
    const FileImage right(b);
    CHECK(left.size() == right.size());
    constexpr std::uint64_t chunk = 256 * cluster_size;
    std::vector<std::byte> ours(chunk);
    std::vector<std::byte> theirs(chunk);
    std::vector<std::uint64_t> indices;
    for (std::uint64_t at = 0; at < left.size(); at += chunk) {
        at = std::max(at, round_down(std::min(left.next_data(at), right.next_data(at)), chunk));
        if (at == left.size()) break;
        const std::uint64_t length = std::min(chunk, left.size() - at);
        CHECK(left.read(at, MutableBytes(ours).first(length)).has_value());
        CHECK(right.read(at, MutableBytes(theirs).first(length)).has_value());
        if (std::memcmp(ours.data(), theirs.data(), length) == 0) continue;
        for (std::uint64_t i = 0; i < length; i += cluster_size) {
            const std::size_t count = std::min<std::uint64_t>(cluster_size, length - i);
            if (std::memcmp(ours.data() + i, theirs.data() + i, count) != 0) {
                indices.push_back((at + i) / cluster_size);
            }
        }
    }
    return indices;
}

IdentityChoice choice_of(std::uint8_t seed) {
    IdentityChoice choice;
    choice.seed.bytes.fill(seed);
    return choice;
}

std::string blkid(const fs::path& path, const std::string& tag, const std::string& options) {
    std::string output =
        run_tool("blkid -p -o value -s " + tag + " " + options + " " + path.string()).output;
    while (!output.empty() && output.back() == '\n')
        output.pop_back();
    return output;
}

}  // namespace cowtgt::identity
