#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "cow-store/base/bytes.h"
#include "cow-store/base/endian.h"
#include "cow-store/base/result.h"
#include "cow-store/descriptor.h"
#include "cow-store/file.h"
#include "cow-store/store/store.h"
#include "cow-store/volume/chunk_sums.h"

/// What a sealed file (image or layer) contains: reading it without its holes, and the hashes that
/// prove it.
///
/// A table of hashes has 8 bytes, little endian, for each chunk of 64 KiB of the image: 0 for a
/// chunk of zeros, else its XXH3-64 (1 in the place of a hash that is 0). The last chunk may be
/// short. A table of holes is itself a hole, so the table of a sparse image is sparse. The content
/// id is a chain over the pages of the table (4096 entries each) that are not all zero: id =
/// xxh3_64(id, page number, page), starting with 0, and xxh3_64(id, image size) at the end, all
/// integers little endian and 64 bits.
namespace cowtgt::store {

inline constexpr std::uint64_t zero_run_granularity = 4096;  ///< bytes

/// Told how many bytes are about to be read; may wait, and ends the reading by an error.
using Pace = std::function<Result<void>(std::uint64_t bytes)>;

/// Hashes an image whose chunks come in rising order; chunks of zeros may be left out.
class ContentHasher {
public:
    /// `table`, if not null, gets the hashes and outlives the hasher.
    explicit ContentHasher(File* table) : table_(table), page_(page_entries) {}

    /// Requires: `chunk` is the whole chunk that begins at `offset`; offsets rise.
    Result<void> add(std::uint64_t offset, Bytes chunk);
    /// Writes what is left and tells the content id.
    Result<std::uint64_t> finish(std::uint64_t image_size);

    static constexpr std::uint64_t page_entries = 4096;  ///< of a table

private:
    Result<void> finish_page();

    File* table_;
    std::vector<le64> page_;
    std::uint64_t page_number_ = 0;
    bool page_is_empty_ = true;
    std::uint64_t id_ = 0;
};

/// Takes a chunk that is not all zeros, and where it lies.
using ChunkSink = std::function<Result<void>(std::uint64_t offset, Bytes chunk)>;

/// A stretch of a file that may hold data: whole chunks, but for the end of the file.
struct DataRun {
    std::uint64_t begin = 0;  ///< bytes
    std::uint64_t end = 0;    ///< bytes
};
/// The first one at or after `offset` (a multiple of chunk_size) below `size`; nothing if the rest
/// is a hole. A file or device that cannot tell its holes has none.
Result<std::optional<DataRun>> next_data_run(int fd, std::uint64_t offset, std::uint64_t size,
                                             const std::string& name);

/// Opens a sealed file past the page cache where that can be, to see what the device has.
Result<Descriptor> open_for_scan(const std::filesystem::path& path);

/// Hands every chunk of [0, size) that is not all zeros to `sink`, in order. Holes cost nothing.
Result<void> read_chunks(int fd, std::uint64_t size, const std::string& name,
                         const Progress& progress, const ChunkSink& sink);

/// The same for one run.
Result<void> read_chunks_of(int fd, DataRun run, const std::string& name, const ChunkSink& sink);

/// Cuts a chunk into its runs of pages that are not all zeros.
Result<void> without_zero_runs(std::uint64_t offset, Bytes chunk, const ChunkSink& sink);

/// A table of hashes, by chunk, of a file of `size` bytes; without the zeros at its end.
Result<std::vector<std::uint64_t>> read_table(File& table, std::uint64_t size);
/// The content id that a table proves.
std::uint64_t content_id_of(std::span<const std::uint64_t> hashes, std::uint64_t size);

/// Hashes all of a file into `table`; its content id.
Result<std::uint64_t> hash_file(int fd, std::uint64_t size, const std::string& name, File& table,
                                const Pace& pace);

/// Takes each chunk that is not what its table says: where it lies, and what is there.
/// Reads all of a file of `size` bytes for it.
Result<void> compare_file(int fd, std::uint64_t size, const std::string& name,
                          std::span<const std::uint64_t> hashes, const Pace& pace,
                          const ChunkSink& differs);

}  // namespace cowtgt::store
