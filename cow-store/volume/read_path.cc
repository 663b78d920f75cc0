#include <algorithm>
#include <cstring>

#include "cow-store/base/bytes.h"
#include "cow-store/volume/engine.h"

namespace cowtgt {

namespace {

/// Below it the system call for each answer costs more than the copy.
constexpr std::uint64_t lent_bytes_min = 16384;

bool is_shared(const ChainPiece& where) {
    return where.source == ChainSource::base ||
           (where.source == ChainSource::layer && where.level > 0);
}

}  // namespace

/// The whole range lies in one place that machines share, and is in memory: no need to copy it.
bool Volume::Engine::lend(Operation& operation) {
    BlockRequest& request = *operation.request;
    if (!request.may_be_lent || operation.length < lent_bytes_min) return false;
    const ChainPiece where = chain_.find(operation.offset, operation.length);
    if (where.length < operation.length || !is_shared(where)) return false;
    request.lent = file_of(where).lend(where.offset, where.length);
    return !request.lent.empty();
}

void Volume::Engine::start_read(Operation& operation) {
    operation.reader_epoch = quarantine_.begin_read();
    if (lend(operation)) {
        finish_read(operation);
        return;
    }
    operation.pending = 1;  // ours, until all parts are on their way
    MutableBytes rest = operation.request->data.first(operation.length);
    std::uint64_t offset = operation.offset;
    while (!rest.empty()) {
        const ChainPiece where = chain_.find(offset, rest.size());
        read_part(operation, nullptr, where, rest.first(where.length));
        rest = rest.subspan(where.length);
        offset += where.length;
    }
    if (--operation.pending == 0) finish_read(operation);
}

Piece& Volume::Engine::take_piece(Operation& operation) {
    Piece& piece = pieces_.take();
    piece.engine = this;
    piece.operation = &operation;
    piece.merge = nullptr;
    piece.buffer = nullptr;
    piece.io = FileOperation{};
    piece.io.owner = &piece;
    return piece;
}

AsyncFile& Volume::Engine::file_of(const ChainPiece& where) const {
    if (where.source == ChainSource::base) return *base_.file;
    return where.level == 0 ? live_ : *below_.layers[where.level - 1].file;
}

/// Reads one piece of the chain; `merge` waits for it, or else the request does.
void Volume::Engine::read_part(Operation& operation, Piece* merge, const ChainPiece& where,
                               MutableBytes target) {
    if (where.source == ChainSource::zeros) {
        std::memset(target.data(), 0, target.size());
        return;
    }
    AsyncFile& file = file_of(where);
    // What machines share is in the page cache most of the time, and one copy serves them all.
    if (is_shared(where) && file.read_now(where.offset, target)) return;

    const DirectIoAlignment alignment = file.alignment();
    const bool direct = where.offset % alignment.offset == 0 &&
                        target.size() % alignment.offset == 0 &&
                        reinterpret_cast<std::uintptr_t>(target.data()) % alignment.memory == 0;
    if (direct) {
        read_file(operation, merge, file, where.offset, target);
        return;
    }
    std::uint64_t offset = where.offset;
    while (!target.empty()) {
        const std::uint64_t in_unit = offset % unit_size;
        const std::uint64_t part = std::min<std::uint64_t>(target.size(), unit_size - in_unit);
        Piece& piece = take_piece(operation);
        piece.merge = merge;
        piece.buffer = &buffers_.take();
        piece.target = target.first(part);
        piece.skip = static_cast<std::uint32_t>(in_unit);
        piece.io.offset = offset - in_unit;
        piece.io.data = piece.buffer->bytes;
        piece.io.length = unit_size;
        piece.io.done = read_done;
        ++(merge == nullptr ? operation.pending : merge->reads_left);
        file.submit(piece.io);
        target = target.subspan(part);
        offset += part;
    }
}

void Volume::Engine::read_file(Operation& operation, Piece* merge, AsyncFile& file,
                               std::uint64_t offset, MutableBytes target) {
    Piece& piece = take_piece(operation);
    piece.merge = merge;
    piece.io.offset = offset;
    piece.io.length = target.size();
    piece.io.data = target;
    piece.io.done = read_done;
    ++(merge == nullptr ? operation.pending : merge->reads_left);
    file.submit(piece.io);
}

void Volume::Engine::read_done(FileOperation& io, int os_errno) {
    Piece& piece = piece_of(io);
    Engine& engine = *static_cast<Engine*>(piece.engine);
    Operation& operation = *piece.operation;
    Piece* merge = piece.merge;
    if (piece.buffer != nullptr) {
        if (os_errno == 0) {
            std::memcpy(piece.target.data(), piece.buffer->bytes.data() + piece.skip,
                        piece.target.size());
        }
        engine.buffers_.give_back(*piece.buffer);
    }
    engine.pieces_.give_back(piece);
    if (merge != nullptr) {
        if (os_errno != 0) merge->read_errno = os_errno;
        if (--merge->reads_left == 0) engine.merge_ready(*merge);
        return;
    }
    if (os_errno != 0) operation.outcome = failure_of(os_errno);
    if (--operation.pending == 0) engine.finish_read(operation);
}

void Volume::Engine::finish_read(Operation& operation) {
    quarantine_.end_read(operation.reader_epoch);
    answer(operation, operation.outcome);
}

}  // namespace cowtgt
