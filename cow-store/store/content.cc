#include "cow-store/store/content.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdlib>
#include <memory>

#include "cow-store/base/check.h"
#include "cow-store/base/checksum.h"
#include "cow-store/file_posix.h"

namespace cowtgt::store {

namespace {

constexpr std::size_t window_size = std::size_t{1} << 20;  ///< bytes read at once
static_assert(window_size % chunk_size == 0);
constexpr std::size_t direct_alignment = 4096;  ///< bytes; enough for every device

/// Memory that direct I/O accepts.
struct FreeMemory {
    void operator()(std::byte* memory) const { std::free(memory); }
};
using AlignedBuffer = std::unique_ptr<std::byte, FreeMemory>;

AlignedBuffer aligned_buffer(std::size_t size) {
    return AlignedBuffer(static_cast<std::byte*>(std::aligned_alloc(direct_alignment, size)));
}

/// Direct I/O takes whole blocks only, and the end of an image may be none.
void leave_direct_io(int fd) {
    const int flags = ::fcntl(fd, F_GETFL);
    if (flags >= 0 && (flags & O_DIRECT) != 0) (void)::fcntl(fd, F_SETFL, flags & ~O_DIRECT);
}

/// The content id so far, with one more page of the table.
std::uint64_t link_page(std::uint64_t id, std::uint64_t number, Bytes page) {
    std::vector<std::byte> link;
    const le64 before = id, page_number = number;
    for (const Bytes part : {bytes_of_struct(before), bytes_of_struct(page_number), page}) {
        link.insert(link.end(), part.begin(), part.end());
    }
    return xxh3_64(link);
}

std::uint64_t link_size(std::uint64_t id, std::uint64_t size) {
    const std::array<le64, 2> last = {le64{id}, le64{size}};
    return xxh3_64(std::as_bytes(std::span<const le64>(last)));
}

}  // namespace

Result<void> ContentHasher::add(std::uint64_t offset, Bytes chunk) {
    const std::uint64_t index = offset / chunk_size;
    const std::uint64_t page_number = index / page_entries;
    CHECK(offset % chunk_size == 0 && page_number >= page_number_);
    const std::uint64_t hash = chunk_hash(chunk);
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
    id_ = link_page(id_, page_number_, page);
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
    return link_size(id_, image_size);
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
    const AlignedBuffer window = aligned_buffer(window_size);
    for (std::uint64_t at = run.begin; at < run.end; at += window_size) {
        const std::size_t wanted =
            static_cast<std::size_t>(std::min<std::uint64_t>(window_size, run.end - at));
        if (wanted % direct_alignment != 0) leave_direct_io(fd);
        const MutableBytes piece{window.get(), wanted};
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

Result<std::vector<std::uint64_t>> read_table(File& table, std::uint64_t size) {
    const Result<std::uint64_t> table_bytes = table.size();
    if (!table_bytes) return table_bytes.error();
    const std::uint64_t chunks = (size + chunk_size - 1) / chunk_size;
    const std::uint64_t entries = std::min(chunks, *table_bytes / sizeof(le64));
    std::vector<le64> raw(entries);
    if (Result<void> read = table.read_at(0, std::as_writable_bytes(std::span(raw))); !read) {
        return read.error();
    }
    std::vector<std::uint64_t> hashes;
    hashes.reserve(entries);
    for (const le64 entry : raw)
        hashes.push_back(entry.get());
    while (!hashes.empty() && hashes.back() == 0)
        hashes.pop_back();
    return hashes;
}

std::uint64_t content_id_of(std::span<const std::uint64_t> hashes, std::uint64_t size) {
    std::uint64_t id = 0;
    std::vector<le64> page(ContentHasher::page_entries);
    for (std::size_t first = 0; first < hashes.size(); first += page.size()) {
        const auto entries = hashes.subspan(first, std::min(page.size(), hashes.size() - first));
        if (std::ranges::all_of(entries, [](std::uint64_t hash) { return hash == 0; })) continue;
        std::fill(std::copy(entries.begin(), entries.end(), page.begin()), page.end(), le64{});
        id = link_page(id, first / page.size(), std::as_bytes(std::span<const le64>(page)));
    }
    return link_size(id, size);
}

Result<Descriptor> open_for_scan(const std::filesystem::path& path) {
    Result<Descriptor> direct = open_descriptor(path, O_RDONLY | O_DIRECT);
    if (direct || direct.error().os_errno != EINVAL) return direct;
    return open_descriptor(path, O_RDONLY);
}

namespace {

/// read_chunks() for all of a file, with a pace.
Result<void> scan(int fd, std::uint64_t size, const std::string& name, const Pace& pace,
                  const ChunkSink& sink) {
    for (std::uint64_t at = 0; at < size;) {
        const Result<std::optional<DataRun>> found = next_data_run(fd, at, size, name);
        if (!found) return found.error();
        if (!found->has_value()) break;
        const DataRun run{(*found)->begin, std::min((*found)->end, (*found)->begin + window_size)};
        if (pace) {
            if (Result<void> go_on = pace(run.end - run.begin); !go_on) return go_on;
        }
        if (Result<void> done = read_chunks_of(fd, run, name, sink); !done) return done;
        at = run.end;
    }
    return {};
}

}  // namespace

Result<std::uint64_t> hash_file(int fd, std::uint64_t size, const std::string& name, File& table,
                                const Pace& pace) {
    ContentHasher hasher(&table);
    Result<void> read = scan(fd, size, name, pace, [&hasher](std::uint64_t offset, Bytes chunk) {
        return hasher.add(offset, chunk);
    });
    if (!read) return read.error();
    return hasher.finish(size);
}

Result<void> compare_file(int fd, std::uint64_t size, const std::string& name,
                          std::span<const std::uint64_t> hashes, const Pace& pace,
                          const ChunkSink& differs) {
    std::uint64_t next = 0;  // chunk; those that are skipped are zeros
    const std::vector<std::byte> zeros(chunk_size);
    const auto skip_to = [&](std::uint64_t end) -> Result<void> {
        for (; next < std::min<std::uint64_t>(end, hashes.size()); ++next) {
            if (hashes[next] == 0) continue;
            const std::uint64_t at = next * chunk_size;
            const Bytes chunk = Bytes{zeros}.first(std::min(chunk_size, size - at));
            if (Result<void> taken = differs(at, chunk); !taken) return taken;
        }
        return {};
    };
    const ChunkSink compare = [&](std::uint64_t offset, Bytes chunk) -> Result<void> {
        const std::uint64_t index = offset / chunk_size;
        if (Result<void> skipped = skip_to(index); !skipped) return skipped;
        next = index + 1;
        const std::uint64_t expected = index < hashes.size() ? hashes[index] : 0;
        return chunk_hash(chunk) == expected ? Result<void>{} : differs(offset, chunk);
    };
    if (Result<void> read = scan(fd, size, name, pace, compare); !read) return read;
    return skip_to(hashes.size());
}

}  // namespace cowtgt::store
