#include "cow-store/identity/swap.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <vector>

#include "cow-store/base/endian.h"
#include "cow-store/identity/disk_text.h"

namespace cowtgt::identity {

namespace {

using namespace std::string_view_literals;

/// Linux, union swap_header, behind 1024 bytes for boot code.
struct SwapHeader {
    le32 version;
    le32 last_page;
    le32 nr_badpages;
    std::array<std::byte, 16> uuid;
    std::array<std::byte, 16> volume_name;
};
static_assert(sizeof(SwapHeader) == 44 && alignof(SwapHeader) == 1);

constexpr std::uint64_t header_offset = 1024;
constexpr std::uint64_t magic_size = 10;  ///< at the end of the first page
constexpr std::array<std::uint64_t, 5> page_sizes = {4096, 8192, 16384, 32768, 65536};
constexpr std::uint32_t bad_pages_max = 637;  ///< that the first page of 4096 bytes can list
constexpr auto swap_magic = "SWAPSPACE2"sv;
/// Of the kernel's and of user space's ways to hibernate; they stand in the magic's place.
constexpr std::array hibernation_magics = {
    "S1SUSPEND\0"sv,
    "S2SUSPEND\0"sv,
    "ULSUSPEND\0"sv,
    "LINHIB0001"sv,
    "\xed\xc3\x02\xe9\x98\x56\xe5\x0c\0\0"sv,
};

struct Swap {
    std::uint64_t page_size;
    std::string_view magic;
};

Result<std::optional<Swap>> find_swap(const Window& window) {
    for (const std::uint64_t page_size : page_sizes) {
        if (!window.contains(0, page_size)) break;
        const auto bytes = window.read_bytes(page_size - magic_size, magic_size);
        if (!bytes) return bytes.error();
        if (std::ranges::equal(*bytes, bytes_of(swap_magic))) {
            return std::optional(Swap{page_size, swap_magic});
        }
        for (const std::string_view magic : hibernation_magics) {
            // What follows the shorter magics was never defined.
            const std::size_t length = std::min(magic.size(), magic.find('\0'));
            if (std::equal(bytes->begin(), bytes->begin() + static_cast<std::ptrdiff_t>(length),
                           bytes_of(magic).begin())) {
                return std::optional(Swap{page_size, magic});
            }
        }
    }
    return std::optional<Swap>();
}

/// The header, found good. The error is the reason to keep the identity.
Result<SwapHeader> read_header(const Window& window, const Swap& swap) {
    if (swap.magic != swap_magic) {
        return Error{ErrorCode::refused,
                     "it holds the memory of a hibernated machine, whose clones would resume it: "
                     "resume and shut down that machine, or run mkswap on it"};
    }
    const Result<SwapHeader> header = window.read_struct<SwapHeader>(header_offset);
    if (!header) return header.error();
    if (header->version.get() != 1) {
        return Error{ErrorCode::unsupported, "its version is unknown: run mkswap on it"};
    }
    if (header->last_page.get() == 0 || header->nr_badpages.get() > bad_pages_max) {
        return Error{ErrorCode::corrupt, "its header is damaged: run mkswap on it"};
    }
    if (std::uint64_t{header->last_page.get()} + 1 > window.length() / swap.page_size) {
        return Error{ErrorCode::corrupt,
                     "it is larger than the space it lies in (was the image cut off?)"};
    }
    if (uuid_from_disk(header->uuid).is_nil()) {
        return Error{ErrorCode::refused, "it has no UUID, so nothing can refer to it"};
    }
    return header;
}

std::vector<Place> places_of(const Window& window) {
    return {{.role = "header",
             .offset = window.begin() + header_offset,
             .length = sizeof(SwapHeader),
             .number = 0}};
}

Finding uuid_finding(const std::string& where, const SwapHeader& header) {
    return found(where, "fs-uuid", to_string(uuid_from_disk(header.uuid)),
                 text_from_disk(header.volume_name));
}

}  // namespace

Result<std::optional<Structure>> examine_swap(const Window& window, const std::string& place) {
    const Result<std::optional<Swap>> swap = find_swap(window);
    if (!swap) return swap.error();
    if (!swap->has_value()) return std::optional<Structure>();
    const Result<SwapHeader> raw = window.read_struct<SwapHeader>(header_offset);
    if (!raw) return raw.error();
    Structure structure = structure_in(window, "swap", "swap", place);
    structure.findings.push_back(uuid_finding(structure.where, *raw));
    const Result<SwapHeader> header = read_header(window, **swap);
    if (!header) return with_places(std::move(structure), header.error());
    return with_places(std::move(structure), places_of(window));
}

Result<Patching> patch_swap(const PatchRequest& request) {
    const Window& window = request.window;
    const Result<std::optional<Swap>> swap = find_swap(window);
    if (!swap) return swap.error();
    if (!swap->has_value()) return Error{ErrorCode::corrupt, "the swap space is gone"};
    const Result<SwapHeader> header = read_header(window, **swap);
    if (!header) return header.error();
    if (Result<void> same = check_places(request.structure, places_of(window)); !same) {
        return same.error();
    }
    const Result<Uuid> uuid = chosen_uuid(request, "fs-uuid", uuid_from_disk(header->uuid));
    if (!uuid) return uuid.error();
    SwapHeader to = *header;
    std::memcpy(to.uuid.data(), uuid->bytes.data(), to.uuid.size());
    if (request.label) {
        const Result<void> fits = check_label(*request.label, to.volume_name.size(), "swap");
        if (!fits) return fits.error();
        to.volume_name = {};
        std::memcpy(to.volume_name.data(), request.label->data(), request.label->size());
    }
    Patching patching;
    patching.patches.push_back(patch_at(window, header_offset, bytes_of_struct(to)));
    patching.findings.push_back(
        changed(uuid_finding(request.structure.where, *header), to_string(*uuid)));
    if (request.label) {
        patching.findings.push_back(
            changed_label(patching.findings.front(), text_from_disk(to.volume_name)));
    }
    return patching;
}

}  // namespace cowtgt::identity
