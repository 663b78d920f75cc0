#include "cow-store/format/directory_page.h"

#include <cstring>
#include <string>

#include "cow-store/base/check.h"

namespace cowtgt {

namespace {

constexpr std::array<std::uint8_t, 4> directory_magic = {'m', 'a', 'p', 'd'};

Error corrupt(const char* why) {
    return Error{ErrorCode::corrupt, std::string("directory page: ") + why, 0};
}

}  // namespace

void encode_directory_page(MutableBytes page, std::uint64_t generation,
                           std::span<const PageEntry> entries, const PagePointer& next) {
    CHECK(page.size() == unit_size && entries.size() <= entries_per_directory_page);
    std::memset(page.data(), 0, page.size());
    const DiskDirectoryPage head{
        directory_magic, static_cast<std::uint16_t>(entries.size()), 0, generation, next.unit, 0,
        next.checksum};
    std::memcpy(page.data(), &head, sizeof head);
    std::byte* at = page.data() + sizeof head;
    for (const PageEntry& entry : entries) {
        const DiskPageEntry disk{entry.first_leaf, entry.page.unit,
                                 static_cast<std::uint32_t>(entry.form), entry.page.checksum};
        std::memcpy(at, &disk, sizeof disk);
        at += sizeof disk;
    }
}

Result<DecodedDirectoryPage> decode_directory_page(Bytes page) {
    CHECK(page.size() == unit_size);
    DiskDirectoryPage head;
    std::memcpy(&head, page.data(), sizeof head);
    if (head.magic != directory_magic) return corrupt("no magic");
    if (head.entry_count.get() > entries_per_directory_page) return corrupt("too many entries");
    DecodedDirectoryPage decoded;
    decoded.next = {head.next_unit.get(), head.next_checksum.get()};
    decoded.entries.reserve(head.entry_count.get());
    const std::byte* at = page.data() + sizeof head;
    for (std::uint32_t i = 0; i < head.entry_count.get(); ++i) {
        DiskPageEntry disk;
        std::memcpy(&disk, at, sizeof disk);
        at += sizeof disk;
        const std::uint32_t form = disk.form.get();
        if (form != static_cast<std::uint32_t>(PageForm::packed) &&
            form != static_cast<std::uint32_t>(PageForm::dense)) {
            return corrupt("unknown form of a map page");
        }
        if (!decoded.entries.empty() &&
            disk.first_leaf.get() <= decoded.entries.back().first_leaf) {
            return corrupt("entries out of order");
        }
        decoded.entries.push_back({disk.first_leaf.get(),
                                   static_cast<PageForm>(form),
                                   {disk.unit.get(), disk.checksum.get()}});
    }
    return decoded;
}

}  // namespace cowtgt
