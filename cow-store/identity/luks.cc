#include "cow-store/identity/luks.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <vector>

#include "cow-store/base/endian.h"
#include "cow-store/identity/digests.h"
#include "cow-store/identity/disk_text.h"

namespace cowtgt::identity {

namespace {

using namespace std::string_view_literals;

/// LUKS2 On-Disk Format Specification, section 2.1; in LUKS1 the magic, the version and the UUID
/// lie at the same places, and all else is different.
struct Header {
    std::array<std::byte, 6> magic;
    be16 version;
    be64 hdr_size;  ///< with the JSON area, bytes
    be64 seqid;
    std::array<std::byte, 48> label;
    std::array<std::byte, 32> csum_alg;
    std::array<std::byte, 64> salt;
    std::array<std::byte, 40> uuid;  ///< as text
    std::array<std::byte, 48> subsystem;
    be64 hdr_offset;  ///< of this header, bytes
    std::array<std::byte, 184> padding;
    std::array<std::byte, 64> csum;  ///< of hdr_size bytes with this field zero
};
static_assert(sizeof(Header) == 512 && alignof(Header) == 1);
static_assert(offsetof(Header, label) == 24 && offsetof(Header, uuid) == 168);
static_assert(offsetof(Header, hdr_offset) == 256 && offsetof(Header, csum) == 448);

constexpr auto magic_first = "LUKS\xba\xbe"sv;
constexpr auto magic_second = "SKUL\xba\xbe"sv;
constexpr std::uint64_t binary_header_size = 4096;
constexpr std::uint64_t header_size_min = std::uint64_t{16} << 10;
constexpr std::uint64_t header_size_max = std::uint64_t{4} << 20;
constexpr std::size_t label_bytes_max = 47;

/// One copy with everything of it that was checked.
struct HeaderCopy {
    std::uint64_t offset;  ///< bytes from the start of the window
    Header header;
    std::vector<std::byte> area;  ///< hdr_size bytes; empty in LUKS1
};

Digest256 checksum_of(const HeaderCopy& copy) {
    std::vector<std::byte> area = copy.area;
    Header header = copy.header;
    header.csum = {};
    std::memcpy(area.data(), &header, sizeof(header));
    return sha256(area);
}

bool has_good_checksum(const HeaderCopy& copy) {
    const Digest256 digest = checksum_of(copy);
    const Bytes csum(copy.header.csum);
    return std::ranges::equal(csum.first(digest.size()), digest) &&
           std::ranges::all_of(csum.subspan(digest.size()),
                               [](std::byte byte) { return byte == std::byte{0}; });
}

Result<HeaderCopy> read_copy(const Window& window, std::uint64_t offset, std::string_view magic,
                             std::string_view name) {
    const Result<Header> header = window.read_struct<Header>(offset);
    if (!header) return header.error();
    const auto damaged = [&](std::string_view what) {
        return Error{ErrorCode::corrupt, "its " + std::string(name) + " header is damaged (" +
                                             std::string(what) + "): run cryptsetup repair"};
    };
    if (!std::ranges::equal(header->magic, bytes_of(magic)) || header->version.get() != 2) {
        return damaged("no magic");
    }
    const std::uint64_t size = header->hdr_size.get();
    if (!is_power_of_two(size) || size < header_size_min || size > header_size_max) {
        return damaged("impossible size");
    }
    if (text_from_disk(header->csum_alg) != "sha256") {
        return Error{ErrorCode::unsupported,
                     "its headers have checksums other than sha256, which are not supported"};
    }
    Result<std::vector<std::byte>> area = window.read_bytes(offset, size);
    if (!area) return area.error();
    HeaderCopy copy{offset, *header, *std::move(area)};
    if (!has_good_checksum(copy)) return damaged("checksum");
    if (header->hdr_offset.get() != offset) return damaged("it says that it lies elsewhere");
    return copy;
}

Result<std::vector<HeaderCopy>> read_version_2(const Window& window) {
    Result<HeaderCopy> first = read_copy(window, 0, magic_first, "first");
    if (!first) return first.error();
    Result<HeaderCopy> second =
        read_copy(window, first->header.hdr_size.get(), magic_second, "second");
    if (!second) return second.error();
    const auto json = [](const HeaderCopy& copy) {
        return Bytes(copy.area).subspan(binary_header_size);
    };
    if (first->header.uuid != second->header.uuid || first->header.label != second->header.label ||
        first->header.seqid != second->header.seqid ||
        first->header.hdr_size != second->header.hdr_size ||
        !std::ranges::equal(json(*first), json(*second))) {
        return Error{ErrorCode::corrupt, "its two headers differ: run cryptsetup repair"};
    }
    std::vector<HeaderCopy> copies;
    copies.push_back(*std::move(first));
    copies.push_back(*std::move(second));
    return copies;
}

/// The error is the reason to keep the identity.
Result<std::vector<HeaderCopy>> read_headers(const Window& window) {
    const Result<Header> header = window.read_struct<Header>(0);
    if (!header) return header.error();
    if (!std::ranges::equal(header->magic, bytes_of(magic_first))) {
        return Error{ErrorCode::corrupt, "the LUKS container is gone"};
    }
    Result<std::vector<HeaderCopy>> copies =
        Error{ErrorCode::unsupported, "its version is unknown"};
    if (header->version.get() == 1) copies = std::vector<HeaderCopy>{{0, *header, {}}};
    if (header->version.get() == 2) copies = read_version_2(window);
    if (!copies) return copies;
    if (!parse_uuid(text_from_disk(header->uuid))) {
        return Error{ErrorCode::corrupt, "its UUID is none: run cryptsetup luksUUID"};
    }
    return copies;
}

std::vector<Place> places_of(const Window& window, const std::vector<HeaderCopy>& copies) {
    std::vector<Place> places;
    for (const HeaderCopy& copy : copies) {
        places.push_back({.role = "header",
                          .offset = window.begin() + copy.offset,
                          .length = std::max<std::uint64_t>(sizeof(Header), copy.area.size()),
                          .number = places.size()});
    }
    return places;
}

Finding uuid_finding(const std::string& where, const Header& header) {
    const bool has_label = header.version.get() == 2;
    return found(where, "fs-uuid", text_from_disk(header.uuid),
                 has_label ? text_from_disk(header.label) : "");
}

Patch patch_of(const Window& window, HeaderCopy copy, const std::string& uuid,
               const std::optional<std::string>& label) {
    Header& header = copy.header;
    header.uuid = {};
    std::memcpy(header.uuid.data(), uuid.data(), uuid.size());
    if (copy.area.empty()) {
        return patch_at(window, copy.offset + offsetof(Header, uuid), header.uuid);
    }
    if (label) {
        header.label = {};
        std::memcpy(header.label.data(), label->data(), label->size());
    }
    header.csum = {};
    const Digest256 digest = checksum_of(copy);
    std::ranges::copy(digest, header.csum.begin());
    return patch_at(window, copy.offset, bytes_of_struct(header));
}

}  // namespace

Result<std::optional<Structure>> examine_luks(const Window& window, const std::string& place) {
    if (!window.contains(0, sizeof(Header))) return std::optional<Structure>();
    const Result<Header> header = window.read_struct<Header>(0);
    if (!header) return header.error();
    if (!std::ranges::equal(header->magic, bytes_of(magic_first))) {
        return std::optional<Structure>();
    }
    Structure structure = structure_in(window, "luks", "LUKS", place);
    structure.findings.push_back(uuid_finding(structure.where, *header));
    const auto copies = read_headers(window);
    if (!copies) return with_places(std::move(structure), copies.error());
    return with_places(std::move(structure), places_of(window, *copies));
}

Result<Patching> patch_luks(const PatchRequest& request) {
    const Window& window = request.window;
    const auto copies = read_headers(window);
    if (!copies) return copies.error();
    if (Result<void> same = check_places(request.structure, places_of(window, *copies)); !same) {
        return same.error();
    }
    const Header& first = copies->front().header;
    if (request.label) {
        const Result<void> fits = first.version.get() == 1
                                      ? check_no_label(request, "LUKS1 has none")
                                      : check_label(*request.label, label_bytes_max, "LUKS2");
        if (!fits) return fits.error();
    }
    const std::optional<Uuid> old = parse_uuid(text_from_disk(first.uuid));
    CHECK(old.has_value());
    const Result<Uuid> uuid = chosen_uuid(request, "fs-uuid", *old);
    if (!uuid) return uuid.error();
    Patching patching;
    for (const HeaderCopy& copy : *copies) {
        patching.patches.push_back(patch_of(window, copy, to_string(*uuid), request.label));
    }
    Finding finding = changed(uuid_finding(request.structure.where, first), to_string(*uuid));
    finding.note =
        "all clones are opened by the same keys, and what is inside keeps its identity: run "
        "cryptsetup reencrypt in the clone to have its own";
    patching.findings.push_back(finding);
    if (request.label) patching.findings.push_back(changed_label(finding, *request.label));
    return patching;
}

}  // namespace cowtgt::identity
