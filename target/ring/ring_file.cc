#include "target/ring/ring_file.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>

namespace cowtgt::ring {

namespace {

/// One read or write system call moves at most this many bytes (the kernel's own limit is lower
/// than 2 GiB, and a length is an int in the ring).
constexpr std::uint64_t transfer_max = 1U << 30;

bool moves_data(const FileOperation& operation) {
    return operation.kind == FileOperation::Kind::read ||
           operation.kind == FileOperation::Kind::write;
}

bool is_on_tmpfs(int file) {
    struct statfs facts {};
    return fstatfs(file, &facts) == 0 && facts.f_type == TMPFS_MAGIC;
}

/// How many pages one look at the page cache tells of.
constexpr std::size_t pages_per_look = 256;

/// What closes them when nobody uses them any more.
std::shared_ptr<const void> closes(RingFile::Descriptors descriptors) {
    struct Closer {
        RingFile::Descriptors descriptors;
        explicit Closer(RingFile::Descriptors taken) : descriptors(taken) {}
        Closer(const Closer&) = delete;
        Closer& operator=(const Closer&) = delete;
        ~Closer() {
            close(descriptors.data);
            if (descriptors.buffered != descriptors.data) close(descriptors.buffered);
        }
    };
    return std::make_shared<const Closer>(descriptors);
}

}  // namespace

/// The file as memory that nobody touches: mincore says which of it is in the page cache.
struct RingFile::MappedFile {
    explicit MappedFile(int file) {
        struct stat facts {};
        if (fstat(file, &facts) != 0 || facts.st_size == 0) return;
        size = static_cast<std::uint64_t>(facts.st_size);
        void* mapped = mmap(nullptr, size, PROT_READ, MAP_SHARED, file, 0);
        if (mapped != MAP_FAILED) address = static_cast<std::byte*>(mapped);
    }
    MappedFile(const MappedFile&) = delete;
    MappedFile& operator=(const MappedFile&) = delete;
    ~MappedFile() {
        if (address != nullptr) munmap(address, size);
    }

