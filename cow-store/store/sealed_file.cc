#include "cow-store/store/sealed_file.h"

#include <fcntl.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "cow-store/file_posix.h"
#include "cow-store/store/catalogue.h"
#include "cow-store/store/content.h"
#include "cow-store/store/layout.h"

namespace cowtgt::store {

namespace {

Error not_the_same(const SealedFile& file, const std::string& difference) {
    const char* remedy = file.kind == SealedFile::Kind::image
                             ? "; restore it from a backup, or import the image again as a new "
                               "version"
                             : "; restore it from a backup";
    const char* origin = file.kind == SealedFile::Kind::image
                             ? " is not the one that was imported: "
                             : " is not the one that was sealed: ";
    return Error{ErrorCode::refused, sealed_name(file) + origin + difference + remedy};
}

Result<std::shared_ptr<ChunkSums>> sums_for_reading(const Context& context, const SealedFile& file,
                                                    std::uint64_t inode) {
    if (std::shared_ptr<ChunkSums> known = context.read_sums->find(inode)) return known;
    SealedFile hashed = file;
    if (file.kind == SealedFile::Kind::layer) {
        const Result<std::optional<SumsDocument>> sums = load_sums(context, file.uuid);
        if (!sums) return sums.error();
        if (!*sums) return std::shared_ptr<ChunkSums>{};
        if (hashed.content_id == 0) hashed.content_id = (*sums)->content_id;
    }
    Result<std::vector<std::uint64_t>> hashes = load_table(hashed);
    if (!hashes) return std::move(hashes).error();
    const auto until = context.environment.verify_reads == VerifyReads::always
                           ? ChunkSums::Until::for_ever
                           : ChunkSums::Until::believed;
    return context.read_sums->keep(
        inode, std::make_shared<ChunkSums>(file.fingerprint.size, std::move(*hashes), until));
}

}  // namespace

std::shared_ptr<ChunkSums> ReadSums::find(std::uint64_t inode) const {
    const std::lock_guard lock(mutex_);
    const auto found = sums_.find(inode);
    return found == sums_.end() ? nullptr : found->second.lock();
}

std::shared_ptr<ChunkSums> ReadSums::keep(std::uint64_t inode, std::shared_ptr<ChunkSums> sums) {
    const std::lock_guard lock(mutex_);
    std::weak_ptr<ChunkSums>& place = sums_[inode];
    if (std::shared_ptr<ChunkSums> known = place.lock()) return known;
    place = sums;
    return sums;
}

void ReadSums::believe(std::uint64_t inode) {
    if (const std::shared_ptr<ChunkSums> sums = find(inode)) sums->believe();
}

std::string sealed_name(const SealedFile& file) {
    return (file.kind == SealedFile::Kind::image ? "the image " : "the sealed layer ") +
           file.path.string();
}

Result<std::optional<SumsDocument>> load_sums(const Context& context, const Uuid& layer) {
    const std::filesystem::path path = context.layout.sums_document(layer);
    const Result<std::string> text = read_text_file(path);
    if (!text && text.error().code == ErrorCode::not_found) return std::optional<SumsDocument>{};
    if (!text) return text.error();
    Result<SumsDocument> document = decode_sums(*text, path.string());
    if (!document) return std::move(document).error();
    if (document->uuid != layer) {
        return Error{ErrorCode::corrupt, path.string() + " is about another layer; remove it"};
    }
    return std::optional{std::move(*document)};
}

Result<std::vector<std::uint64_t>> load_table(const SealedFile& file) {
    const Result<std::unique_ptr<PosixFile>> table = PosixFile::open(file.table, O_RDONLY);
    if (!table) return table.error();
    Result<std::vector<std::uint64_t>> hashes = read_table(**table, file.fingerprint.size);
    if (!hashes || content_id_of(*hashes, file.fingerprint.size) == file.content_id) return hashes;
    return Error{ErrorCode::corrupt, "the hashes " + file.table.string() + " of " +
                                         sealed_name(file) +
                                         " are damaged; `cowtgt check --repair` makes them again"};
}

Result<OpenedFile> open_sealed_file(const Context& context, const SealedFile& file) {
    Result<Descriptor> opened = open_descriptor(file.path, O_RDONLY);
    if (!opened && opened.error().os_errno == ENOENT) {
        return Error{ErrorCode::refused, sealed_name(file) + " is gone; restore it from a backup"};
    }
    if (!opened) return std::move(opened).error();
    const Result<Fingerprint> found = fingerprint_of(opened->get(), file.path);
    if (!found) return found.error();
    if (found->size != file.fingerprint.size) {
        return not_the_same(file, "it has " + std::to_string(found->size) + " bytes instead of " +
                                      std::to_string(file.fingerprint.size));
    }
    if (*found == file.fingerprint &&
        context.environment.verify_reads == VerifyReads::when_in_doubt) {
        return OpenedFile{std::move(*opened), nullptr, sealed_name(file)};
    }
    Result<std::shared_ptr<ChunkSums>> sums = sums_for_reading(context, file, found->inode);
    if (!sums) return std::move(sums).error();
    if (*sums == nullptr && found->mtime_ns != file.fingerprint.mtime_ns) {
        return not_the_same(file, "its time is another, and it was not hashed before that");
    }
    return OpenedFile{std::move(*opened), std::move(*sums), sealed_name(file)};
}

ReadableFile readable(const OpenedFile& file) {
    return {file.file.get(), file.sums.get(), file.name};
}

Error chunk_differs(const std::string& sealed_name, std::uint64_t offset) {
    return Error{ErrorCode::corrupt,
                 sealed_name + " is not what it was: it differs within the 64 KiB from byte " +
                     std::to_string(offset) + "; restore it from a backup"};
}

Result<void> read_verified(const ReadableFile& file, std::uint64_t offset, MutableBytes into) {
    const auto too_short = [&file] {
        return Error{ErrorCode::corrupt, file.name + " is too short; restore it from a backup"};
    };
    if (!file.is_in_doubt()) {
        const Result<std::size_t> got = read_some_at(file.descriptor, offset, into, file.name);
        if (!got) return got.error();
        return *got == into.size() ? Result<void>{} : too_short();
    }
    std::vector<std::byte> chunk(chunk_size);
    while (!into.empty()) {
        const std::uint64_t begin = round_down(offset, chunk_size);
        if (begin >= file.sums->file_size()) return too_short();
        const std::uint64_t length = std::min(chunk_size, file.sums->file_size() - begin);
        const MutableBytes whole = MutableBytes{chunk}.first(length);
        const Result<std::size_t> got = read_some_at(file.descriptor, begin, whole, file.name);
        if (!got) return got.error();
        const std::uint64_t inside = offset - begin;
        if (*got != length || inside >= length) return too_short();
        if (!file.sums->matches(begin, whole)) return chunk_differs(file.name, begin);
        const std::size_t part = std::min<std::size_t>(into.size(), length - inside);
        std::memcpy(into.data(), chunk.data() + inside, part);
        into = into.subspan(part);
        offset += part;
    }
    return {};
}

}  // namespace cowtgt::store
