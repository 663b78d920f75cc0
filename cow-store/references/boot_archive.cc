#include "cow-store/references/boot_archive.h"

#include <algorithm>
#include <set>
#include <string_view>

#include "cow-store/compression/decompressor.h"
#include "cow-store/identity/reference_plan.h"
#include "cow-store/references/text_search.h"

namespace cowtgt::references {

namespace {

using compression::Compression;

constexpr std::string_view cpio_magic = "07070";  // 1 or 2 follow: with or without a checksum
constexpr std::string_view cpio_end = "TRAILER!!!";
constexpr std::uint64_t unpacked_max = std::uint64_t{8} << 30;  ///< bytes; no machine has that room

Bytes without_zeros(Bytes bytes) {
    const auto begin = std::ranges::find_if(bytes, [](std::byte b) { return b != std::byte{0}; });
    return bytes.subspan(static_cast<std::size_t>(begin - bytes.begin()));
}

/// Behind an archive that is not compressed; empty when nothing that is known follows it. A file in
/// it may hold the word that ends an archive, so the first one need not be the end.
Bytes behind_cpio(Bytes archive) {
    const std::string_view text = text_of(archive);
    for (std::size_t at = text.find(cpio_end); at != std::string_view::npos;
         at = text.find(cpio_end, at + 1)) {
        const Bytes rest = without_zeros(archive.subspan(at + cpio_end.size()));
        if (text_of(rest).starts_with(cpio_magic) ||
            compression::compression_of(rest) != Compression::none) {
            return rest;
        }
    }
    return {};
}

/// Unpacks one stream from the front of `in` and searches it.
Result<void> search_stream(Compression kind, Bytes& in, TextSearch& search,
                           std::uint64_t& position) {
    Result<void> done = compression::decompress(kind, in, [&](Bytes piece) {
        search.feed(position, piece);
        position += piece.size();
        return position < unpacked_max;
    });
    if (done && position >= unpacked_max) {
        return Error{ErrorCode::unsupported, "it is too large when unpacked"};
    }
    return done;
}

}  // namespace

Result<std::vector<std::string>> search_boot_archive(Bytes archive,
                                                     const std::vector<std::string>& texts) {
    TextSearch search(texts);
    std::uint64_t position = 0;
    for (Bytes rest = without_zeros(archive); !rest.empty(); rest = without_zeros(rest)) {
        if (text_of(rest).starts_with(cpio_magic)) {
            rest = behind_cpio(rest);
            continue;
        }
        const Compression kind = compression::compression_of(rest);
        if (kind == Compression::none) {
            return Error{ErrorCode::unsupported, "it is packed in a way that is not known here"};
        }
        if (Result<void> done = search_stream(kind, rest, search, position); !done) {
            return std::move(done).error();
        }
    }
    std::set<std::string> found;
    for (const Occurrence& one : search.finish())
        found.insert(identity::value_named_by(one.text));
    return std::vector<std::string>(found.begin(), found.end());
}

}  // namespace cowtgt::references