    std::byte* address = nullptr;  ///< null: not to be had, nothing is lent
    std::uint64_t size = 0;        ///< bytes
    std::uint64_t page = static_cast<std::uint64_t>(sysconf(_SC_PAGESIZE));
};

RingFile::RingFile(Ring& ring, Descriptors descriptors, DirectIoAlignment alignment)
    : ring_(ring),
      descriptors_(descriptors),
      keeps_open_(closes(descriptors)),
      alignment_(alignment),
      in_memory_(is_on_tmpfs(descriptors.buffered)) {
    answering_.run = [](Deferred& deferred) {
        static_cast<RingFile*>(deferred.owner)->give_answers();
    };
    answering_.owner = this;
}

RingFile::~RingFile() {
    CHECK(outstanding_ == 0);
}

void RingFile::expect_no_read_ahead() {
    posix_fadvise(descriptors_.buffered, 0, 0, POSIX_FADV_RANDOM);  // advice: it may fail
}

void RingFile::submit(FileOperation& operation) {
    operation.transferred = 0;
    if (in_memory_ && moves_data(operation)) {
        transfer_in_memory(operation);
        return;
    }
    if (free_.empty()) {
        all_.push_back(std::make_unique<Pending>());
        free_.push_back(all_.back().get());
    }
    Pending& pending = *free_.back();
    free_.pop_back();
    ++outstanding_;
    pending = {{completed, &pending}, this, &operation};
    start(pending);
}

void RingFile::transfer_in_memory(FileOperation& operation) {
    const MutableBytes data = operation.data;
    const bool reads = operation.kind == FileOperation::Kind::read;
    int os_errno = 0;
    while (operation.transferred < data.size() && os_errno == 0) {
        const MutableBytes rest = data.subspan(operation.transferred);
        const auto at = static_cast<off_t>(operation.offset + operation.transferred);
        const ssize_t moved = reads ? pread(descriptors_.data, rest.data(), rest.size(), at)
                                    : pwrite(descriptors_.data, rest.data(), rest.size(), at);
        if (moved > 0) {
            operation.transferred += static_cast<std::uint64_t>(moved);
        } else if (moved == 0 && reads) {
            std::memset(rest.data(), 0, rest.size());  // past the end
            operation.transferred = data.size();
        } else if (moved == 0 || errno != EINTR) {
            os_errno = moved == 0 ? EIO : errno;
        }
    }
    ++outstanding_;
    answers_.push_back({&operation, os_errno});
    ring_.defer(answering_, Ring::Order::early);
}

void RingFile::give_answers() {
    // `done` may submit again, which adds to answers_.
    being_given_.swap(answers_);
    for (const Answer& answer : being_given_) {
        --outstanding_;
        answer.operation->done(*answer.operation, answer.os_errno);
    }
    being_given_.clear();
}

void RingFile::start(Pending& pending) {
    FileOperation& operation = *pending.operation;
    const std::uint64_t at = operation.offset + operation.transferred;
    switch (operation.kind) {
        case FileOperation::Kind::read:
        case FileOperation::Kind::write: {
            const MutableBytes rest = operation.data.subspan(operation.transferred);
            const MutableBytes piece =
                rest.first(std::min<std::uint64_t>(rest.size(), transfer_max));
            if (operation.kind == FileOperation::Kind::read) {
                ring_.read(descriptors_.data, at, piece, pending.completion);
            } else {
                ring_.write(descriptors_.data, at, piece, pending.completion);
            }
            return;
        }
        case FileOperation::Kind::sync_data:
            ring_.sync_data(descriptors_.data, pending.completion);
            return;
        case FileOperation::Kind::allocate:
            ring_.allocate(descriptors_.data, 0, operation.offset, operation.length,
                           pending.completion);
            return;
        case FileOperation::Kind::punch_hole:
            ring_.allocate(descriptors_.data, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
                           operation.offset, operation.length, pending.completion);
            return;
    }
}

void RingFile::completed(Completion& completion, const Completion::Outcome& outcome) {
    Pending& pending = *static_cast<Pending*>(completion.owner);
    pending.file->progressed(pending, outcome.result);
}

void RingFile::progressed(Pending& pending, std::int32_t result) {
    FileOperation& operation = *pending.operation;
    if (result == -EINTR) {
        start(pending);
        return;
    }
    if (result < 0) {
        finish(pending, -result);
        return;
    }
    if (!moves_data(operation)) {
        finish(pending, 0);
        return;
    }
    operation.transferred += static_cast<std::uint64_t>(result);
    if (operation.transferred == operation.data.size()) {
        finish(pending, 0);
    } else if (result == 0 && operation.kind == FileOperation::Kind::read) {
        const MutableBytes past_end = operation.data.subspan(operation.transferred);
        std::memset(past_end.data(), 0, past_end.size());
        finish(pending, 0);
    } else if (result == 0) {
        finish(pending, EIO);
    } else {
        start(pending);
    }
}

void RingFile::finish(Pending& pending, int os_errno) {
    FileOperation& operation = *pending.operation;
    free_.push_back(&pending);
    --outstanding_;
    operation.done(operation, os_errno);
}

bool RingFile::read_now(std::uint64_t offset, MutableBytes into) {
    const auto at = static_cast<off_t>(offset);
    const iovec piece{into.data(), into.size()};
    const ssize_t got = in_memory_ ? pread(descriptors_.buffered, into.data(), into.size(), at)
                                   : preadv2(descriptors_.buffered, &piece, 1, at, RWF_NOWAIT);
    return got == static_cast<ssize_t>(into.size());
}

LentBytes RingFile::lend(std::uint64_t offset, std::uint64_t length) {
    if (!lending_ || !is_in_memory(offset, length)) return {};
    return {keeps_open_, descriptors_.buffered, offset, length};
}

bool RingFile::is_in_memory(std::uint64_t offset, std::uint64_t length) {
    if (mapped_ == nullptr) mapped_ = std::make_unique<MappedFile>(descriptors_.buffered);
    if (mapped_->address == nullptr || offset > mapped_->size || length > mapped_->size - offset) {
        return false;
    }
    const std::uint64_t page = mapped_->page;
    const std::uint64_t end = round_up(offset + length, page);
    std::array<unsigned char, pages_per_look> here{};
    for (std::uint64_t at = round_down(offset, page); at < end;) {
        const std::uint64_t pages = std::min<std::uint64_t>((end - at) / page, here.size());
        if (mincore(mapped_->address + at, pages * page, here.data()) != 0) return false;
        for (std::uint64_t i = 0; i < pages; ++i) {
            if ((here[i] & 1) == 0) return false;
        }
        at += pages * page;
    }
    return true;
}

int RingFile::append_now(std::uint64_t offset, Bytes from) {
    while (!from.empty()) {
        const ssize_t put =
            pwrite(descriptors_.buffered, from.data(), from.size(), static_cast<off_t>(offset));
        if (put < 0 && errno == EINTR) continue;
        if (put <= 0) return put < 0 ? errno : EIO;
        from = from.subspan(static_cast<std::size_t>(put));
        offset += static_cast<std::uint64_t>(put);
    }
    return 0;
}

}  // namespace cowtgt::ring
