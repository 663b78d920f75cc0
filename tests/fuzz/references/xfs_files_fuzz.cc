#include <cstring>

#include "cow-store/base/check.h"
#include "cow-store/base/endian.h"
#include "cow-store/references/files.h"
#include "tests/unit/references/xfs_image.h"

/// The files of XFS. Input: three bytes each, a place (le16) in a good file system and what it has
/// there instead. Whatever they say, a look at all of it ends, and what is called a file's content
/// lies where the answer says.
namespace {

using namespace cowtgt;

struct Change {
    le16 offset;
    std::byte value;
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
    constexpr std::uint64_t read_max = std::uint64_t{1} << 20;
    references::XfsImage image;
    for (; size >= sizeof(Change); data += sizeof(Change), size -= sizeof(Change)) {
        Change change;
        std::memcpy(&change, data, sizeof(change));
        image.write(change.offset.get(), Bytes(&change.value, 1));
    }
    const identity::Window window(image, 0, image.size());
    const auto files = references::open_xfs_files(window);
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
        const auto read = (*files)->read((*owners)[i].path, read_max,
                                         [&length](Bytes piece) { length += piece.size(); });
        CHECK(!read || length <= read_max);
    }
    const auto archives = (*files)->boot_archives();
    CHECK(archives || identity::is_reason_to_keep(archives.error()));
    return 0;
}
