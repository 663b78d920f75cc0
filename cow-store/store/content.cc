#include "cow-store/store/content.h"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>

#include "cow-store/base/check.h"
#include "cow-store/base/checksum.h"
#include "cow-store/file_posix.h"

namespace cowtgt::store {

namespace {

constexpr std::size_t window_size = std::size_t{1} << 20;  ///< bytes read at once
static_assert(window_size % chunk_size == 0);

Error differs(const std::string& image_name, const std::string& place) {
    return Error{ErrorCode::refused,
                 "the image " + image_name + " is not the one that was imported" + place +
                     "; restore it from a backup, or import the image again as a new version"};
}

}  // namespace

bool is_all_zeros(Bytes bytes) {
    if (bytes.empty()) return true;
    // The first byte is zero and each one equals the one before it.
    return bytes[0] == std::byte{0} &&
           std::memcmp(bytes.data(), bytes.data() + 1, bytes.size() - 1) == 0;
}

std::uint64_t ContentHasher::hash_of_chunk(Bytes chunk) {
    if (is_all_zeros(chunk)) return 0;
    return std::max<std::uint64_t>(xxh3_64(chunk), 1);
}

Result<void> ContentHasher::add(std::uint64_t offset, Bytes chunk) {
    const std::uint64_t index = offset / chunk_size;
    const std::uint64_t page_number = index / page_entries;
    CHECK(offset % chunk_size == 0 && page_number >= page_number_);
    const std::uint64_t hash = hash_of_chunk(chunk);
    if (hash == 0) return {};
    if (page_number != page_number_) {
        if (Result<void> finished = finish_page(); !finished) return finished;
        page_number_ = page_number;
    }
    page_[index % page_entries] = hash;
    page_is_empty_ = false;
    return {};
}

Result<void> ContentHasher::finish_page() {
    if (page_is_empty_) return {};
    const Bytes page = std::as_bytes(std::span<const le64>(page_));
    const le64 number = page_number_;
    std::vector<std::byte> link;
    for (const Bytes part : {bytes_of_struct(id_), bytes_of_struct(number), page}) {
        link.insert(link.end(), part.begin(), part.end());
    }
    id_ = xxh3_64(link);
    if (table_ != nullptr) {
        Result<void> written = table_->write_at(page_number_ * page.size(), page);
        if (!written) return written;
    }
    std::fill(page_.begin(), page_.end(), le64{});
    page_is_empty_ = true;
    return {};
}

Result<std::uint64_t> ContentHasher::finish(std::uint64_t image_size) {
    if (Result<void> finished = finish_page(); !finished) return finished.error();
    const std::array<le64, 2> last = {id_, le64{image_size}};
    return xxh3_64(std::as_bytes(std::span<const le64>(last)));
}

Result<std::optional<DataRun>> next_data_run(int fd, std::uint64_t offset, std::uint64_t size,
                                             const std::string& name) {
    if (offset >= size) return std::optional<DataRun>{};
    const off_t data = ::lseek(fd, static_cast<off_t>(offset), SEEK_DATA);
    if (data < 0 && errno == ENXIO) return std::optional<DataRun>{};
    if (data < 0 && errno == EINVAL) return std::optional<DataRun>{DataRun{offset, size}};
    if (data < 0) return system_error("looking for data in " + name, errno);
    const off_t hole = ::lseek(fd, data, SEEK_HOLE);
    if (hole < 0) return system_error("looking for a hole in " + name, errno);

    const std::uint64_t begin = round_down(static_cast<std::uint64_t>(data), chunk_size);
    const std::uint64_t end = round_up(static_cast<std::uint64_t>(hole), chunk_size);
    if (begin >= size) return std::optional<DataRun>{};
    return std::optional<DataRun>{DataRun{begin, std::min(end, size)}};
}

Result<void> read_chunks_of(int fd, DataRun run, const std::string& name, const ChunkSink& sink) {
    std::vector<std::byte> window(
        static_cast<std::size_t>(std::min<std::uint64_t>(window_size, run.end - run.begin)));
    for (std::uint64_t at = run.begin; at < run.end; at += window.size()) {
        const std::size_t wanted =
            static_cast<std::size_t>(std::min<std::uint64_t>(window.size(), run.end - at));
        const MutableBytes piece = MutableBytes{window}.first(wanted);
        const Result<std::size_t> got = read_some_at(fd, at, piece, name);
        if (!got) return got.error();
        if (*got != wanted) {
            return Error{ErrorCode::failed, name + " became shorter while it was being read"};
        }
        for (std::size_t i = 0; i < wanted; i += chunk_size) {
            const Bytes chunk = piece.subspan(i, std::min<std::size_t>(chunk_size, wanted - i));
            if (is_all_zeros(chunk)) continue;
            if (Result<void> taken = sink(at + i, chunk); !taken) return taken;
        }
    }
    return {};
}

Result<void> read_chunks(int fd, std::uint64_t size, const std::string& name,
                         const Progress& progress, const ChunkSink& sink) {
    // Long runs are cut, so that progress is told now and then.
    constexpr std::uint64_t step = std::uint64_t{64} << 20;
    for (std::uint64_t at = 0; at < size;) {
        const Result<std::optional<DataRun>> found = next_data_run(fd, at, size, name);
        if (!found) return found.error();
        if (!found->has_value()) break;
        const DataRun run{(*found)->begin, std::min((*found)->end, (*found)->begin + step)};
        if (Result<void> done = read_chunks_of(fd, run, name, sink); !done) return done;
        at = run.end;
        if (progress) progress(at, size);
    }
    if (progress) progress(size, size);
    return {};
}

Result<void> without_zero_runs(std::uint64_t offset, Bytes chunk, const ChunkSink& sink) {
    const auto zero_at = [&](std::size_t at) {
        return is_all_zeros(
            chunk.subspan(at, std::min<std::size_t>(zero_run_granularity, chunk.size() - at)));
    };
    for (std::size_t at = 0; at < chunk.size();) {
        std::size_t end = at + zero_run_granularity;
        if (zero_at(at)) {
            at = end;
            continue;
        }
        while (end < chunk.size() && !zero_at(end))
            end += zero_run_granularity;
        end = std::min(end, chunk.size());
        if (Result<void> taken = sink(offset + at, chunk.subspan(at, end - at)); !taken) {
            return taken;
        }
        at = end;
    }
    return {};
}

Result<void> verify_content(int image, std::uint64_t size, const std::string& image_name,
                            File& table, std::uint64_t content_id) {
    ContentHasher hasher(nullptr);
    const auto compare = [&](std::uint64_t offset, Bytes chunk) -> Result<void> {
        le64 expected;
        const MutableBytes entry = std::as_writable_bytes(std::span<le64>(&expected, 1));
        Result<void> read = table.read_at(offset / chunk_size * sizeof(le64), entry);
        if (!read) return read;
        if (ContentHasher::hash_of_chunk(chunk) != expected.get()) {
            return differs(image_name,
                           ": it differs within the 64 KiB from byte " + std::to_string(offset));
        }
        return hasher.add(offset, chunk);
    };
    if (Result<void> read = read_chunks(image, size, image_name, {}, compare); !read) return read;
    const Result<std::uint64_t> id = hasher.finish(size);
    if (!id) return id.error();
    // Each chunk that is there is right, so one is missing: zeros where data has been.
    if (*id != content_id) return differs(image_name, ": some of its content is gone");
    return {};
}

}  // namespace cowtgt::store
