#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "boot-helper/image/file_tree.h"
#include "boot-helper/image/initrd.h"
#include "cow-store/base/check.h"

// The same bytes as an initrd and as a FAT file system: both come from images of strangers.

namespace {

using namespace cowtgt;
using namespace cowtgt::boot;

class MemorySource final : public ImageSource {
public:
    explicit MemorySource(Bytes bytes) : bytes_(bytes) {}
    std::uint64_t size_bytes() const override { return bytes_.size(); }
    Result<void> read(std::uint64_t offset, MutableBytes to) override {
        CHECK(offset <= bytes_.size() && to.size() <= bytes_.size() - offset);
        std::copy_n(bytes_.begin() + static_cast<std::ptrdiff_t>(offset), to.size(), to.begin());
        return {};
    }

private:
    Bytes bytes_;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const Bytes bytes = std::as_bytes(std::span(data, size));
    const InitrdReport report = read_initrd(bytes);
    CHECK(!report.has_login || report.dialect != Dialect::unknown);
    MemorySource source(bytes);
    const Result<std::unique_ptr<FileTree>> tree = open_fat_tree(source);
    if (!tree) return 0;
    const Result<std::vector<FileEntry>> entries = (*tree)->list("/");
    if (!entries) return 0;
    for (const FileEntry& entry : *entries) {
        static_cast<void>((*tree)->read_text("/" + entry.name));
        static_cast<void>((*tree)->list("/" + entry.name));
    }
    return 0;
}
