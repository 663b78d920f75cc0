#pragma once

#include <cstdint>
#include <memory>

#include "cow-store/file.h"
#include "cow-store/volume/chunk_sums.h"
#include "cow-store/volume/pool.h"

namespace cowtgt {

/// A sealed file whose bytes are compared with their sums before anybody sees them, until the sums
/// say that the whole file is believed; after that it costs nothing.
///
/// A read that meets another content fails with EBADMSG.
/// Ownership: `file` outlives it. Memory: a chunk for each read under way at the busiest time.
/// Threads: the file's.
class VerifyingFile final : public AsyncFile {
public:
    VerifyingFile(AsyncFile& file, std::shared_ptr<const ChunkSums> sums);
    ~VerifyingFile() override;

    void submit(FileOperation& operation) override;
    bool read_now(std::uint64_t offset, MutableBytes into) override;
    LentBytes lend(std::uint64_t offset, std::uint64_t length) override;
    int append_now(std::uint64_t offset, Bytes from) override;
    DirectIoAlignment alignment() const override { return file_.alignment(); }

private:
    struct Reading;

    void read_chunk(Reading& reading);
    static void chunk_read(FileOperation& io, int os_errno);
    void finish(Reading& reading, int os_errno);

    AsyncFile& file_;
    std::shared_ptr<const ChunkSums> sums_;
    std::unique_ptr<Pool<Reading>> readings_;
};

}  // namespace cowtgt
