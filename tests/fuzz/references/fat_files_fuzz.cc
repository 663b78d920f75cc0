#include <algorithm>
#include <cstring>

#include "cow-store/base/check.h"
#include "cow-store/references/files.h"

/// A FAT file system as it lies on disk: whatever is in it, each byte has an owner or there is a
/// reason not to look, and what is called a file's content lies where the answer says.
namespace {

using namespace cowtgt;

constexpr std::size_t image_max = std::size_t{256} << 10;

class Image : public identity::BlockSource {
public:
    explicit Image(Bytes bytes) : bytes_(bytes) {}
    Result<void> read(std::uint64_t offset, MutableBytes into) const override {
        CHECK(offset <= bytes_.size() && into.size() <= bytes_.size() - offset);
        if (!into.empty()) std::memcpy(into.data(), bytes_.data() + offset, into.size());
        return {};
    }
    std::uint64_t size() const override { return bytes_.size(); }

private:
    Bytes bytes_;
};

void check_owner(const references::Owner& owner, std::uint64_t offset, std::uint64_t size) {
    using Kind = references::Owner::Kind;
    if (owner.kind == Kind::untouchable) CHECK(!owner.reason.empty());
    if (owner.kind != Kind::file) return;
    CHECK(!owner.path.empty());
    CHECK(owner.run_begin <= offset && offset - owner.run_begin < owner.run_length);
    CHECK(owner.run_begin <= size && owner.run_length <= size - owner.run_begin);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const Bytes input(reinterpret_cast<const std::byte*>(data), std::min(size, image_max));
    const Image image(input);
    const identity::Window window(image, 0, image.size());
    const auto files = references::open_fat_files(window);
    if (!files) return 0;
    std::vector<std::uint64_t> offsets;
    for (std::uint64_t at = 0; at < image.size(); at += 500)
        offsets.push_back(at);
    const auto owners = (*files)->owners_of(offsets);
    if (!owners) return 0;
    CHECK(owners->size() == offsets.size());
    for (std::size_t i = 0; i < offsets.size(); ++i) {
        check_owner((*owners)[i], offsets[i], image.size());
        if ((*owners)[i].kind != references::Owner::Kind::file) continue;
        std::uint64_t length = 0;
        const auto read = (*files)->read((*owners)[i].path, image_max,
                                         [&length](Bytes piece) { length += piece.size(); });
        CHECK(!read || length <= image_max);
    }
    CHECK((*files)->boot_archives().has_value());
    return 0;
}
