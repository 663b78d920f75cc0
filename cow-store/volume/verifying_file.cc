#include "cow-store/volume/verifying_file.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <utility>

#include "cow-store/base/check.h"

namespace cowtgt {

/// One read, chunk by chunk: `io` is that of the chunk.
struct VerifyingFile::Reading {
    FileOperation io;
    VerifyingFile* file = nullptr;
    FileOperation* wanted = nullptr;
    std::uint64_t done_bytes = 0;
    Reading* pool_next = nullptr;
    alignas(4096) std::array<std::byte, chunk_size> chunk;
};

VerifyingFile::VerifyingFile(AsyncFile& file, std::shared_ptr<const ChunkSums> sums)
    : file_(file), sums_(std::move(sums)), readings_(std::make_unique<Pool<Reading>>()) {}

VerifyingFile::~VerifyingFile() = default;

void VerifyingFile::submit(FileOperation& operation) {
    CHECK(operation.kind == FileOperation::Kind::read);
    if (sums_->believed()) {
        file_.submit(operation);
        return;
    }
    Reading& reading = readings_->take();
    reading.file = this;
    reading.wanted = &operation;
    reading.done_bytes = 0;
    read_chunk(reading);
}

bool VerifyingFile::read_now(std::uint64_t offset, MutableBytes into) {
    return sums_->believed() && file_.read_now(offset, into);
}

LentBytes VerifyingFile::lend(std::uint64_t offset, std::uint64_t length) {
    return sums_->believed() ? file_.lend(offset, length) : LentBytes{};
}

int VerifyingFile::append_now(std::uint64_t, Bytes) {
    return EROFS;
}

void VerifyingFile::read_chunk(Reading& reading) {
    const std::uint64_t at = round_down(reading.wanted->offset + reading.done_bytes, chunk_size);
    const std::uint64_t end = std::max(sums_->file_size(), at);
    reading.io = FileOperation{};
    reading.io.offset = at;
    reading.io.length = std::min(chunk_size, end - at);
    reading.io.data = MutableBytes(reading.chunk).first(reading.io.length);
    reading.io.done = chunk_read;
    reading.io.owner = &reading;
    file_.submit(reading.io);
}

void VerifyingFile::chunk_read(FileOperation& io, int os_errno) {
    Reading& reading = *static_cast<Reading*>(io.owner);
    VerifyingFile& self = *reading.file;
    const FileOperation& wanted = *reading.wanted;
    if (os_errno == 0 && !self.sums_->matches(io.offset, io.data)) os_errno = EBADMSG;
    if (os_errno != 0) {
        self.finish(reading, os_errno);
        return;
    }
    // Behind the end of the file everything is zero.
    std::fill(reading.chunk.begin() + static_cast<std::ptrdiff_t>(io.length), reading.chunk.end(),
              std::byte{0});
    const std::uint64_t inside = wanted.offset + reading.done_bytes - io.offset;
    const std::uint64_t part =
        std::min(chunk_size - inside, wanted.data.size() - reading.done_bytes);
    std::memcpy(wanted.data.data() + reading.done_bytes, reading.chunk.data() + inside, part);
    reading.done_bytes += part;
    if (reading.done_bytes < wanted.data.size()) {
        self.read_chunk(reading);
        return;
    }
    self.finish(reading, 0);
}

void VerifyingFile::finish(Reading& reading, int os_errno) {
    FileOperation& wanted = *reading.wanted;
    readings_->give_back(reading);
    wanted.done(wanted, os_errno);
}

}  // namespace cowtgt
